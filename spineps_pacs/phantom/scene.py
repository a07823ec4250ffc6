"""What the painters of soft tissue share: curvilinear places, noises, and rules of who may paint where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.phantom.canal import Around, Curve
from spineps_pacs.phantom.canvas import UNSET, Canvas, Mask
from spineps_pacs.phantom.grid import Box, Field, Grid, Waves, draw_waves
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.tissues import Tissue

_LOWEST, _HIGHEST, _STEP = -12.0, 44.0, 0.02
BOX = 200_000
"""Voxels painted at a time."""
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Scene:
    """Places: x left, y back (mm from the canal's centre), side = |x|, level (sizes.py), deep = mm in front of bodies.

    Noises are smooth functions of the world point with about unit variance: `noise` coarse, `fine` fine, `fibres` long
    in the body's long axis.
    """

    spine: Spine
    reach: tuple[float, float]
    x: Field
    y: Field
    side: Field
    level: Field
    deep: Field
    noise: Field
    fine: Field
    fibres: Field
    tissue: NDArray[np.uint8]
    free: Mask
    rank: NDArray[np.int16]

    def put(self, mask: Mask, tissue: Tissue) -> None:
        """Paints where it is free; later painters paint over earlier ones."""
        self.tissue[mask & self.free] = tissue

    def shows(self, low: float, high: float) -> bool:
        """Whether any of it lies between two levels."""
        return self.reach[1] > low and self.reach[0] < high

    def profile(self, *points: tuple[float, float]) -> Field:
        """A number that changes along the spine, from pairs (level, value)."""
        return np.asarray(np.take(_table(points), self.rank))

    def between(self, low: float, high: float) -> Mask:
        """Where the level lies between two."""
        return np.asarray((self.level > low) & (self.level < high))


def _table(points: Points) -> Field:
    knots = np.array(points)
    return np.asarray(np.interp(np.arange(_LOWEST, _HIGHEST, _STEP), knots[:, 0], knots[:, 1]), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Stage:
    """What all scenes of one spine share: its noises, and how deep the bodies are along it."""

    spine: Spine
    noises: tuple[Waves, Waves, Waves]
    front: Field

    @staticmethod
    def of(spine: Spine, curve: Curve) -> Stage:
        """The stage of a spine."""
        rng = np.random.default_rng([spine.seed, 23])
        coarse, fine = draw_waves(rng, 25, 80, 16), draw_waves(rng, 4.5, 14, 24)
        fibres = draw_waves(rng, 3.0, 9, 24, np.array([1.0, 1.0, 6.0]))
        half = curve.body_depth + curve.half_depth + 1
        body = [(float(p), float(d)) for p, d in zip(curve.position[::8], half[::8], strict=True)]
        return Stage(spine, (coarse, fine, fibres), _table(tuple(body)))

    def scene(self, around: Around, canvas: Canvas) -> Scene:
        """The scene of a canvas on which the spine itself is already painted."""
        noise, fine, fibres = (waves.on(canvas.grid) for waves in self.noises)
        rank = ((around.level - np.float32(_LOWEST)) * np.float32(1 / _STEP)).astype(np.int16)
        np.clip(rank, 0, len(self.front) - 2, out=rank)
        x, y, free = around.x, around.y, canvas.tissues == UNSET
        deep = -(y + np.take(self.front, rank))
        reach = (float(around.level.min()), float(around.level.max()))
        return Scene(
            self.spine, reach, x, y, np.abs(x), around.level, deep, noise, fine, fibres, canvas.tissues, free, rank
        )  # fmt: skip


def scenes(spine: Spine, curve: Curve, around: Around, canvas: Canvas) -> Iterator[tuple[Scene, Canvas]]:
    """The scenes of a canvas, box by box: what fits a processor's cache is painted several times as fast."""
    stage = Stage.of(spine, curve)
    for box in _boxes(canvas.grid):
        part = canvas.part(box)
        yield stage.scene(Around(*(f[box] for f in (around.s, around.x, around.y, around.level))), part), part


def _boxes(grid: Grid) -> Iterator[Box]:
    """Boxes of at most BOX voxels, cut across the axis that runs along the body, then across the first."""
    along = int(np.argmax(np.abs(grid.steps[:, 2])))
    pieces = [1, 1, 1]
    size = float(np.prod(grid.shape))
    pieces[along] = min(grid.shape[along], max(1, round(np.sqrt(size / BOX))))
    other = 0 if along else 1
    pieces[other] = min(grid.shape[other], max(1, int(np.ceil(size / pieces[along] / BOX))))
    edges = [np.linspace(0, n, k + 1).astype(int).tolist() for n, k in zip(grid.shape, pieces, strict=True)]
    spans = [[slice(a, b) for a, b in pairwise(e)] for e in edges]
    yield from product(*spans)
