"""Cheap sums over the voxels of any affine grid: local coordinates, and noise that is a function of the world point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.volume import Geometry

Floats = NDArray[np.float64]
Field = NDArray[np.float32]
Real = NDArray[np.floating]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Grid:
    """A box of voxels: LPS mm of its first voxel, the step vector of each index (rows), its shape."""

    origin: Floats
    steps: Floats
    shape: tuple[int, int, int]

    @staticmethod
    def of(geometry: Geometry) -> Grid:
        """All voxels of a geometry."""
        return Grid(geometry.affine[:3, 3].copy(), geometry.affine[:3, :3].T.copy(), geometry.shape)

    def part(self, box: Box) -> Grid:
        """The voxels of a box inside it."""
        start = np.array([s.start for s in box], dtype=float)
        shape = (box[0].stop - box[0].start, box[1].stop - box[1].start, box[2].stop - box[2].start)
        return Grid(self.origin + start @ self.steps, self.steps, shape)

    def box_around(self, points: Floats, margin: float = 0.0) -> Box | None:
        """The smallest box of voxels that holds these world points; None when they all lie outside."""
        index = np.linalg.solve(self.steps.T, (points - self.origin).T).T
        pad = margin / np.linalg.norm(self.steps, axis=1)
        low = np.maximum(np.floor(index.min(axis=0) - pad).astype(int), 0)
        high = np.minimum(np.ceil(index.max(axis=0) + pad).astype(int) + 1, self.shape)
        if (low >= high).any():
            return None
        return (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2])))

    def along(self, direction: Floats, origin: Floats) -> Field:
        """(point - origin) . direction for every voxel, in mm."""
        first = float((self.origin - origin) @ direction)
        a, b, c = (np.arange(n) * float(step @ direction) for n, step in zip(self.shape, self.steps, strict=True))
        plane = (b[:, None] + c[None, :]).astype(np.float32)
        return np.asarray((first + a).astype(np.float32)[:, None, None] + plane[None], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Waves:
    """A smooth random function of the world point: a sum of plane waves (rad/mm), about unit variance."""

    vectors: Floats
    phases: Floats

    def on(self, grid: Grid) -> Field:
        """Its values on a grid; the exponentials separate along the axes, so the sum is one matrix product."""
        first = np.exp(1j * (self.vectors @ grid.origin + self.phases))
        s, r, c = (
            np.exp(1j * np.outer(self.vectors @ step, np.arange(n)))
            for n, step in zip(grid.shape, grid.steps, strict=True)
        )
        s = (s * first[:, None]).astype(np.complex64)
        plane = (r.astype(np.complex64)[:, :, None] * c.astype(np.complex64)[:, None, :]).reshape(len(first), -1)
        total = s.imag.T @ plane.real + s.real.T @ plane.imag
        return np.asarray(total * np.float32(np.sqrt(2.0 / len(first))), dtype=np.float32).reshape(grid.shape)


def draw_waves(
    rng: np.random.Generator, shortest: float, longest: float, count: int = 14, stretch: Floats | None = None
) -> Waves:
    """Random directions and wavelengths (mm); `stretch` lengthens the waves along x, y, z."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = np.exp(rng.uniform(np.log(shortest), np.log(longest), size=count))
    vectors = direction * (2 * np.pi / length)[:, None]
    if stretch is not None:
        vectors = vectors / np.asarray(stretch, dtype=float)
    return Waves(vectors, rng.uniform(0, 2 * np.pi, size=count))
