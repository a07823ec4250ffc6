"""N4 bias field correction, as ANTs does it, by a fit that uses the regular grid.

Array axes are as given (the reference: the image's own); `zoom` is the voxel size of each, mm. What ANTs does is
repeated down to its choice of samples and its quirks; only its single precision is not (we use double), so results
differ by at most one grey level on nearly all voxels (docs/models.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.geometry import bounding_box
from spineps_pacs.analysis.sharpening import sharpener
from spineps_pacs.domain.volume import Geometry

Floats = NDArray[np.float64]
Three = tuple[int, int, int]

FOREGROUND = 60
"""Grey values from here on span the box that is corrected."""
SPLINE_MM = np.float32(100)
LEVELS, ITERATIONS, TOLERANCE = 4, 50, 1e-7
SHRINK = 4
_ALMOST_ZERO = 1.19e-8
"""What ITK takes for zero in single precision."""
_END_PULL = 0.001
"""By how much of a gap the last sample is drawn into the last span."""


@dataclass(frozen=True)
class Corrected:
    """The corrected image (float32, or the input where nothing could be done), the samples' start, and a warning."""

    image: NDArray[Any]
    first: Three | None
    warning: str = ""


@dataclass(frozen=True)
class _Axis:
    """One axis: n voxels, padded length m with `low` before, spans at the first level, where its samples begin."""

    n: int
    m: int
    low: int
    spans: int
    first: int = 0

    @property
    def samples(self) -> int:
        return max(self.m // SHRINK, 1)


def correct(image: NDArray[Any], geometry: Geometry, first: Three | None = None) -> Corrected:
    """The image without its bias field inside the box of voxels from 60 on; outside as it was.

    `first` are the padded indices at which the samples of each axis begin; without it they are ITK's own choice.
    """
    box = bounding_box(image >= FOREGROUND)
    if box is None:
        return Corrected(image, None, f"no bias correction: no voxel reaches {FOREGROUND}")
    axes = [_axis(n, z) for n, z in zip(image.shape, geometry.spacing, strict=True)]
    reason = _hopeless(axes)
    if reason:
        return Corrected(image, None, f"no bias correction: {reason}")
    first = first or itk_first(geometry)
    axes = [_Axis(a.n, a.m, a.low, a.spans, f) for a, f in zip(axes, first, strict=True)]
    picks = [_samples_in(axis, part) for axis, part in zip(axes, box, strict=True)]
    if any(len(index) == 0 for index, _ in picks):
        return Corrected(image, first, "no bias correction: no sample lies in the foreground")
    sampled = _logarithm(image[np.ix_(*(index for index, _ in picks))].astype(np.float64))
    if sampled.min() == sampled.max():
        return Corrected(image, first, "no bias correction: the foreground is constant")
    lattice = _fitted(sampled, axes, [number for _, number in picks])
    out = image.astype(np.float32)
    field = _evaluated(lattice.astype(np.float32), [_rows(a, part) for a, part in zip(axes, box, strict=True)])
    out[box] = out[box] / np.exp(field)
    return Corrected(out, first)


def _axis(n: int, zoom: float) -> _Axis:
    """Padding to whole spans, in single precision and in ANTs's order of operations."""
    step = np.float32(zoom)
    length = np.float32(n - 1) * step
    spans = int(np.ceil(length / SPLINE_MM))
    extra = int(np.trunc((np.float32(spans) * SPLINE_MM - length) / step + np.float32(0.5)))
    return _Axis(n, n + extra, extra // 2, spans)


def _hopeless(axes: Sequence[_Axis]) -> str:
    """Why ANTs would give its input back; empty if it would not."""
    if any(axis.spans < 1 for axis in axes):
        return f"an axis has a single voxel ({' x '.join(str(a.n) for a in axes)})"
    if any(axis.samples < 2 for axis in axes):
        return f"the slices lie too far apart ({min(a.m for a in axes)} voxels in {SPLINE_MM:g} mm)"
    return ""


def half_up_first(shape: Sequence[int], spacing: Sequence[float]) -> Three:
    """Where samples begin if ties between two voxels are rounded up; ITK breaks ties by rounding noise."""
    starts = []
    for n, z in zip(shape, spacing, strict=True):
        axis = _axis(n, z)
        middle = ((axis.m - 1) - SHRINK * (axis.samples - 1)) / 2
        starts.append(max(int(np.floor(middle + 0.5)), axis.low % SHRINK))
    return (starts[0], starts[1], starts[2])


def itk_first(geometry: Geometry) -> Three:
    """Where ITK's shrinking begins to sample, in padded indices, by its own arithmetic on this very grid."""
    import SimpleITK

    axes = [_axis(n, z) for n, z in zip(geometry.shape, geometry.spacing, strict=True)]

    def grid(factor: int, origin: Floats) -> Any:
        image = SimpleITK.Image(1, 1, 1, SimpleITK.sitkUInt8)
        image.SetSpacing([z * factor for z in geometry.spacing])
        image.SetDirection(geometry.directions.ravel().tolist())
        image.SetOrigin(origin.tolist())
        return image

    def place(image: Any, index: Sequence[float]) -> Floats:
        return np.array(image.TransformContinuousIndexToPhysicalPoint([float(i) for i in index]))

    origin = geometry.affine[:3, 3]
    fine, coarse = grid(1, origin), grid(SHRINK, origin)
    low = [-(axis.low // SHRINK) for axis in axes]
    whole = place(fine, [-axis.low + (axis.m - 1) / 2 for axis in axes])
    shrunk = place(coarse, [start + (axis.samples - 1) / 2 for start, axis in zip(low, axes, strict=True)])
    moved = grid(SHRINK, origin + (whole - shrunk))
    index = fine.TransformPhysicalPointToContinuousIndex(place(moved, low).tolist())
    starts = [max(int(np.floor(i + 0.5)) + axis.low, axis.low % SHRINK) for i, axis in zip(index, axes, strict=True)]
    return (starts[0], starts[1], starts[2])


def _samples_in(axis: _Axis, part: slice) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The image indices of the samples that lie in the box, and their numbers among all samples."""
    number = np.arange(axis.samples)
    index = axis.first + SHRINK * number - axis.low
    inside = (index >= part.start) & (index < part.stop)
    return index[inside], number[inside]


def _logarithm(values: Floats) -> Floats:
    """Of values above zero; others stay, so that 0 and 1 look alike."""
    return np.log(values, where=values > 0, out=values.copy())


def _weights(place: Floats, spans: int) -> Floats:
    """The cubic B-spline's weights (places, spans + 3) at places in 0..spans."""
    base = np.floor(place).astype(np.intp)
    t = place - base
    taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    out = np.zeros((len(place), spans + 3))
    for n, tap in enumerate(taps):
        out[np.arange(len(place)), base + n] = tap / 6
    return out


def _places(number: NDArray[np.intp], count: int, spans: int) -> Floats:
    """Where samples lie on the spline; the last of all is drawn in."""
    place = spans * number / (count - 1)
    return np.where(number == count - 1, spans - _END_PULL * spans / (count - 1), place)


def _rows(axis: _Axis, part: slice) -> NDArray[np.float32]:
    """Weights of the voxels of the box at the last level, over the padded full grid."""
    spans = axis.spans * 2 ** (LEVELS - 1)
    index = np.arange(part.start, part.stop) + axis.low
    return _weights(_places(index, axis.m, spans), spans).astype(np.float32)


def _evaluated(lattice: NDArray[Any], matrices: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """A lattice of control points at the places of three matrices of weights."""
    for axis, matrix in enumerate(matrices):
        lattice = np.moveaxis(np.tensordot(matrix, lattice, axes=(1, axis)), 0, axis)
    return lattice


def _fitted(values: Floats, axes: Sequence[_Axis], numbers: Sequence[NDArray[np.intp]]) -> Floats:
    """The lattice of the bias field's logarithm after all levels and iterations."""
    field = np.zeros_like(values)
    lattice = np.zeros([axis.spans + 3 for axis in axes])
    sharpen = sharpener()
    for level in range(LEVELS):
        if level:
            lattice = _refined(lattice)
        fit, evaluate = _level(axes, numbers, level)
        for _ in range(ITERATIONS):
            unbiased = values - field
            step = fit(unbiased - sharpen(unbiased))
            change = evaluate(step)
            lattice += step
            field += change
            if _converged(change):
                break
    return lattice


def _converged(change: Floats) -> bool:
    """The coefficient of variation of exp(-change) is below the tolerance; practically it never is."""
    if change.std() > 100 * TOLERANCE:
        return False
    ratio = np.exp(-change)
    return bool(ratio.std(ddof=1) / ratio.mean() <= TOLERANCE)


Fit = Callable[[Floats], Floats]


def _level(axes: Sequence[_Axis], numbers: Sequence[NDArray[np.intp]], level: int) -> tuple[Fit, Fit]:
    """How residuals become a lattice at one level, and a lattice values at the samples; both factorise over axes."""
    basis = [
        _weights(_places(number, axis.samples, axis.spans * 2**level), axis.spans * 2**level)
        for axis, number in zip(axes, numbers, strict=True)
    ]
    spread = [b**3 / (b**2).sum(axis=1, keepdims=True) for b in basis]
    one, two, three = ((b**2).sum(axis=0) for b in basis)
    omega = one[:, None, None] * two[None, :, None] * three[None, None, :]
    usable = omega >= _ALMOST_ZERO
    divisor = np.where(usable, omega, 1.0)
    order = sorted(range(3), key=lambda axis: basis[axis].shape[1] / basis[axis].shape[0])

    def fit(residual: Floats) -> Floats:
        return np.where(usable, _contracted(residual, [s.T for s in spread], order) / divisor, 0.0)

    def evaluate(lattice: Floats) -> Floats:
        return _contracted(lattice, basis, order[::-1])

    return fit, evaluate


def _contracted(values: Floats, matrices: Sequence[Floats], order: Sequence[int]) -> Floats:
    """Each axis through its matrix; the one that shrinks most goes first."""
    for axis in order:
        values = np.moveaxis(np.tensordot(matrices[axis], values, axes=(1, axis)), 0, axis)
    return values


def _refined(lattice: Floats) -> Floats:
    """The same function on twice as many spans along every axis."""
    for axis in range(3):
        old = np.moveaxis(lattice, axis, 0)
        new = np.empty((2 * len(old) - 3, *old.shape[1:]))
        new[0::2] = (old[:-1] + old[1:]) / 2
        new[1::2] = (old[:-2] + 6 * old[1:-1] + old[2:]) / 8
        lattice = np.moveaxis(new, 0, axis)
    return lattice
