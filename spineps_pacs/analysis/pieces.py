"""Connected pieces of a mask, and sizes and centres of labels: the counting that all phases share.

Arrays are indexed as they come (P, I, R on the model's grid); neighbours are 6 (faces), 18 (and edges) or 26.
"""

from __future__ import annotations

from typing import Any, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.analysis.geometry import Box

Labels = NDArray[np.integer]
Mask = NDArray[np.bool_]
Centre = tuple[float, float, float]
Neighbours = Literal[6, 18, 26]


def pieces(labels: NDArray[Any], neighbours: Neighbours = 26) -> tuple[NDArray[np.unsignedinteger], int]:
    """Connected pieces numbered from 1, and how many there are; different labels never join."""
    found, count = cc3d.connected_components(np.ascontiguousarray(labels), connectivity=neighbours, return_N=True)
    return found, int(count)


def sizes(labels: NDArray[Any]) -> dict[int, int]:
    """Voxels of each label, ascending, background left out."""
    counts = np.bincount(labels.ravel())
    return {int(n): int(counts[n]) for n in np.flatnonzero(counts) if n}


def centres(labels: NDArray[Any]) -> dict[int, Centre]:
    """Centre of mass of each label in voxels, ascending, background left out."""
    counts = np.bincount(labels.ravel())
    if len(counts) < 2:
        return {}
    sums = [_projected(labels, axis, len(counts)) for axis in range(3)]
    return {
        int(n): (sums[0][n] / counts[n], sums[1][n] / counts[n], sums[2][n] / counts[n])
        for n in np.flatnonzero(counts)
        if n
    }


def _projected(labels: NDArray[Any], axis: int, count: int) -> NDArray[np.float64]:
    """For each label the sum of its voxels' indices along one axis; exact, as the sums are whole numbers."""
    total = np.zeros(count)
    for at, layer in enumerate(np.moveaxis(labels, axis, 0)):
        found = np.bincount(layer.ravel(), minlength=count)
        total += at * found
    return total


def ids(labels: NDArray[Any]) -> tuple[int, ...]:
    """The labels present, ascending, background left out."""
    return tuple(sizes(labels)) if labels.size else ()


def largest(mask: NDArray[Any], count: int, neighbours: Neighbours = 26) -> list[Mask]:
    """The largest connected pieces of a mask, largest first; equal ones in the order they are met."""
    found, _ = pieces(mask, neighbours)
    order = sorted(sizes(found).items(), key=lambda item: -item[1])
    return [found == n for n, _ in order[:count]]


def without_small(labels: Labels, smallest: int, neighbours: Neighbours = 6) -> Labels:
    """The labels without their connected pieces of fewer than `smallest` voxels."""
    found, _ = pieces(labels, neighbours)
    counts = np.bincount(found.ravel())
    small = counts < smallest
    small[0] = False
    return np.where(small[found], 0, labels).astype(labels.dtype)


def structure(neighbours: Neighbours) -> Mask:
    """The 3 x 3 x 3 element of a neighbourhood."""
    return np.asarray(ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[neighbours]))


def grown(mask: NDArray[Any], neighbours: Neighbours = 26) -> Mask:
    """The mask and every voxel next to it."""
    if neighbours != 26:
        return np.asarray(ndimage.binary_dilation(mask, structure(neighbours)))
    wide = np.array(mask != 0)
    for axis in range(3):  # a cube is a line along each axis in turn, at a tenth of the time
        lines = np.moveaxis(wide.copy(), axis, 0)
        out = np.moveaxis(wide, axis, 0)
        out[1:] |= lines[:-1]
        out[:-1] |= lines[1:]
    return wide


def shrunk(mask: NDArray[Any], neighbours: Neighbours = 26, times: int = 1) -> Mask:
    """The mask without the voxels that touch the background or the array's end."""
    return np.asarray(ndimage.binary_erosion(mask, structure(neighbours), iterations=times))


def box_of(mask: NDArray[Any], margin: int = 0) -> Box:
    """The box around what is set, grown by `margin` voxels within the array; the mask must not be empty."""
    spans = []
    flat = mask != 0
    for axis in range(3):
        hit = np.flatnonzero(flat.any(axis=tuple(a for a in range(3) if a != axis)))
        spans.append(slice(max(int(hit[0]) - margin, 0), min(int(hit[-1]) + 1 + margin, mask.shape[axis])))
    return (spans[0], spans[1], spans[2])


def boxes(labels: NDArray[Any], margin: int = 0) -> dict[int, Box]:
    """The box of each label, grown by `margin` voxels within the array."""
    found: dict[int, Box] = {}
    for n, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            p, i, r = (
                slice(max(s.start - margin, 0), min(s.stop + margin, size))
                for s, size in zip(box, labels.shape, strict=True)
            )
            found[n] = (p, i, r)
    return found
