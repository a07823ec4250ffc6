"""The spinal column in the masks: which vertebra follows which, and the shapes of bodies, discs and sacrum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spineps_pacs.analysis.frames import LEFT, POSTERIOR, UP, Frame, Solid, pieces, unit
from spineps_pacs.analysis.shapes import FEW_VOXELS, Shape, in_view, shape
from spineps_pacs.domain.anatomy import (
    CORPUS_ID,
    DISC_ID,
    DISC_OFFSET,
    ENDPLATE_ID,
    ENDPLATE_OFFSET,
    LEVEL_IDS,
    SACRUM_ID,
    VERTEBRAE_BELOW,
)
from spineps_pacs.domain.masks import InstanceMask, Levels, SemanticMask
from spineps_pacs.domain.volume import Floats

ENDPLATE_IDS = (ENDPLATE_ID, 52, 53)
BODY_IDS = (CORPUS_ID, 50, *ENDPLATE_IDS)
"""Structures that make up a body with its endplates (50 is the filled corpus of dense models)."""
TALL = 1.45
"""An uppermost body so many times as tall as the next one is C2 with its dens."""


@dataclass(frozen=True, eq=False)
class Column:
    """Vertebrae from the head down (sacrum last), their bodies, the discs by the vertebra above, the top of the sacrum.

    `problems` says why a body (its id) or disc (100 + id of the vertebra above) that is there has no shape.
    """

    sequence: tuple[int, ...]
    bodies: dict[int, Shape]
    discs: dict[int, Shape]
    problems: dict[int, str]

    def below(self, instance: int) -> int | None:
        """The next vertebra below, None for the last."""
        place = self.sequence.index(instance) + 1
        return self.sequence[place] if place < len(self.sequence) else None

    def why_not(self, instance: int) -> str:
        """Why a vertebra (its id) or disc (100 + id of the vertebra above) has no shape."""
        what = "disc" if instance > DISC_OFFSET else "vertebral body"
        return self.problems.get(instance, f"no {what} was found")


def find_column(structures: SemanticMask, instances: InstanceMask, levels: Levels, canal: Floats) -> Column:
    """All shapes of a spine; `canal` are the centres of the canal's voxels, LPS mm (n, 3)."""
    sequence = _order(levels, instances)
    bony = {i: (i, i + ENDPLATE_OFFSET) for i in sequence if i != SACRUM_ID}
    solids = _big(pieces(structures, instances, BODY_IDS, bony))
    frames = _rough_frames(solids, canal)
    axis = _axis(solids, frames, levels)
    made = {i: _axis_body(i, s, frames[i]) if i == axis else _made(i, s, frames[i]) for i, s in solids.items()}
    bodies, problems = _sorted(made)
    if SACRUM_ID in sequence:
        last = bodies.get(sequence[-2]) if len(sequence) > 1 else None
        found, wrong = _sorted({SACRUM_ID: _sacrum(structures, instances, last)})
        bodies, problems = bodies | found, problems | wrong
    wanted = {i: (i,) for i in instances.ids() if DISC_OFFSET < i < ENDPLATE_OFFSET}
    solids = _big(pieces(structures, instances, (DISC_ID,), wanted)) if bodies else {}
    discs, wrong = _sorted({i: _made(i, s, _disc_frame(s, bodies), own_middle=False) for i, s in solids.items()})
    return Column(sequence, bodies, {i - DISC_OFFSET: s for i, s in discs.items()}, problems | wrong)


def _sorted(made: dict[int, Shape | str]) -> tuple[dict[int, Shape], dict[int, str]]:
    shapes = {i: s for i, s in made.items() if isinstance(s, Shape)}
    return shapes, {i: s for i, s in made.items() if isinstance(s, str)}


def _order(levels: Levels, instances: InstanceMask) -> tuple[int, ...]:
    present = [i for i in instances.ids() if i < VERTEBRAE_BELOW]
    place = {c.instance: c.position for c in levels.choices}
    return tuple(sorted(present, key=lambda i: (i == SACRUM_ID, place.get(i, 100 + i))))


def _big(solids: dict[int, Solid]) -> dict[int, Solid]:
    return {i: s.largest() for i, s in solids.items() if s.mask.sum() >= FEW_VOXELS}


def _rough_frames(solids: dict[int, Solid], canal: Floats) -> dict[int, Frame]:
    """A first frame for each body: up along the chain of bodies, posterior towards the canal."""
    centres = np.array([s.points().mean(axis=0) for s in solids.values()])
    alone = len(centres) < 2
    ups = np.array([_along_canal(c, canal) for c in centres]) if alone else -np.gradient(centres, axis=0)
    return {i: _towards(c, up, canal) for i, c, up in zip(solids, centres, ups, strict=True)}


