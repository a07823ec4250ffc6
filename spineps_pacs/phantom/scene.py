"""What the painters of soft tissue share: curvilinear places, noises, and rules of who may paint where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.phantom.canal import Around, Curve
from spineps_pacs.phantom.canvas import UNSET, Canvas, Mask
from spineps_pacs.phantom.grid import Field, draw_waves
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.tissues import Tissue

_LOWEST, _HIGHEST, _STEP = -12.0, 44.0, 0.02
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Scene:
    """Places: x left, y back (mm from the canal's centre), side = |x|, level (sizes.py), deep = mm in front of bodies.

    Noises are smooth functions of the world point with about unit variance: `noise` coarse, `fine` fine, `fibres` long
    in the body's long axis.
    """

    spine: Spine
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

    def profile(self, *points: tuple[float, float]) -> Field:
        """A number that changes along the spine, from pairs (level, value)."""
        return np.asarray(np.take(_table(points), self.rank))

    def between(self, low: float, high: float) -> Mask:
        """Where the level lies between two."""
        return np.asarray((self.level > low) & (self.level < high))


def _table(points: Points) -> Field:
    knots = np.array(points)
    return np.asarray(np.interp(np.arange(_LOWEST, _HIGHEST, _STEP), knots[:, 0], knots[:, 1]), dtype=np.float32)


def make_scene(spine: Spine, curve: Curve, around: Around, canvas: Canvas) -> Scene:
    """The scene of a canvas on which the spine itself is already painted."""
    rng = np.random.default_rng([spine.seed, 23])
    noise = draw_waves(rng, 25, 80, 16).on(canvas.grid)
    fine = draw_waves(rng, 4.5, 14, 24).on(canvas.grid)
    fibres = draw_waves(rng, 3.0, 9, 24, np.array([1.0, 1.0, 6.0])).on(canvas.grid)
    rank = ((around.level - np.float32(_LOWEST)) * np.float32(1 / _STEP)).astype(np.int16)
    np.clip(rank, 0, int((_HIGHEST - _LOWEST) / _STEP) - 2, out=rank)
    half = curve.body_depth + curve.half_depth + 1
    body = [(float(p), float(d)) for p, d in zip(curve.position[::8], half[::8], strict=True)]
    front = np.take(_table(tuple(body)), rank)
    x, y = around.x, around.y
    free = canvas.tissues == UNSET
    return Scene(
        spine, x, y, np.abs(x), around.level, -(y + front), noise, fine, fibres, canvas.tissues, free, rank
    )  # fmt: skip
