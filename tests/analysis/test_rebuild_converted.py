"""Single-frame images that an archive has converted into one multi-frame object are read as what they were."""

from __future__ import annotations

import warnings
from functools import cache

import highdicom
import made_dicom as made
import pytest
from pydicom.dataset import Dataset

from spineps_pacs.analysis.rebuild import rebuild, volumes
from spineps_pacs.intake.limits import Limits
from spineps_pacs.intake.selection import judge

GRID = made.grid((12, 20, 12), (4, 15, 12.5))
NEEDED = {
    "PatientName": "A^B", "PatientID": "1", "PatientBirthDate": "19700101", "PatientSex": "O", "PatientPosition": "HFS",
    "StudyDate": "20200101", "StudyTime": "100000", "StudyID": "1", "AccessionNumber": "1",
    "ReferringPhysicianName": "", "Manufacturer": "X", "PositionReferenceIndicator": "",
    "SpecificCharacterSet": "ISO_IR 100", "AcquisitionDateTime": "20200101100000", "WindowWidth": "100",
    "WindowCenter": "50",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet() -> None:
    warnings.simplefilter("ignore")


def converted(*parts: list[Dataset]) -> Dataset:
    """One Legacy Converted Enhanced MR Image of all parts."""
    every = [dataset for part in parts for dataset in part]
    for number, dataset in enumerate(every, start=1):
        dataset.InstanceNumber = number
        for keyword, value in NEEDED.items():
            setattr(dataset, keyword, value)
    made_object: Dataset = highdicom.legacy.LegacyConvertedEnhancedMRImage(
        every, series_instance_uid="2.25.1", series_number=9, sop_instance_uid="2.25.2", instance_number=1
    )
    return made_object


@cache
def two_echoes() -> Dataset:
    """Echo times belong to no functional group that the conversion fills."""
    return converted(made.series(*GRID, EchoNumbers=1), made.series(*GRID, seed=1, EchoTime="20", EchoNumbers=2))


def test_echoes_of_a_converted_series_are_told_apart() -> None:
    """By their echo time, and the longer one is chosen."""
    series = made.gathered([two_echoes()])
    assert [it.echo_time_ms for it in volumes(series)] == [20.0, 102.0]
    assert made.differs(rebuild(series), seed=0) == 0
    assert made.differs(rebuild(series, 1), seed=1) == 0


def test_a_converted_spine_is_taken_by_its_own_numbers() -> None:
    """Echo and repetition time, and the scanning sequence, stand where the conversion left them."""
    verdict = judge([two_echoes()], Limits())
    found = {it.rule: it.value for it in verdict.findings}
    assert verdict.taken
    assert found["T2 weighting"] == "TE 102 ms"
    assert found["repetition time"] == "TR 3500 ms"
    assert found["pulse sequence"] == "SE"


def test_a_converted_stir_is_skipped() -> None:
    """Its inversion time counts too."""
    stir = converted(made.series(*GRID, InversionTime="160", ScanningSequence=["SE", "IR"]))
    assert judge([stir], Limits()).reason == "inversion: TI 160 ms > 100 ms → inversion recovery"