def _along_canal(centre: Floats, canal: Floats) -> Floats:
    """Upwards along the canal near a lonely body; the patient's up without a canal."""
    near = canal[np.linalg.norm(canal - centre, axis=1) < 60]
    if len(near) <= 3:
        return np.array([0.0, 0.0, 1.0])
    axis = np.linalg.svd(near - near.mean(axis=0), full_matrices=False)[2][0]
    return np.asarray(axis if axis[2] > 0 else -axis)


def _towards(centre: Floats, up: Floats, canal: Floats) -> Frame:
    """The frame at a centre whose posterior axis points to the canal at this height, or else to the patient's back."""
    off = canal - centre
    near = off[(np.abs(off @ unit(up)) < 10) & (np.linalg.norm(off, axis=1) < 60)]
    return Frame.along(centre, up, near.mean(axis=0) if len(near) > 20 else np.array([0.0, 1.0, 0.0]))


def _axis(solids: dict[int, Solid], frames: dict[int, Frame], levels: Levels) -> int | None:
    """C2: the vertebra of that name, or without names an uppermost body that is far taller than the next."""
    named = [c.instance for c in levels.choices if c.level == LEVEL_IDS["C2"]]
    if any(c.level for c in levels.choices) or len(solids) < 2:
        return named[0] if named else None
    first, second = list(solids)[:2]
    tall = [float(np.ptp(solids[i].points() @ frames[i].axes[UP])) for i in (first, second)]
    return first if tall[0] > TALL * tall[1] else None


def _made(instance: int, solid: Solid, frame: Frame, own_middle: bool = True) -> Shape | str:
    """The shape, or why there is none."""
    return shape(instance, solid, frame, in_view(solid, frame, own_middle))


def _axis_body(instance: int, solid: Solid, frame: Frame) -> Shape | str:
    """The lower part of C2, without the dens."""
    local = frame.local(solid.points())
    low, high = np.percentile(local[:, UP], (1, 99))
    lower = _part(solid, frame, (low - 5, low + 0.45 * (high - low)))
    view = in_view(lower, frame)
    if "lower" not in view.ends:
        return view.problem
    problem = view.problem or "the dens stands where an upper endplate would be"
    return shape(instance, lower, frame, replace(view, ends=("lower",), problem=problem))


def _part(solid: Solid, frame: Frame, up: tuple[float, float], left: float = np.inf, behind: float = np.inf) -> Solid:
    """The voxels of a solid between two heights of a frame, not too far to the sides and backwards."""
    local = frame.local(solid.points())
    keep = (local[:, UP] > up[0]) & (local[:, UP] < up[1]) & (np.abs(local[:, LEFT]) < left)
    keep &= local[:, POSTERIOR] < behind
    mask = solid.mask.copy()
    mask[mask] = keep
    return Solid(mask, solid.first, solid.geometry)


def _disc_frame(solid: Solid, bodies: dict[int, Shape]) -> Frame:
    """A first frame for a disc: the axes of the nearest body, the mid-sagittal plane of the two nearest ones."""
    centre = solid.points().mean(axis=0)
    near = sorted(bodies.values(), key=lambda b: float(np.linalg.norm(b.frame.origin - centre)))[:2]
    frame = Frame(centre, near[0].frame.axes)
    aside = float(np.mean([frame.local(b.frame.origin)[LEFT] for b in near]))
    return Frame(frame.world(aside, 0.0, 0.0), frame.axes)


def _sacrum(structures: SemanticMask, instances: InstanceMask, last: Shape | None) -> Shape | str:
    """The top of the sacrum below the last body: what lies under that body's footprint, one body deep."""
    if last is None:
        return "the vertebra above the sacrum has no shape"
    ids = (SACRUM_ID, *ENDPLATE_IDS)
    solid = pieces(structures, instances, ids, {0: (SACRUM_ID, SACRUM_ID + ENDPLATE_OFFSET)})[0]
    width, depth, height = last.size
    under = Frame(last.frame.world(0, 0, -height / 2), last.frame.axes)
    top = _part(solid, under, (-height - depth / 2, 5.0), width / 2, depth / 2 + 6)
    if top.mask.sum() < FEW_VOXELS:
        return "too little of the sacrum lies below the last vertebra"
    view = in_view(top, under, own_middle=False)
    return shape(SACRUM_ID, top, under, replace(view, ends=("upper",))) if "upper" in view.ends else view.problem
