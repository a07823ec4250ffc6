"""Bodies, discs and the top of the sacrum as measurable shapes: a local frame each, and its endplates and back wall as surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spineps_pacs.analysis.frames import LEFT, POSTERIOR, UP, Frame, Solid, Surface, robust_fit, unit
from spineps_pacs.domain.volume import Floats

FEW_VOXELS, FEW_SLICES = 60, 3
"""A thing below these numbers of voxels or slices has no shape that one could measure."""
INNER = 0.8
"""Part of the half width and half depth that tells how an endplate lies; beyond are rims and osteophytes."""
RIM = 0.08
"""Part of the height at the rims that does not count for a wall: osteophytes sit there."""
BOTH = ("upper", "lower")


@dataclass(frozen=True, eq=False)
class Shape:
    """A body, a disc or the top of the sacrum in its own frame, whose origin is its centre.

    `size` are extents in mm along left, posterior and up. The sides are points in the frame. `ends` says which of upper
    and lower are true endplates, wholly in view; `problem` why not both are.
    """

    instance: int
    solid: Solid
    frame: Frame
    size: tuple[float, float, float]
    upper: Surface
    lower: Surface
    back: Surface
    ends: tuple[str, ...]
    problem: str

    @property
    def band(self) -> float:
        """Reach in mm to each side of the mid-sagittal plane: a good slice, or a seventh of the width."""
        return max(1.1 * self.solid.geometry.spacing[0], 0.15 * self.size[LEFT])

    @property
    def in_plane(self) -> float:
        """Size of a pixel in mm."""
        return max(self.solid.geometry.spacing[1:])

    def extent(self) -> tuple[float, float]:
        """Where the shape begins and ends from front to back in its mid-sagittal plane, mm in its frame.

        Seen from above: the rims count, a waist between them does not.
        """
        points = self.upper.points[np.abs(self.upper.points[:, LEFT]) < self.band]
        lines = [points[points[:, LEFT] == x, POSTERIOR] for x in np.unique(points[:, LEFT])]
        half = float(np.min(np.diff(np.unique(points[:, POSTERIOR])))) / 2
        front, back = (float(np.median([end(line) for line in lines])) for end in (np.min, np.max))
        return front - half, back + half

    def corner(self, end: str) -> Floats:
        """The back corner of an endplate in the mid-sagittal plane, LPS: where the back wall, bent, meets the endplate."""
        back = self.extent()[1]
        reach = (self.band, 0.2 * self.size[POSTERIOR])
        found = {e: side.at((0.0, back), reach) for e, side in (("upper", self.upper), ("lower", self.lower))}
        top, bottom = (found[e][0] if found[e] else sign * self.size[UP] / 2 for e, sign in (("upper", 1), ("lower", -1)))
        up = top if end == "upper" else bottom
        return self.frame.world(0.0, self._wall(bottom, top, up), up)

    def _wall(self, bottom: float, top: float, up: float) -> float:
        """How far back the back wall lies at a height: a parabola through its points between the rims."""
        margin, points = RIM * (top - bottom), self.back.points
        near = (np.abs(points[:, LEFT]) < self.band) & (points[:, UP] > bottom + margin) & (points[:, UP] < top - margin)
        h = points[near, UP]
        found, _ = robust_fit(np.column_stack([np.ones(len(h)), h, h * h]), points[near, POSTERIOR], np.ones(len(h)))
        return float(found @ (1.0, up, up * up))

    def normal(self, end: str) -> Floats:
        """The upward unit normal of the upper or lower endplate, LPS."""
        points = (self.upper if end == "upper" else self.lower).points
        half = np.array(self.size)[[LEFT, POSTERIOR]] / 2 * INNER
        inner = (np.abs(points[:, [LEFT, POSTERIOR]]) < half).all(axis=1)
        return np.asarray(Surface(points[inner], UP).normal() @ self.frame.axes)


def shape(instance: int, solid: Solid, frame: Frame, ends: tuple[str, ...] = BOTH, problem: str = "") -> Shape:
    """The shape of a solid, its frame turned until up is the mean normal of its endplates."""
    found = _shape(instance, solid, frame, ends, problem)
    for _ in range(2):
        up = unit(np.sum([found.normal(end) for end in ends], axis=0))
        turned = Frame.along(found.frame.origin, up, frame.axes[POSTERIOR])
        found = _shape(instance, solid, turned, ends, problem)
    return found


def _shape(instance: int, solid: Solid, frame: Frame, ends: tuple[str, ...], problem: str) -> Shape:
    frame, size = _centred(solid, frame)
    lower, upper = solid.ends(frame, size, UP)
    _, back = solid.ends(frame, size, POSTERIOR)
    return Shape(
        instance, solid, frame, size,
        Surface(upper, UP), Surface(lower, UP), Surface(back, POSTERIOR), ends, problem,
    )  # fmt: skip


def _centred(solid: Solid, frame: Frame) -> tuple[Frame, tuple[float, float, float]]:
    """The frame moved to the middle of the solid, and the solid's extent (2 % of its voxels lie beyond)."""
    local = frame.local(solid.points())
    low, high = np.percentile(local, (1, 99), axis=0)
    middle = (low + high) / 2
    middle[LEFT] = float(local[:, LEFT].mean())
    voxel = np.abs(frame.axes @ solid.geometry.affine[:3, :3]).max(axis=1)
    width, depth, height = (float(x) for x in high - low + voxel)
    return Frame(frame.origin + middle @ frame.axes, frame.axes), (width, depth, height)


def in_view(solid: Solid, frame: Frame) -> tuple[tuple[str, ...], str]:
    """Which ends of a solid lie in the field of view, and what is wrong with it if not all is well."""
    slices = solid.mask.sum(axis=(1, 2))
    if np.count_nonzero(slices) < FEW_SLICES:
        return (), f"it lies in {np.count_nonzero(slices)} slices, {FEW_SLICES} are needed"
    if _cut_sideways(solid, slices):
        return (), "it is cut at the side by the field of view"
    border = solid.border_points((1, 2))
    if not len(border):
        return BOTH, ""
    above = float((frame.local(border)[:, UP] > 0).mean())
    kept = ("lower",) if above > 0.9 else ("upper",) if above < 0.1 else ()
    return kept, "it is cut by the field of view"


def _cut_sideways(solid: Solid, slices: Floats) -> bool:
    """True when the first or last slice of the grid shows more than half of the solid's largest cut."""
    last = solid.first[0] + len(slices) == solid.geometry.shape[0]
    outer = [slices[0] if solid.first[0] == 0 else 0, slices[-1] if last else 0]
    return bool(max(outer) > 0.5 * slices.max())
