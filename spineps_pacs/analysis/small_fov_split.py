"""Tells vertebrae apart by planes through the discs, and discs by planes through the vertebrae.

Arrays are indexed (slice, row, column) with columns to Superior; positions and normals are in voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.pieces import Labels, centres, largest, pieces, sizes
from spineps_pacs.domain.errors import Unusable

VERTEBRA, DISC = 1, 2
"""Classes of the segmentation network."""
LEAST_DISC, LEAST_OBJECT = 100, 50
"""Voxels below which a piece is no disc, and an object is dropped."""
NEAREST = 4
"""Centres through which the curve beyond each end is fitted."""
DOWN = np.array([0.0, 0.0, -1.0])

Floats = NDArray[np.float64]


def main_piece(classes: Labels) -> NDArray[np.uint8]:
    """The classes of the largest connected piece (26 neighbours) of everything; the rest is background."""
    if not classes.any():
        raise Unusable("the segmentation network found neither a vertebra nor a disc")
    return np.where(largest(classes > 0, 1)[0], classes, 0).astype(np.uint8)


def discs(classes: Labels) -> NDArray[np.uint16]:
    """Pieces of disc of a hundred voxels and more, numbered from the top."""
    found, _ = pieces(classes == DISC)
    counts = sizes(found)
    middles = centres(found)
    kept = sorted((n for n in counts if counts[n] >= LEAST_DISC), key=lambda n: -middles[n][2])
    return _renumbered(found, kept)


def vertebrae(classes: Labels, divided: Labels) -> NDArray[np.uint16]:
    """Voxels of vertebra numbered from the top by the planes through the discs; slivers get no number."""
    bone = np.argwhere(classes == VERTEBRA)
    labels = np.zeros(classes.shape, dtype=np.uint16)
    labels[tuple(bone.T)] = 1 + planes_above(bone, _middles(divided))
    counts = sizes(labels)
    return _renumbered(labels, [n for n in counts if counts[n] >= LEAST_OBJECT])


def disc_places(classes: Labels, bones: Labels) -> NDArray[np.uint16]:
    """For each voxel of disc how many vertebrae lie above it, plus one; 0 elsewhere and for what is too small."""
    soft = np.argwhere(classes == DISC)
    labels = np.zeros(classes.shape, dtype=np.uint16)
    labels[tuple(soft.T)] = 1 + planes_above(soft, _middles(bones))
    small = [n for n, count in sizes(labels).items() if count < LEAST_OBJECT]
    labels[np.isin(labels, small)] = 0
    return labels


def planes_above(voxels: NDArray[np.intp], through: Floats) -> NDArray[np.uint16]:
    """How many planes lie above each voxel; each goes through one point, across the line of its neighbours."""
    count = np.zeros(len(voxels), dtype=np.uint16)
    for point, normal in zip(through, normals(through), strict=True):
        count += ((voxels - point) @ normal > 0).astype(np.uint16)
    return count


def normals(through: Floats) -> Floats:
    """Towards the feet: from the neighbour above to the one below; beyond the ends neighbours are extrapolated."""
    if len(through) < 2:
        return np.repeat(DOWN[None], len(through), axis=0)
    first = _beyond(through[:NEAREST], -1)
    last = _beyond(through[-NEAREST:], len(through[-NEAREST:]))
    line = np.vstack([first, through, last])
    return np.asarray(line[2:] - line[:-2])


def _beyond(points: Floats, at: int) -> Floats:
    """The point at place `at` of the curve through the points 0, 1, ...: quadratic, straight through two."""
    order = min(2, len(points) - 1)
    return np.asarray([np.polyval(np.polyfit(np.arange(len(points)), along, order), at) for along in points.T])


def _middles(labels: Labels) -> Floats:
    return np.array(list(centres(labels).values())).reshape(-1, 3)


def _renumbered(labels: Labels, order: Sequence[int]) -> NDArray[np.uint16]:
    table = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.uint16)
    table[list(order)] = np.arange(1, len(order) + 1)
    return np.asarray(table[labels])
