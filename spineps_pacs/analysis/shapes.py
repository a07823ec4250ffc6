"""Bodies, discs and the top of the sacrum as shapes: a local frame each, endplates and back wall as surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.frames import LEFT, POSTERIOR, UP, Frame, Shapeless, Solid, Surface, robust_fit, unit
from spineps_pacs.domain.volume import Floats, Geometry

FEW_VOXELS, FEW_SLICES, FEW_LINES = 60, 3, 4
"""A thing with fewer voxels, slices, or lines through an endplate has no shape that one could measure."""
INNER = 0.8
"""Part of the half width and half depth that tells how an endplate lies; beyond are rims and osteophytes."""
RIM = 0.08
"""Part of the height at the rims that does not count for a wall: osteophytes sit there."""
BOTH = ("upper", "lower")


@dataclass(frozen=True)
class View:
    """What can be seen of a solid: which ends (upper, lower) are true endplates wholly in view, and why not both are.

    With `own_middle` its mid-sagittal plane goes through its own centre, otherwise through the given frame's origin.
    """

    ends: tuple[str, ...]
    problem: str = ""
    own_middle: bool = True
    is_cut: bool = False


@dataclass(frozen=True, eq=False)
class Shape:
    """A body, a disc or the top of the sacrum in its own frame, whose origin is its centre.

    `size` are extents in mm along left, posterior and up. The sides are points in the frame.
    """

    instance: int
    solid: Solid
    frame: Frame
    size: tuple[float, float, float]
    upper: Surface
    lower: Surface
    back: Surface
    view: View

    @property
    def ends(self) -> tuple[str, ...]:
        """Which of upper and lower are true endplates wholly in view."""
        return self.view.ends

    @property
    def problem(self) -> str:
        """Why not both are."""
        return self.view.problem

    @property
    def is_cut(self) -> bool:
        """True when the field of view ends within it."""
        return self.view.is_cut

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
        if len(np.unique(points[:, POSTERIOR])) < FEW_LINES:
            raise Shapeless("its middle is hardly there")
        lines = [points[points[:, LEFT] == x, POSTERIOR] for x in np.unique(points[:, LEFT])]
        half = float(np.min(np.diff(np.unique(points[:, POSTERIOR])))) / 2
        front, back = (float(np.median([end(line) for line in lines])) for end in (np.min, np.max))
        return front - half, back + half

    def rim(self, end: str) -> tuple[Floats, Floats]:
        """Front and back of an endplate in the mid-sagittal plane, LPS."""
        front, back = (self.frame.world(0.0, place, self._plate(end, place)) for place in self.extent())
        return front, back

    def corner(self, end: str) -> Floats:
        """The back corner of an endplate in the mid-sagittal plane, LPS, where the back wall meets it."""
        back = self.extent()[1]
        heights = {e: self._plate(e, back) for e in BOTH}
        up = heights[end]
        return self.frame.world(0.0, self._wall(heights["lower"], heights["upper"], up), up)

    def _plate(self, end: str, behind: float) -> float:
        """How high an endplate lies at a place of the mid-sagittal plane, mm in the frame."""
        side, sign = (self.upper, 1) if end == "upper" else (self.lower, -1)
        spot = side.at((0.0, behind), (self.band, 0.2 * self.size[POSTERIOR]))
        return spot.value if spot else sign * self.size[UP] / 2

    def _wall(self, bottom: float, top: float, up: float) -> float:
        """How far back the back wall lies at a height: a parabola through its points between the rims."""
        margin, points = RIM * (top - bottom), self.back.points
        near = (
            (np.abs(points[:, LEFT]) < self.band) & (points[:, UP] > bottom + margin) & (points[:, UP] < top - margin)
        )
        h = points[near, UP]
        if len(h) < FEW_LINES:
            return self.extent()[1]
        found, _ = robust_fit(np.column_stack([np.ones(len(h)), h, h * h]), points[near, POSTERIOR], np.ones(len(h)))
        return float(found @ (1.0, up, up * up))

    def normal(self, end: str) -> Floats:
        """The upward unit normal of the upper or lower endplate, LPS."""
        points = (self.upper if end == "upper" else self.lower).points
        half = np.array(self.size)[[LEFT, POSTERIOR]] / 2 * INNER
        inner = (np.abs(points[:, [LEFT, POSTERIOR]]) < half).all(axis=1)
        if inner.sum() < FEW_LINES:
            raise Shapeless("its endplate is hardly there")
        return np.asarray(Surface(points[inner], UP).normal() @ self.frame.axes)


def shape(instance: int, solid: Solid, frame: Frame, view: View) -> Shape | str:
    """The shape of a solid, its frame turned until up is the mean normal of its endplates; or why it has none."""
    if not view.ends:
        return view.problem
    try:
        return _settled(instance, solid, frame, view)
    except Shapeless as problem:
        return str(problem)


def _settled(instance: int, solid: Solid, frame: Frame, view: View) -> Shape:
    """The shape once its frame has stopped turning; raises Shapeless here rather than later, when it is asked."""
    found = _shape(instance, solid, frame, view)
    for _ in range(2):
        up = unit(np.sum([found.normal(end) for end in view.ends], axis=0))
        turned = Frame.along(found.frame.origin, up, frame.axes[POSTERIOR])
        found = _shape(instance, solid, turned, view)
    found.extent()
    for end in view.ends:
        found.normal(end)
    return found


def _shape(instance: int, solid: Solid, frame: Frame, view: View) -> Shape:
    frame, size = _centred(solid, frame, view.own_middle)
    lower, upper = solid.ends(frame, size, UP)
    _, back = solid.ends(frame, size, POSTERIOR)
    return Shape(
        instance, solid, frame, size,
        Surface(upper, UP), Surface(lower, UP), Surface(back, POSTERIOR), view,
    )  # fmt: skip


def _centred(solid: Solid, frame: Frame, own_middle: bool) -> tuple[Frame, tuple[float, float, float]]:
    """The frame moved to the middle of the solid, and the solid's extent (2 % of its voxels lie beyond)."""
    local = frame.local(solid.points())
    low, high = np.percentile(local, (1, 99), axis=0)
    middle = (low + high) / 2
    middle[LEFT] = float(local[:, LEFT].mean()) if own_middle else 0.0
    voxel = np.abs(frame.axes @ solid.geometry.affine[:3, :3]).max(axis=1)
    width, depth, height = (float(x) for x in high - low + voxel)
    return Frame(frame.origin + middle @ frame.axes, frame.axes), (width, depth, height)


