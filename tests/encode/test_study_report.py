"""The report of a study refers to those of its stations, names every vertebra once, and tells where they differ."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import highdicom
import pydicom
import pytest
from pydicom.dataset import Dataset

from encode.cases import OPTIONS, Wish, case, identity, read
from spineps_pacs.domain.anatomy import LEVEL_IDS
from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.study import Body, JoinedLevel, JoinedLevels, Seen
from spineps_pacs.encode.faults import FaultyResult
from spineps_pacs.encode.identity import Origin, Prior
from spineps_pacs.encode.results import encode
from spineps_pacs.encode.study_report import study_report
from spineps_pacs.encode.verify_study import verify_study

ORIGIN = Origin(datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC))
L1, L2, T12, T13 = (LEVEL_IDS[name] for name in ("L1", "L2", "T12", "T13"))


def seen(station: int, instance: int, level: int | None, confidence: float = 0.9) -> Seen:
    return Seen(station, Body(instance, (0.0, 0.0, -30.0 * instance), level, confidence))


JOINED = JoinedLevels(
    (
        JoinedLevel(T12, (seen(0, 19, T12),)),
        JoinedLevel(L1, (seen(0, 20, L1, 0.8), seen(1, 19, T12, 0.4))),
        JoinedLevel(L2, (seen(1, 20, None),)),
    ),
    1.3,
    ("L1 is called L1 in station 1, T12 in station 2",),
)


@cache
def reports() -> tuple[Result, Result]:
    """The reports of two stations of one study."""
    made = []
    for levels in ((T12, L1), (L1, L2)):
        report, series = case(Wish(levels=levels))
        made.append(next(r for r in encode(report, series, identity(report, series), OPTIONS) if r.kind == "report"))
    return made[0], made[1]


def written(joined: JoinedLevels = JOINED, **options: bool) -> Dataset:
    return read(study_report(reports(), joined, ORIGIN, OPTIONS, **options))


def groups(dataset: Dataset) -> dict[str, Dataset]:
    """Each measurement group by what it tracks."""
    measurements = next(it for it in dataset.ContentSequence if it.ConceptNameCodeSequence[0].CodeValue == "126010")
    return {value(group, "112039").TextValue: group for group in measurements.ContentSequence}


def value(group: Dataset, code: str) -> Dataset:
    return next(it for it in group.ContentSequence if it.ConceptNameCodeSequence[0].CodeValue == code)


def comments(group: Dataset) -> list[str]:
    return [it.TextValue for it in group.ContentSequence if it.ConceptNameCodeSequence[0].CodeValue == "121106"]


def test_every_vertebra_stands_there_once_with_what_each_station_said() -> None:
    """A group a vertebra: its level as finding site, the confidence of the surest station, and the words of all."""
    found = groups(written())
    assert list(found) == ["T12", "L1", "L2", "Numbering"]
    site = value(found["L1"], "363698007").ConceptCodeSequence[0]
    assert site.CodeMeaning == "L1 vertebra"
    assert float(value(found["L1"], "111012").MeasuredValueSequence[0].NumericValue) == pytest.approx(80)
    first, second = comments(found["L1"])
    assert "instance 20, L1, confidence 0.80" in first
    assert "instance 19, T12, confidence 0.40" in second
    assert "not named" in comments(found["L2"])[0]
    assert comments(found["Numbering"]) == list(JOINED.flags)
    assert float(value(found["Numbering"], "LVLMARGIN").MeasuredValueSequence[0].NumericValue) == pytest.approx(1.3)


def test_it_refers_to_the_reports_of_the_stations_and_replaces_none() -> None:
    """Both are evidence and content; no predecessor is named; patient and study are theirs."""
    dataset, theirs = written(), [read(report) for report in reports()]
    expected = {str(it.SOPInstanceUID) for it in theirs}
    evidence = {
        str(it.ReferencedSOPInstanceUID)
        for study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for it in series.ReferencedSOPSequence
    }
    container = dataset.ContentSequence[-1]
    content = {str(it.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for it in container.ContentSequence}
    assert evidence == content == expected
    assert {it.ValueType for it in container.ContentSequence} == {"COMPOSITE"}
    assert "PredecessorDocumentsSequence" not in dataset
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"):
        assert dataset.get(keyword) == theirs[0].get(keyword)
    assert dataset.SeriesInstanceUID not in {it.SeriesInstanceUID for it in theirs}


def test_the_same_stations_give_the_same_bytes_and_others_another_uid() -> None:
    """Nothing is left to chance."""
    again = [study_report(reports(), JOINED, ORIGIN, OPTIONS) for _ in range(2)]
    assert again[0] == again[1]
    other = JoinedLevels(JOINED.levels[:2], JOINED.margin, ())
    assert study_report(reports(), other, ORIGIN, OPTIONS).sop_instance_uid != again[0].sop_instance_uid


def test_a_later_report_of_the_study_names_the_one_it_replaces() -> None:
    """Only an earlier report of the study itself is a predecessor."""
    prior = Prior(str(read(reports()[0]).StudyInstanceUID), "1.2.3.4", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.5")
    result = study_report(reports(), JOINED, Origin(ORIGIN.created, predecessors=(prior,)), OPTIONS)
    named = read(result).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == "1.2.3.5"


def test_a_demonstration_says_so_and_agreement_is_told() -> None:
    """The title and the numbering; without a quarrel the report says that all agree."""
    quiet = JoinedLevels((JoinedLevel(T13, (seen(0, 5, T13),)),), None, ())
    dataset = written(quiet, demonstration=True)
    assert "not for diagnosis" in dataset.SeriesDescription
    assert comments(groups(dataset)["Numbering"])[0] == "all stations agree"
    assert dataset.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99SPINEPS"


def test_common_readers_open_it(tmp_path: Path) -> None:
    """highdicom reads it as the report that it is."""
    content = study_report(reports(), JOINED, ORIGIN, OPTIONS).content
    path = tmp_path / "study.dcm"
    path.write_bytes(content)
    found = highdicom.sr.srread(path)
    assert isinstance(found, highdicom.sr.Comprehensive3DSR)
    assert len(found.content.get_image_measurement_groups()) == 4
    assert pydicom.dcmread(path).CompletionFlag == "COMPLETE"


def test_what_does_not_agree_is_not_sent() -> None:
    """Read back from its bytes: other levels, other reports or another patient are a fault."""
    result = study_report(reports(), JOINED, ORIGIN, OPTIONS)
    verify_study(result, JOINED, reports())
    with pytest.raises(FaultyResult, match=r"names .*T12.*, and not"):
        verify_study(result, JoinedLevels(JOINED.levels[1:], JOINED.margin, ()), reports())
    with pytest.raises(FaultyResult, match="refers to 2 objects that are not just the 1 reports"):
        verify_study(result, JOINED, reports()[:1])
    stranger = replace(result, content=result.content.replace(b"P-7 ", b"P-8 ").replace(b"P-7\0", b"P-8\0"))
    with pytest.raises(FaultyResult, match="PatientID is not what a station's report has"):
        verify_study(stranger, JOINED, reports())
