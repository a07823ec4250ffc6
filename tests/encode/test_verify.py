"""Tests of the self-check: what is right passes, what was tampered with never ships."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from encode.cases import FLIPS, OBLIQUE, OPTIONS, Wish, case, identity, read
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.faults import FaultyResult
from spineps_pacs.encode.results import encode
from spineps_pacs.encode.verify import verify, verify_all

PLAIN = replace(OPTIONS, pictures=False)
SMALL = Wish(levels=(23, 24), rows=60, slices=6)


def _results(report: Report, series: Series, **changes: bool) -> tuple[Result, ...]:
    options = replace(PLAIN, **changes)  # type: ignore[arg-type]
    return encode(report, series, identity(report, series, options), options)


@pytest.mark.parametrize("multiframe", [False, True])
@pytest.mark.parametrize("flips", FLIPS)
def test_what_we_write_passes(flips: tuple[int, int, int], multiframe: bool) -> None:
    """In every orientation, oblique, classic and Enhanced, all objects agree with their report."""
    report, series = case(replace(SMALL, flips=flips, turned=OBLIQUE, multiframe=multiframe, spare_frames=multiframe))
    verify_all(_results(report, series, labelmap=True), report, series)


def test_every_kind_passes() -> None:
    """Pictures, presentation state and contours are read back too."""
    report, series = case(SMALL)
    verify_all(_results(report, series, pictures=True, gsps=True, rtstruct=True, split_levels=True), report, series)


def _rewritten(result: Result, change: Callable[[Dataset], object]) -> Result:
    ds = read(result)
    change(ds)
    buffer = io.BytesIO()
    ds.save_as(buffer)
    return replace(result, content=buffer.getvalue())


def _frame(ds: Dataset) -> Dataset:
    return ds.PerFrameFunctionalGroupsSequence[0]


def _reference(ds: Dataset) -> Dataset:
    return _frame(ds).DerivationImageSequence[0].SourceImageSequence[0]


def _move(ds: Dataset) -> None:
    for group in ds.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0]
        x, y, z = (float(v) for v in position.ImagePositionPatient)
        position.ImagePositionPatient = [x, y + 2, z]


def _mirror(ds: Dataset) -> None:
    size = ds.Rows * ds.Columns
    frames = np.unpackbits(np.frombuffer(ds.PixelData, np.uint8), bitorder="little")[: ds.NumberOfFrames * size]
    turned = frames.reshape(-1, ds.Rows, ds.Columns)[:, :, ::-1]
    ds.PixelData = np.packbits(turned.ravel(), bitorder="little").tobytes()


def _swap_references(ds: Dataset) -> None:
    groups = ds.PerFrameFunctionalGroupsSequence
    first, second = (groups[n].DerivationImageSequence[0].SourceImageSequence[0] for n in (0, 1))
    uids = first.ReferencedSOPInstanceUID, second.ReferencedSOPInstanceUID
    second.ReferencedSOPInstanceUID, first.ReferencedSOPInstanceUID = uids


def _lose_a_voxel(ds: Dataset) -> None:
    content = bytearray(ds.PixelData)
    where = next(n for n, byte in enumerate(content) if byte)
    content[where] &= content[where] - 1
    ds.PixelData = bytes(content)


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("levels", _move, "does not lie where its source image lies"),
        ("levels", _swap_references, "does not lie where"),
        ("levels", _mirror, "voxels from its mask's"),
        ("levels", _lose_a_voxel, "voxels, its mask"),
        ("levels", lambda ds: delattr(_frame(ds), "DerivationImageSequence"), "0 source images"),
        ("levels", lambda ds: setattr(_reference(ds), "ReferencedSOPInstanceUID", "1.2.3"), "neither a source"),
        ("levels", lambda ds: setattr(ds, "FrameOfReferenceUID", "1.2.3"), "frame of reference"),
        ("levels", lambda ds: setattr(ds, "PatientID", "P-8"), "PatientID is not what the source has"),
        ("levels", lambda ds: setattr(ds, "SOPInstanceUID", "1.2.3"), "the file holds 1.2.3"),
        ("levels", lambda ds: setattr(ds, "SeriesInstanceUID", "1.2.3.4.2"), "used again"),
        ("structures", lambda ds: ds.SegmentSequence.pop(), "hold voxels, the masks have"),
    ],
)
def test_a_tampered_seg_is_stopped(kind: str, change: Callable[[Dataset], object], words: str) -> None:
    """Moved, mirrored, mixed up, incomplete, mislabelled: each is told in a sentence."""
    report, series = case(SMALL)
    results = _results(report, series)
    (index,) = (n for n, result in enumerate(results) if result.kind == kind)
    with pytest.raises(FaultyResult, match=words):
        verify(_rewritten(results[index], change), report, series, results)


def _measurements(ds: Dataset) -> Dataset:
    return next(item for item in ds.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010")


def _another_number(ds: Dataset) -> None:
    group = _measurements(ds).ContentSequence[0]
    number = next(i for i in group.ContentSequence if i.ValueType == "NUM")
    number.MeasuredValueSequence[0].NumericValue = "1.25"


def _another_segment(ds: Dataset) -> None:
    group = _measurements(ds).ContentSequence[0]
    image = next(i for i in group.ContentSequence if i.ValueType == "IMAGE")
    image.ReferencedSOPSequence[0].ReferencedSegmentNumber = 99


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_another_number, "1 numbers are lost, 1 are not the report's"),
        (lambda ds: _measurements(ds).ContentSequence.pop(0), "numbers are lost"),
        (_another_segment, r"segments \[99\], which do not exist"),
    ],
)
def test_a_tampered_report_is_stopped(change: Callable[[Dataset], object], words: str) -> None:
    """Another number, a lost group, a segment that does not exist."""
    report, series = case(SMALL)
    results = _results(report, series)
    (report_result,) = (r for r in results if r.kind == "report")
    with pytest.raises(FaultyResult, match=words):
        verify(_rewritten(report_result, change), report, series, results)


def test_a_report_without_its_segs_does_not_ship() -> None:
    """The SR refers to SEGs; alone its references do not resolve. The fault is an Unusable, so the job fails."""
    report, series = case(SMALL)
    with pytest.raises(Unusable, match="neither a source nor a result"):
        verify(_results(report, series)[-1], report, series)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_object_without_a_study_or_series_does_not_ship(keyword: str) -> None:
    """An empty UID is found also where the source's is empty as well."""
    report, series = case(SMALL)
    results = _results(report, series)
    for ds in series.datasets:
        setattr(ds, keyword, "")
    empty = _rewritten(results[0], lambda ds: setattr(ds, keyword, ""))
    with pytest.raises(FaultyResult, match=f"{keyword} is missing or empty"):
        verify(empty, report, series, results)


def test_slices_elsewhere_in_the_series_may_have_another_frame_of_reference() -> None:
    """What counts is that of the images that were analysed."""
    report, series = case(SMALL)
    other = copy.deepcopy(series.datasets[0])
    other.SOPInstanceUID, other.FrameOfReferenceUID = "1.2.3.4.2.0", "1.2.3.4.98"
    both = Series(series.series_uid, (other, *series.datasets))
    verify_all(_results(report, both), report, both)


def test_a_number_that_belongs_nowhere_is_noticed() -> None:
    """A measured value of a vertebra that has no segment would vanish; it stops the report instead."""
    report, series = case(SMALL)
    stray = replace(report.measurements[3], subject=5)
    odd = replace(report, measurements=(*report.measurements, stray))
    with pytest.raises(FaultyResult, match="1 numbers are lost"):
        verify_all(_results(odd, series), odd, series)
