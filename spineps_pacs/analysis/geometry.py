"""Grids to grids: turn, crop, pad and resample; each step knows its way back.

A step is made from a Geometry and is then applied to any array on that grid: `there(array)` gives the array on
`after`, `back(array)` gives it on `before` again. `cubic` and `nearest` resample between two grids with the arithmetic
of the reference: spline order 3 or 0, edges repeated, integers rounded half away from zero and held in their range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.domain.volume import Geometry

Array = NDArray[Any]
Box = tuple[slice, slice, slice]
Zoom = tuple[float, float, float]

MODEL_AXES = "PIR"
SAME_ZOOM_MM = 1e-3
SAME_GRID_MM = 1e-5
DECIMALS = 7
_ENDS = (("R", "L"), ("A", "P"), ("I", "S"))
"""Where the LPS axes x, y, z run to: negative, positive."""
_TIE = 1e-6
"""Closer than this (voxels) to half way between two voxels, rounding noise decides; then scipy's own is taken."""
_SPLINE_MARGIN = 12
"""Voxels by which scipy repeats the edge before it fits a cubic spline in mode `nearest`."""


def zoom(geometry: Geometry) -> Zoom:
    """Voxel size (mm) of each index axis, to seven decimals as the reference has it."""
    a, b, c = (float(z) for z in np.round(geometry.spacing, 7))
    return (a, b, c)


def axes_of(geometry: Geometry) -> str:
    """Where the three index axes run to, nearest of L R A P S I each: "PIR" on the model's grid."""
    return "".join(_ENDS[world][int(sign > 0)] for world, sign in _assigned(geometry.affine))


def _assigned(affine: NDArray[np.float64]) -> list[tuple[int, float]]:
    """For each index axis its world axis and direction; the clearest axis chooses first, none is taken twice."""
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(columns)
    rotation = left @ right
    found: dict[int, tuple[int, float]] = {}
    for axis in np.argsort(-np.max(rotation**2, axis=0), kind="stable"):
        free = [w for w in range(3) if w not in {world for world, _ in found.values()}]
        world = max(free, key=lambda w: abs(rotation[w, axis]))
        found[int(axis)] = (world, float(rotation[world, axis]))
    return [found[axis] for axis in range(3)]


@dataclass(frozen=True)
class Turn:
    """Index axes permuted and flipped; no voxel changes its value."""

    before: Geometry
    after: Geometry
    axes: tuple[int, ...]
    flips: tuple[bool, ...]

    def there(self, array: Array) -> Array:
        turned = array.transpose(self.axes)
        return turned[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]

    def back(self, array: Array) -> Array:
        flipped = array[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]
        return flipped.transpose(np.argsort(self.axes))


def turn(geometry: Geometry, to: str = MODEL_AXES) -> Turn:
    """The turn after which the index axes run to the three letters of `to`."""
    assigned = _assigned(geometry.affine)
    worlds = [next(w for w, ends in enumerate(_ENDS) if letter in ends) for letter in to]
    axes = tuple([w for w, _ in assigned].index(world) for world in worlds)
    flips = tuple(
        (assigned[axis][1] > 0) != (letter == _ENDS[world][1])
        for letter, world, axis in zip(to, worlds, axes, strict=True)
    )
    shape = tuple(geometry.shape[axis] for axis in axes)
    affine = geometry.affine.copy()
    start = np.zeros(3)
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        affine[:3, new] = geometry.affine[:3, old] * (-1 if flip else 1)
        start[old] = geometry.shape[old] - 1 if flip else 0
    affine[:3, 3] = geometry.to_world(start)
    return Turn(geometry, _like(geometry, affine, shape), axes, flips)


@dataclass(frozen=True)
class Crop:
    """A box cut out; the way back pastes into an array of one value."""

    before: Geometry
    after: Geometry
    box: Box

    def there(self, array: Array) -> Array:
        return array[self.box]

    def back(self, array: Array, fill: float = 0) -> Array:
        whole = np.full(self.before.shape, fill, dtype=array.dtype)
        whole[self.box] = array
        return whole


def crop(geometry: Geometry, box: Sequence[slice]) -> Crop:
    """Cuts out a box given in voxels; open ends mean the grid's ends."""
    i, j, k = (slice(*part.indices(n)[:2]) for part, n in zip(box, geometry.shape, strict=True))
    return Crop(
        geometry, _moved(geometry, (i.start, j.start, k.start), [s.stop - s.start for s in (i, j, k)]), (i, j, k)
    )


@dataclass(frozen=True)
class Pad:
    """Voxels of one value added on all six sides; the way back cuts them off."""

    before: Geometry
    after: Geometry
    widths: tuple[tuple[int, int], ...]

    def there(self, array: Array, fill: float = 0) -> Array:
        return np.pad(array, self.widths, constant_values=fill)

    def back(self, array: Array) -> Array:
        inner = (slice(low, low + n) for (low, _), n in zip(self.widths, self.before.shape, strict=True))
        return array[tuple(inner)]


def pad(geometry: Geometry, widths: int | Sequence[tuple[int, int]]) -> Pad:
    """Pads by (before, after) voxels per axis, or by one number everywhere."""
    pairs = tuple((widths, widths) for _ in range(3)) if isinstance(widths, int) else tuple(widths)
    shape = [low + n + high for (low, high), n in zip(pairs, geometry.shape, strict=True)]
    return Pad(geometry, _moved(geometry, tuple(-low for low, _ in pairs), shape), pairs)


