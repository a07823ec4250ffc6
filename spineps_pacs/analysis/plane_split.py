"""Tells vertebrae apart without a network: one plane through every disc, then growth from the bodies backwards.

A cross-check of how many vertebrae there are, and what is done when there is no instance network. Index order
(P, I, R); lengths in mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.analysis.geometry import Zoom
from spineps_pacs.analysis.pieces import Labels, Mask, box_of, boxes, pieces, sizes, without_small
from spineps_pacs.domain.anatomy import CORPUS_ID, DISC_ID, ENDPLATE_ID
from spineps_pacs.domain.errors import Unusable

BODY_IDS = (CORPUS_ID, 50, 51, ENDPLATE_ID, 52, 53)
ARCH_IDS = (41,)
PROCESS_IDS = (42, 43, 44, 45, 46, 47, 48)
LEAST_DISC_MM3 = 100
LEAST_BODY_MM3 = 400
SAME_DISC_MM = 6
"""Pieces of disc whose centres are nearer than this along the curve are one disc."""
CRUMB = 0.12
"""What has less than this part of the volume of the discs around it is a stray piece of one."""
TALL = 1.7
"""A body this many times as tall as the median of its neighbours is two."""
WITH_DENS = 3.5
"""The topmost may be C2, whose body goes on into the dens."""
BRIDGE_MM = 4
"""Gaps between a body and its arch up to this width (from the arch) are grown across."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane in mm; the normal points towards the feet."""

    point: Floats
    normal: Floats


def split(structures: Labels, spacing: Zoom) -> NDArray[np.uint16]:
    """Vertebrae numbered from the head down."""
    body = np.isin(structures, BODY_IDS)
    if not body.any():
        raise Unusable("no voxel is labelled as vertebral body")
    bodies = _divided(body, planes(structures, spacing), spacing)
    labels = _in_order(_cut_tall(without_small(bodies, _voxels(LEAST_BODY_MM3, spacing)), spacing))
    for part in (ARCH_IDS, PROCESS_IDS):
        room = np.isin(structures, part)
        grow_into(labels, room)
        bridged = labels.copy()
        grow_into(bridged, room | (_around(room, spacing) & (structures == 0)))
        labels[room] = bridged[room]
    return labels


def count(structures: Labels, spacing: Zoom) -> int:
    """How many vertebrae the discs divide the column into; 0 without a body."""
    body = np.isin(structures, BODY_IDS)
    if not body.any():
        return 0
    bodies = without_small(_divided(body, planes(structures, spacing), spacing), _voxels(LEAST_BODY_MM3, spacing))
    return len(sizes(_cut_tall(bodies, spacing)))


def _around(room: Mask, spacing: Zoom) -> Mask:
    """The room with what lies within a bridge's length of it, so that growth gets over gaps."""
    near = ndimage.distance_transform_edt(~room, sampling=spacing) if room.any() else np.full(room.shape, np.inf)
    return np.asarray(near <= BRIDGE_MM)


def _voxels(volume_mm3: float, spacing: Zoom) -> int:
    return max(int(volume_mm3 / float(np.prod(spacing))), 1)


def planes(structures: Labels, spacing: Zoom) -> list[Plane]:
    """One plane per disc, from the head down: through its centre, square to its flat side and to the column."""
    discs, _ = pieces(structures == DISC_ID)
    least = _voxels(LEAST_DISC_MM3, spacing)
    found = boxes(discs)
    clouds: list[Floats] = [
        (np.argwhere(discs[found[n]] == n) + [s.start for s in found[n]]) * np.asarray(spacing)
        for n, size in sizes(discs).items()
        if size >= least
    ]
    if not clouds:
        return []
    column: Floats = np.argwhere(np.isin(structures, (*BODY_IDS, DISC_ID))).astype(np.float64)
    column *= np.asarray(spacing, dtype=np.float64)
    joined = _likely(_joined(sorted(clouds, key=lambda cloud: float(cloud[:, 1].mean()))))
    return [Plane(cloud.mean(axis=0), _normal(cloud, column)) for cloud in joined]


def _joined(clouds: Sequence[Floats]) -> list[Floats]:
    found = [clouds[0]]
    for cloud in clouds[1:]:
        if abs(cloud[:, 1].mean() - found[-1][:, 1].mean()) < SAME_DISC_MM:
            found[-1] = np.vstack([found[-1], cloud])
        else:
            found.append(cloud)
    return found


