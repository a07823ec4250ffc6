"""Which slice shows the spine best, and where in it a level is pointed at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.domain.anatomy import CANAL_ID, CORD_ID, CORPUS_ID, DISC_OFFSET, SACRUM_ID, STRUCTURES
from spineps_pacs.domain.report import Report
from spineps_pacs.encode.segments import Segment

Labels = NDArray[np.integer]
_BODIES = (SACRUM_ID, *next(item.ids for item in STRUCTURES if CORPUS_ID in item.ids))


def middle_slice(report: Report) -> int:
    """The slice with most of the canal; without one the slice with most bone, else the one in the middle."""
    structures, instances = report.structures.labels, report.instances.labels
    canal = np.isin(structures, (CANAL_ID, CORD_ID))
    for found in (canal, (instances > 0) & (instances < DISC_OFFSET), structures > 0):
        areas = found.sum(axis=(1, 2))
        if areas.any():
            return int(np.argmax(areas))
    return int(structures.shape[0] // 2)


def points(report: Report, segments: tuple[Segment, ...], usable: tuple[int, ...]) -> dict[int, tuple[int, int, int]]:
    """Segment number to (slice, row, column): deep inside it, on the middle slice or on its own largest one.

    Of a vertebra inside its body, where it has one.
    """
    middle = middle_slice(report)
    boxes = ndimage.find_objects(report.instances.labels.astype(np.int32))
    found = {}
    for segment in segments:
        box = boxes[segment.instance - 1] if segment.instance <= len(boxes) else None
        if box is not None:
            own = report.instances.labels[box] == segment.instance
            body = own & np.isin(report.structures.labels[box], _BODIES)
            point = (_inside(body, box, middle, usable) if body.any() else None) or _inside(own, box, middle, usable)
            if point is not None:
                found[segment.number] = point
    return found


def name_place(structures: Labels, instances: Labels, instance: int) -> tuple[float, float] | None:
    """Row and column at which a level is named on one slice: the middle of its body, or of what there is of it."""
    own = instances == instance
    body = own & np.isin(structures, _BODIES)
    where = np.argwhere(body if body.any() else own)
    if len(where) == 0:
        return None
    row, column = np.median(where, axis=0)
    return float(row), float(column)


def _inside(
    mask: NDArray[np.bool_],
    box: tuple[slice, ...],
    middle: int,
    usable: tuple[int, ...],
) -> tuple[int, int, int] | None:
    areas = mask.sum(axis=(1, 2))
    first = box[0].start
    allowed = [k for k in range(len(areas)) if areas[k] and first + k in usable]
    if not allowed:
        return None
    k = middle - first if middle - first in allowed else max(allowed, key=lambda i: (areas[i], -i))
    depth = ndimage.distance_transform_edt(np.pad(mask[k], 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return first + k, box[1].start + int(row), box[2].start + int(column)