def in_view(solid: Solid, frame: Frame, own_middle: bool = True) -> View:
    """Which ends of a solid lie in the field of view, and what is wrong with it if not all is well."""
    slices = solid.mask.sum(axis=(1, 2))
    used = int(np.count_nonzero(slices))
    if used < FEW_SLICES:
        return View((), f"it lies in {used} slices, {FEW_SLICES} are needed", own_middle)
    if _halved(solid, slices) if own_middle else _off_the_side(solid.geometry, frame):
        return View((), "it is cut at the side by the field of view", own_middle)
    border = solid.border_points((1, 2))
    if not len(border):
        return View(BOTH, "", own_middle)
    above = float((frame.local(border)[:, UP] > 0).mean())
    kept = ("lower",) if above > 0.9 else ("upper",) if above < 0.1 else ()
    return View(kept, "it is cut by the field of view", own_middle, is_cut=True)


def _halved(solid: Solid, slices: NDArray[np.int_]) -> bool:
    """True when the first or last slice of the grid shows more than half of the solid's largest cut."""
    last = solid.first[0] + len(slices) == solid.geometry.shape[0]
    outer = [slices[0] if solid.first[0] == 0 else 0, slices[-1] if last else 0]
    return bool(max(outer) > 0.5 * slices.max())


def _off_the_side(geometry: Geometry, frame: Frame) -> bool:
    """True when no slice lies to one side of a frame's origin."""
    place = float(geometry.to_index(frame.origin)[0])
    return not 1 <= place <= geometry.shape[0] - 2