def bounding_box(inside: NDArray[np.bool_], margin: int = 0) -> Box | None:
    """The smallest box around all true voxels, grown by `margin` voxels within the array; None if there is none."""
    spans = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(inside.any(axis=others))
        if not hit.size:
            return None
        spans.append(slice(max(int(hit[0]) - margin, 0), min(int(hit[-1]) + 1 + margin, inside.shape[axis])))
    return (spans[0], spans[1], spans[2])


def rescaled(geometry: Geometry, spacing: Zoom) -> Geometry:
    """The grid with voxels of `spacing` mm over the same field; voxel 0 stays. The same grid within 1e-3 mm."""
    now = zoom(geometry)
    if np.isclose(spacing, now, atol=SAME_ZOOM_MM).all():
        return geometry
    shape = tuple(int(np.rint(n * z / s)) for n, z, s in zip(geometry.shape, now, spacing, strict=True))
    affine = geometry.affine.copy()
    affine[:3, :3] = geometry.affine[:3, :3] * np.asarray(spacing) / np.asarray(geometry.spacing)
    return _like(geometry, affine, tuple(max(n, 1) for n in shape))


def as_written(geometry: Geometry) -> Geometry:
    """The grid with as many decimals as the reference keeps of it: they decide between two equally near voxels."""
    return replace(geometry, affine=np.round(geometry.affine, DECIMALS))


def nearest(labels: Array, source: Geometry, target: Geometry) -> Array:
    """Labels of `source` on `target`, the nearest voxel each, edges repeated; same type."""
    if source.same_grid(target, SAME_GRID_MM):
        return labels
    matrix, shift = _mapping(source, target)
    picks = _picks(matrix, shift, source.shape, target.shape)
    if picks is None:
        return np.asarray(
            ndimage.affine_transform(labels, matrix, shift, target.shape, order=0, mode="nearest"), dtype=labels.dtype
        )
    axes, indices = picks
    return labels[np.ix_(*indices)].transpose(np.argsort(axes))


def _picks(
    matrix: Array, shift: Array, source: tuple[int, ...], target: tuple[int, ...]
) -> tuple[list[int], list[NDArray[np.intp]]] | None:
    """Per source axis the target axis it follows and the voxel to take; None where rounding noise would decide."""
    axes = [int(np.argmax(np.abs(row))) for row in matrix]
    if sorted(axes) != [0, 1, 2]:
        return None
    indices = []
    for axis, follows in enumerate(axes):
        noise = sum(abs(matrix[axis, other]) * target[other] for other in range(3) if other != follows)
        place = np.clip(matrix[axis, follows] * np.arange(target[follows]) + shift[axis], 0, source[axis] - 1)
        if noise > _TIE / 2 or (np.abs(place - np.floor(place) - 0.5) < _TIE).any():
            return None
        indices.append(np.floor(place + 0.5).astype(np.intp))
    return axes, indices


def cubic(image: Array, source: Geometry, target: Geometry) -> Array:
    """The image of `source` on `target` by cubic splines, edges repeated; same type, whole numbers rounded."""
    if source.same_grid(target, SAME_GRID_MM):
        return image
    matrix, shift = _mapping(source, target)
    off = np.abs(matrix - np.diag(np.diag(matrix))) @ np.asarray(target.shape)
    if off.max() > _TIE:
        return np.asarray(ndimage.affine_transform(image, matrix, shift, target.shape, order=3, mode="nearest"))
    out = image.astype(np.float64)
    for axis in np.argsort([t / s for s, t in zip(source.shape, target.shape, strict=True)]):
        place = matrix[axis, axis] * np.arange(target.shape[axis]) + shift[axis]
        weights = spline_weights(source.shape[axis], place)
        out = np.moveaxis(np.tensordot(weights, out, axes=(1, axis)), 0, axis)
    return round_like(out, image.dtype)


def spline_weights(n: int, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of weights (len(place), n): the cubic spline through n samples, edges repeated, read at `place`."""
    wide = n + 2 * _SPLINE_MARGIN
    edge = np.zeros((wide, n))
    edge[np.arange(wide), np.clip(np.arange(wide) - _SPLINE_MARGIN, 0, n - 1)] = 1
    coefficients = ndimage.spline_filter1d(edge, order=3, axis=0, mode="nearest")
    at = np.clip(place + _SPLINE_MARGIN, 0, wide - 1)
    first = np.floor(at).astype(np.intp)
    t = (at - first)[:, None]
    taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((len(place), n))
    for step, tap in enumerate(taps, start=-1):
        weights += tap / 6 * coefficients[np.clip(first + step, 0, wide - 1)]
    return weights


def round_like(values: NDArray[np.float64], kind: np.dtype[Any]) -> Array:
    """Float values as `kind`: whole numbers half away from zero, held in the range of the type."""
    if not np.issubdtype(kind, np.integer):
        return values.astype(kind)
    limits = np.iinfo(kind)
    rounded = np.trunc(values + np.copysign(0.5, values))
    return np.clip(rounded, limits.min, limits.max).astype(kind)


def _mapping(source: Geometry, target: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Target index to source index: matrix and shift."""
    both = np.linalg.inv(source.affine) @ target.affine
    return both[:3, :3], both[:3, 3]


def _like(geometry: Geometry, affine: NDArray[np.float64], shape: Sequence[int]) -> Geometry:
    i, j, k = shape
    return Geometry(affine, (i, j, k), geometry.frame_of_reference_uid)


def _moved(geometry: Geometry, start: Sequence[int], shape: Sequence[int]) -> Geometry:
    affine = geometry.affine.copy()
    affine[:3, 3] = geometry.to_world(np.asarray(start, dtype=np.float64))
    return _like(geometry, affine, shape)
