"""Reads each object back from its bytes and compares it with the report; what does not agree is never sent."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from spineps_pacs.domain.attributes import text, whole
from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.faults import FaultyResult
from spineps_pacs.encode.options import KINDS
from spineps_pacs.encode.verbatim import encoded
from spineps_pacs.encode.verify_frames import check_frames
from spineps_pacs.encode.verify_numbers import check_numbers

_SEGS = {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"}
_SR = "1.2.840.10008.5.1.4.1.1.88.34"
_NOT_OURS = {
    "ReferencedStudySequence", "ReferencedPatientSequence", "PredecessorDocumentsSequence",
    "ReferencedPerformedProcedureStepSequence",
}  # fmt: skip
"""Sequences that point outside: carried over from the source, or to what we replace."""
_SAME = ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "AccessionNumber")


def verify_all(results: Sequence[Result], report: Report, series: Series) -> None:
    """Every object of a report, each knowing the others."""
    for result in results:
        verify(result, report, series, results)


def verify(result: Result, report: Report, series: Series, siblings: Sequence[Result] = ()) -> None:
    """Raises FaultyResult with a sentence unless the object says what the report says, about these images.

    `siblings` are the other results of the same report, to which it may refer.
    """
    dataset = pydicom.dcmread(io.BytesIO(result.content))
    _check_identity(dataset, result, series)
    _check_header(dataset, result, series)
    _check_frame_of_reference(dataset, result, report, series)
    _check_references(dataset, result, series, siblings)
    if result.sop_class_uid in _SEGS:
        check_frames(dataset, result.kind, report, series)
    if result.sop_class_uid == _SR:
        check_numbers(dataset, report)


def _check_identity(dataset: Dataset, result: Result, series: Series) -> None:
    if result.kind not in KINDS:
        raise FaultyResult(f"there is no kind of result called {result.kind}")
    if (dataset.SOPClassUID, dataset.SOPInstanceUID) != (result.sop_class_uid, result.sop_instance_uid):
        raise FaultyResult(f"{result.kind}: the file holds {dataset.SOPInstanceUID}, not {result.sop_instance_uid}")
    if dataset.file_meta.MediaStorageSOPInstanceUID != dataset.SOPInstanceUID:
        raise FaultyResult(f"{result.kind}: file meta and data set name different instances")
    if result.sop_instance_uid in series.instance_uids or dataset.SeriesInstanceUID == series.series_uid:
        raise FaultyResult(f"{result.kind}: a UID of the source series would be used again")


def _check_header(dataset: Dataset, result: Result, series: Series) -> None:
    source = series.datasets[0]
    for keyword in _SAME:
        theirs = encoded(source, (keyword,))
        if theirs and encoded(dataset, (keyword,)) != theirs:
            raise FaultyResult(f"{result.kind}: {keyword} is not what the source has")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        if not dataset.get(keyword):
            raise FaultyResult(f"{result.kind}: {keyword} is missing or empty")


def _check_frame_of_reference(dataset: Dataset, result: Result, report: Report, series: Series) -> None:
    used = {frame.sop_instance_uid for frame in report.volume.frames}
    theirs = {text(ds, "FrameOfReferenceUID") for ds in series.datasets if text(ds, "SOPInstanceUID") in used}
    frame = dataset.get("FrameOfReferenceUID")
    if frame is not None and {str(frame)} != theirs:
        raise FaultyResult(f"{result.kind}: the frame of reference is not that of the source")


def _check_references(dataset: Dataset, result: Result, series: Series, siblings: Sequence[Result]) -> None:
    known = {str(dataset.StudyInstanceUID), *series.instance_uids, *(other.sop_instance_uid for other in siblings)}
    segments = {other.sop_instance_uid: _segments(other) for other in siblings if other.sop_class_uid in _SEGS}
    frames = {str(ds.SOPInstanceUID): whole(ds, "NumberOfFrames") or 1 for ds in series.datasets}
    for item in referring(dataset):
        uid = str(item.ReferencedSOPInstanceUID)
        if uid not in known:
            raise FaultyResult(f"{result.kind}: refers to {uid}, which is neither a source nor a result")
        _check_parts(item, segments.get(uid), frames.get(uid), result)


def _check_parts(item: Dataset, segments: set[int] | None, frames: int | None, result: Result) -> None:
    numbers = _numbers(item.get("ReferencedSegmentNumber"))
    if segments is not None and not numbers <= segments:
        raise FaultyResult(f"{result.kind}: refers to segments {sorted(numbers - segments)}, which do not exist")
    used = _numbers(item.get("ReferencedFrameNumber"))
    if frames is not None and any(not 1 <= n <= frames for n in used):
        raise FaultyResult(f"{result.kind}: refers to frame {max(used)} of {frames}")


def _numbers(value: Any) -> set[int]:
    if value in (None, ""):
        return set()
    return {int(v) for v in value} if hasattr(value, "__iter__") else {int(value)}


def _segments(result: Result) -> set[int]:
    dataset = pydicom.dcmread(io.BytesIO(result.content), stop_before_pixels=True, specific_tags=["SegmentSequence"])
    return {int(item.SegmentNumber) for item in dataset.SegmentSequence}


def referring(dataset: Dataset) -> Iterator[Dataset]:
    """Every item that refers to an instance, at any depth."""
    skipped = {Tag(keyword) for keyword in _NOT_OURS}
    for tag in dataset.keys():  # noqa: SIM118, going through a Dataset itself would decode every text in it
        if tag in skipped or dataset.get_item(tag).VR != "SQ":
            continue
        for item in dataset[tag].value:
            if "ReferencedSOPInstanceUID" in item:
                yield item
            yield from referring(item)
