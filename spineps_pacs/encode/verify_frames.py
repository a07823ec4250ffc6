"""Reads the frames of a SEG back and compares geometry, sources, counts and centroids with the masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.faults import FaultyResult
from spineps_pacs.encode.segments import level_segments, relabelled, structure_segments
from spineps_pacs.encode.sources import Plane, plane

_TOLERANCE_MM = 1e-3
_SAME_COSINE = 4e-3
"""Slices of one volume may differ by so much in their cosines; they are written with those of the first."""
_HALF_A_VOXEL = 0.5


@dataclass
class _Sum:
    """Voxels of one segment so far: how many, and the sum of their places."""

    count: int = 0
    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def add(self, count: int, mean: NDArray[np.float64]) -> None:
        self.count += count
        self.total = self.total + count * mean

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.total / max(self.count, 1)


def check_frames(dataset: Dataset, kind: str, report: Report, series: Series) -> None:
    """Raises FaultyResult unless each segment lies where its mask lies, on frames of the source."""
    found = _read(dataset, kind, series)
    expected = _expected(dataset, kind, report, series)
    if found.keys() != expected.keys():
        raise FaultyResult(f"{kind}: segments {sorted(found)} hold voxels, the masks have {sorted(expected)}")
    for number, mask in expected.items():
        segment = found[number]
        if segment.count != mask.count:
            raise FaultyResult(f"{kind}: segment {number} has {segment.count} voxels, its mask {mask.count}")
        away = np.abs(report.volume.geometry.to_index(segment.mean) - mask.mean)
        if (away > _HALF_A_VOXEL).any():
            raise FaultyResult(f"{kind}: the centre of segment {number} is {away.max():.2f} voxels from its mask's")


def _read(dataset: Dataset, kind: str, series: Series) -> dict[int, _Sum]:
    """Voxel counts and centroids (LPS mm) by segment number, through the file's own geometry."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    measures = shared.PixelMeasuresSequence[0]
    spacing = tuple(float(v) for v in measures.PixelSpacing)
    datasets = {str(ds.SOPInstanceUID): ds for ds in series.datasets}
    sums: dict[int, _Sum] = {}
    for group, (pixels, number) in zip(dataset.PerFrameFunctionalGroupsSequence, _frames(dataset), strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        here = Plane(tuple(position), tuple(orientation), (spacing[0], spacing[1]), 0.0)
        _check_source(group, here, datasets, dataset, kind)
        for label, count, row, column in _places(pixels):
            offset = orientation[:3] * spacing[1] * column + orientation[3:] * spacing[0] * row
            sums.setdefault(number or label, _Sum()).add(count, position + offset)
    return sums


def _expected(dataset: Dataset, kind: str, report: Report, series: Series) -> dict[int, _Sum]:
    """The same of the masks, in index coordinates; segments are matched by their label."""
    structures = kind.startswith("structures")
    mask = report.structures if structures else report.instances
    numbers = {item.SegmentLabel: int(item.SegmentNumber) for item in dataset.SegmentSequence}
    segments = structure_segments(report) if structures else level_segments(report)
    wanted = {s.number: numbers[s.label] for s in segments if s.label in numbers}
    uids = set(series.instance_uids)
    sums: dict[int, _Sum] = {}
    labels = relabelled(mask.labels, segments)
    for k, frame in enumerate(report.volume.frames):
        if frame.sop_instance_uid not in uids:
            continue
        for label, count, row, column in _places(labels[k]):
            if label in wanted:
                sums.setdefault(wanted[label], _Sum()).add(count, np.array([k, row, column]))
    return sums


def _frames(dataset: Dataset) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Pixels of each frame, and the segment it belongs to (0 in a label map, whose pixels say it themselves)."""
    if dataset.SegmentationType == "LABELMAP":
        pixels = dataset.pixel_array
        yield from ((frame, 0) for frame in (pixels if pixels.ndim == 3 else pixels[np.newaxis]))
        return
    shared = dataset.SharedFunctionalGroupsSequence[0]
    size = int(dataset.Rows) * int(dataset.Columns)
    packed = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    for n, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        first = n * size
        bits = np.unpackbits(packed[first // 8 : (first + size + 7) // 8], bitorder="little")
        frame = bits[first % 8 : first % 8 + size].reshape(dataset.Rows, dataset.Columns)
        own = (
            group if "SegmentIdentificationSequence" in group else shared
        )  # a lone segment is said once for all frames
        yield frame, int(own.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _places(pixels: NDArray[np.integer]) -> Iterator[tuple[int, int, float, float]]:
    """Label, count, mean row and mean column of what is not background."""
    rows, columns = np.nonzero(pixels)
    labels = pixels[rows, columns]
    counts = np.bincount(labels)
    row_sums, column_sums = np.bincount(labels, weights=rows), np.bincount(labels, weights=columns)
    for label in np.flatnonzero(counts):
        n = int(counts[label])
        yield int(label), n, float(row_sums[label] / n), float(column_sums[label] / n)


def _check_source(group: Dataset, here: Plane, datasets: dict[str, Dataset], dataset: Dataset, kind: str) -> None:
    derivations = group.get("DerivationImageSequence") or ()
    references = [item for derivation in derivations for item in derivation.SourceImageSequence]
    if len(references) != 1:
        raise FaultyResult(f"{kind}: a frame refers to {len(references)} source images instead of one")
    source = datasets.get(str(references[0].ReferencedSOPInstanceUID))
    if source is None:
        raise FaultyResult(f"{kind}: a frame refers to an image that is not of the series")
    number = references[0].get("ReferencedFrameNumber")
    there = plane(source, None if number is None else int(number))
    same = all(
        np.allclose(ours, theirs, atol=tolerance, rtol=0)
        for ours, theirs, tolerance in (
            (here.position, there.position, _TOLERANCE_MM),
            (here.orientation, there.orientation, _SAME_COSINE),
            (here.spacing, there.spacing, _TOLERANCE_MM),
        )
    )
    if not same or (dataset.Rows, dataset.Columns) != (source.Rows, source.Columns):
        raise FaultyResult(f"{kind}: a frame does not lie where its source image lies")