def _likely(clouds: list[Floats]) -> list[Floats]:
    """Without what is far too small for a disc beside the two above and the two below it."""
    volumes = [len(cloud) for cloud in clouds]
    around = [[*volumes[max(n - 2, 0) : n], *volumes[n + 1 : n + 3]] for n in range(len(clouds))]
    return [c for c, v, near in zip(clouds, volumes, around, strict=True) if not near or v >= CRUMB * np.median(near)]


def _normal(cloud: Floats, column: Floats) -> Floats:
    """Half the disc's thinnest direction, half the column's there; the latter alone for a disc that is not flat."""
    tangent = _direction(column, float(cloud[:, 1].mean()))
    spread, axes = np.linalg.eigh(np.cov(cloud.T))
    thin = axes[:, 0] * np.sign(axes[:, 0] @ tangent)
    flat = len(cloud) > 10 and spread[0] < 0.25 * spread[1] and thin @ tangent > 0.7
    normal = thin + tangent if flat else tangent
    return np.asarray(normal / np.linalg.norm(normal))


def _direction(column: Floats, height: float) -> Floats:
    """Where the column runs at a height (mm along I), from the voxels within 40 mm of it."""
    near = column[np.abs(column[:, 1] - height) < 40]
    slopes = [np.polyfit(near[:, 1], near[:, axis], 1)[0] if np.ptp(near[:, 1]) > 5 else 0.0 for axis in (0, 2)]
    tangent = np.array([slopes[0], 1.0, slopes[1]])
    return np.asarray(tangent / np.linalg.norm(tangent))


def _divided(body: Mask, cuts: Sequence[Plane], spacing: Zoom) -> NDArray[np.uint16]:
    """Each voxel of a body by the number of planes above it, from 1."""
    at = np.argwhere(body)
    world = at * spacing
    below = np.ones(len(at), dtype=np.uint16)
    for plane in cuts:
        below += ((world - plane.point) @ plane.normal > 0).astype(np.uint16)
    out = np.zeros(body.shape, dtype=np.uint16)
    out[body] = below
    return out


def _cut_tall(bodies: Labels, spacing: Zoom) -> NDArray[np.uint16]:
    """Bodies that are far taller than those around them, cut at their thinnest slab."""
    out = np.array(bodies, dtype=np.uint16) * 2
    numbers = sorted(sizes(out))
    found = boxes(out)
    heights = {n: _height(out[found[n]] == n) * spacing[1] for n in numbers}
    for at, number in enumerate(numbers):
        around = [heights[n] for n in numbers[max(at - 3, 0) : at + 4] if n != number]
        limit = WITH_DENS if at == 0 else TALL
        if len(around) < 2 or heights[number] <= limit * float(np.median(around)):
            continue
        out[_lower_half(out == number)] = number + 1
    return out


def _height(mask: Mask) -> float:
    """Voxels along I that hold the middle nine tenths of a mask."""
    heaps = np.cumsum(mask.sum(axis=(0, 2)))
    low, high = np.searchsorted(heaps, (0.05 * heaps[-1], 0.95 * heaps[-1]))
    return float(high - low + 1)


def _lower_half(mask: Mask) -> Mask:
    """The part below the thinnest slab of the middle half."""
    span = box_of(mask)[1]
    quarter = (span.stop - span.start) // 4
    areas = mask.sum(axis=(0, 2))[span.start + quarter : span.stop - quarter]
    lower = mask.copy()
    lower[:, : span.start + quarter + int(np.argmin(areas)) + 1] = False
    return lower


def _in_order(labels: Labels) -> NDArray[np.uint16]:
    table = np.zeros(int(labels.max()) + 1, dtype=np.uint16)
    table[sorted(sizes(labels))] = np.arange(1, len(sizes(labels)) + 1)
    return table[labels]


def grow_into(labels: NDArray[np.uint16], room: Mask) -> None:
    """Labels grow in place, step by step to the six neighbours, into the room."""
    padded = np.pad(labels, 1)
    free = np.pad(room & (labels == 0), 1).ravel()
    flat = padded.ravel()
    steps = [step * sign for step in (padded.shape[1] * padded.shape[2], padded.shape[2], 1) for sign in (1, -1)]
    front = np.flatnonzero(flat)
    while front.size:
        reached = []
        for step in steps:
            to = front + step
            open_ = free[to]
            flat[to[open_]] = flat[front[open_]]
            reached.append(to[open_])
        front = np.unique(np.concatenate(reached))
        free[front] = False
    labels[:] = flat.reshape(padded.shape)[1:-1, 1:-1, 1:-1]
