"""The canal as a curve with a frame, and the curvilinear coordinates of all voxels about it.

A point has s (mm along the curve, downwards), x (mm to the left), y (mm backwards) from the canal's centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.spatial import cKDTree

from spineps_pacs.phantom.grid import Field, Floats, Grid
from spineps_pacs.phantom.sizes import cord_size
from spineps_pacs.phantom.spine import Spine

COARSE = 6.0
"""Step in mm of the lattice on which far coordinates are found before they are interpolated."""


@dataclass(frozen=True, eq=False)
class Curve:
    """The canal, sampled every half millimetre; `position` on the scale of sizes.py, other columns in mm."""

    s: Floats
    points: Floats
    down: Floats
    left: Floats
    back: Floats
    position: Floats
    half_width: Floats
    half_depth: Floats
    indent: Floats
    body_depth: Floats

    def at(self, column: Floats, s: Field | Floats) -> Floats:
        """A column (n,) or (n, 3) at these places, linearly between samples."""
        f = np.clip((s - self.s[0]) / (self.s[1] - self.s[0]), 0, len(self.s) - 1.001)
        i = f.astype(np.int32)
        w = (f - i).astype(np.float32)
        table = column.astype(np.float32)
        return (
            np.asarray(table[i] * (1 - w)[..., None] + table[i + 1] * w[..., None])
            if table.ndim == 2
            else np.asarray(table[i] + (table[i + 1] - table[i]) * w)
        )

    def where(self, position: float) -> float:
        """s of a position on the scale of sizes.py."""
        return float(np.interp(position, self.position, self.s))


def canal_curve(spine: Spine) -> Curve:
    """The curve through the canal centres of all levels, from the midbrain to the end of the sacrum."""
    knots, left, rows = _knots(spine)
    chord = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    path = CubicSpline(chord, knots)
    s = np.arange(0, chord[-1], 0.5)
    down = path(s, 1)
    down /= np.linalg.norm(down, axis=1, keepdims=True)
    side = CubicSpline(chord, left)(s)
    side -= down * np.sum(side * down, axis=1, keepdims=True)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    position, width, depth, body = PchipInterpolator(chord, rows)(s).T
    return Curve(
        s=s, points=path(s), down=down, left=side, back=np.cross(side, down), position=position,
        half_width=width / 2, half_depth=depth / 2, indent=_indent(spine, s, chord), body_depth=body,
    )  # fmt: skip


def _knots(spine: Spine) -> tuple[Floats, Floats, Floats]:
    top = spine.vertebrae[0]
    k, c = spine.scale, top.canal_centre
    above = top.body.height / 2
    head: list[tuple[float, ...]] = [(above + 95 * k, c - 16 * k, -4, 30, 24), (above + 55 * k, c - 7 * k, -2, 28, 22),
            (above + 27 * k, c + 1.5 * k, 0, 27, 21), (above + 9 * k, c + 2.5 * k, 1, 26, 19)]  # fmt: skip
    points = [top.placed.world(0, b, h) for h, b, *_ in head]
    left = [top.placed.axes[0]] * len(head)
    rows: list[tuple[float, ...]] = [(p, w * k, d * k, 16 * k) for _, _, p, w, d in head]
    for v in spine.vertebrae:
        points.append(v.placed.world(0, v.canal_centre, 0))
        left.append(v.placed.axes[0])
        rows.append((v.position, v.posterior.canal_width, v.posterior.canal_depth, v.body.depth))
    for n, piece in enumerate(spine.sacrum):
        points.append(piece.placed.world(0, piece.body.depth / 2 + 1 + piece.canal_depth / 2, 0))
        left.append(piece.placed.axes[0])
        rows.append((25.0 + n, piece.canal_width, piece.canal_depth, piece.body.depth))
    return np.array(points), np.array(left), np.array(rows)


def _indent(spine: Spine, s: Floats, chord: Floats) -> Floats:
    """How far discs push into the canal from the front."""
    total = np.zeros_like(s)
    for n, v in enumerate(spine.vertebrae):
        middle = (chord[n + 4] + chord[n + 5]) / 2
        total += v.disc.bulge * np.exp(-(((s - middle) / 3.5) ** 2))
    return total


@dataclass(frozen=True, eq=False)
class Around:
    """Curvilinear coordinates of the voxels of a grid; `level` is the position (sizes.py), also beyond the curve."""

    s: Field
    x: Field
    y: Field
    level: Field


def coordinates(curve: Curve, grid: Grid) -> Around:
    """Coordinates on a coarse lattice by nearest point, between them linearly; exact to a few tenths near the canal."""
    axes = [_lattice(n, float(np.linalg.norm(step))) for n, step in zip(grid.shape, grid.steps, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    points = grid.origin + index @ grid.steps
    tree = cKDTree(curve.points[::2])
    nearest = tree.query(points.reshape(-1, 3))[1].reshape(points.shape[:-1]) * 2
    off = points - curve.points[nearest]
    s = curve.s[nearest] + np.clip(np.sum(off * curve.down[nearest], axis=-1), -40, 40)
    x = np.sum(off * curve.left[nearest], axis=-1)
    y = np.sum(off * curve.back[nearest], axis=-1)
    level = curve.at(curve.position, s) + np.maximum(s - curve.s[-1], 0) / 15 + np.minimum(s, 0) / 25
    matrices = [_between(axis, n) for axis, n in zip(axes, grid.shape, strict=True)]
    return Around(*(_spread(f.astype(np.float32), matrices) for f in (s, x, y, level)))


def _lattice(count: int, step: float) -> Floats:
    return (
        np.linspace(0, count - 1, max(2, int(np.ceil((count - 1) * step / COARSE)) + 1)) if count > 1 else np.zeros(1)
    )


def _between(axis: Floats, count: int) -> Field:
    """The matrix that interpolates linearly from lattice to voxels."""
    if count == 1:
        return np.ones((1, 1), dtype=np.float32)
    f = np.clip(np.arange(count) / (axis[1] - axis[0]), 0, len(axis) - 1)
    i = np.minimum(f.astype(int), len(axis) - 2)
    matrix = np.zeros((count, len(axis)), dtype=np.float32)
    matrix[np.arange(count), i] = 1 - (f - i)
    matrix[np.arange(count), i + 1] += f - i
    return matrix


def _spread(field: Field, matrices: list[Field]) -> Field:
    slices, rows, columns = matrices
    field = np.tensordot(slices, field, axes=(1, 0))
    return np.asarray(np.matmul(np.matmul(rows, field), columns.T), dtype=np.float32)


def cord_profile(spine: Spine, curve: Curve, s: Floats) -> tuple[Floats, Floats, Floats]:
    """Half width, half depth and offset backwards of the cord at s; zero below the conus."""
    position = curve.at(curve.position, s)
    sizes = np.array([cord_size(p) for p in np.arange(-4, 31, 0.25)]) / 2 * spine.scale
    steps = np.arange(-4, 31, 0.25)
    end = curve.where(spine.conus)
    left = np.clip((end - s) / 28.0, 0, 1)
    cone = np.sqrt(left * (2 - left))
    shift = np.interp(position, (0, 4, 8, 13, 18, 21), (-1.0, -0.3, -0.8, -2.0, -0.6, 1.5)) * spine.scale
    return np.interp(position, steps, sizes[:, 0]) * cone, np.interp(position, steps, sizes[:, 1]) * cone, shift
