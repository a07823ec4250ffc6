"""Two masks of one thing: Dice, intersection over union, and the average symmetric surface distance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, generate_binary_structure

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

_FACES = generate_binary_structure(3, 1)


def dice(found: Mask, truth: Mask) -> float:
    """Twice the common voxels by the sum of both; NaN where neither has any."""
    both = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / both if both else math.nan


def iou(found: Mask, truth: Mask) -> float:
    """Common voxels by the voxels of either; NaN where neither has any."""
    either = int((found | truth).sum())
    return int((found & truth).sum()) / either if either else math.nan


def assd(found: Mask, truth: Mask, spacing: Spacing) -> float:
    """Mean distance in mm of each mask's surface voxels from the other's surface; NaN where one mask is empty.

    A surface voxel has a face on the outside; what lies beyond the image counts as outside. Distances run between
    centres of voxels.
    """
    if not found.any() or not truth.any():
        return math.nan
    box = _box(found | truth)
    one, other = _surface(found[box]), _surface(truth[box])
    to_other = distance_transform_edt(~other, sampling=spacing)[one]
    to_one = distance_transform_edt(~one, sampling=spacing)[other]
    return float((to_other.sum() + to_one.sum()) / (len(to_other) + len(to_one)))


def _surface(mask: Mask) -> Mask:
    return np.asarray(mask & ~binary_erosion(mask, _FACES))


def _box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds the mask."""
    extents = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        places = np.flatnonzero(mask.any(axis=others))
        extents.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(extents)
