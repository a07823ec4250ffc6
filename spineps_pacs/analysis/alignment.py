"""How bodies stand to each other: slip between neighbours, lordosis and kyphosis."""

from __future__ import annotations

import numpy as np

from spineps_pacs.analysis.answers import given, not_given
from spineps_pacs.analysis.column import Column
from spineps_pacs.analysis.frames import LEFT, POSTERIOR, UP, Frame, unit
from spineps_pacs.analysis.shapes import Shape
from spineps_pacs.domain.anatomy import SACRUM_ID, SACRUM_NAME, VERTEBRAE
from spineps_pacs.domain.masks import Levels
from spineps_pacs.domain.report import Measurement, Missing

FAR_APART = 25.0
"""Neighbours whose endplates are further apart than this, mm, are none: one between them was missed."""
SLIP_ERROR = 1.5
"""Uncertainty of a slip in mm at the finest resolution: back walls are rough."""
End = tuple[str, str]
"""A level's name and which of its endplates: upper or lower."""


def slips(column: Column) -> list[Measurement]:
    """The slip of each vertebra on the next one below."""
    pairs = [(i, column.below(i)) for i in column.sequence]
    return [_slip(column, upper, lower) for upper, lower in pairs if lower is not None]


def _slip(column: Column, upper: int, lower: int) -> Measurement:
    for instance, end in ((upper, "lower"), (lower, "upper")):
        if instance not in column.bodies:
            return not_given("slip", upper, column.why_not(instance), lower)
        if end not in column.bodies[instance].ends:
            return not_given("slip", upper, column.bodies[instance].problem, lower)
    above, under = column.bodies[upper], column.bodies[lower]
    frame = Frame.along(under.corner("upper"), under.normal("upper"), under.frame.axes[POSTERIOR])
    place = frame.local(above.corner("lower"))
    if abs(place[UP]) > FAR_APART:
        return not_given(
            "slip", upper, f"the next vertebra is {abs(place[UP]):.0f} mm away", lower, Missing.NOT_ATTEMPTED
        )
    line = (frame.world(0.0, float(place[POSTERIOR]), 0.0), frame.origin)
    return given("slip", upper, (-place[POSTERIOR], _slip_error(above, under)), line, lower)


def _slip_error(above: Shape, under: Shape) -> float:
    """Half width of the 95 % interval: roughness of the back walls, pixel and slice size."""
    slice_step = above.solid.geometry.spacing[0]
    return float(np.linalg.norm([SLIP_ERROR, max(above.in_plane, under.in_plane), 0.2 * slice_step]))


def angles(column: Column, levels: Levels) -> list[Measurement]:
    """Lordosis and kyphosis between named levels; both count their own curve as positive."""
    named = {VERTEBRAE[c.level].name: c.instance for c in levels.choices if c.level in VERTEBRAE}
    last = _last_thoracic(named)
    if named and SACRUM_ID in column.sequence:
        named[SACRUM_NAME] = SACRUM_ID
    return [
        _angle(column, named, "lordosis_cervical", (("C2", "lower"), ("C7", "lower")), 1.0),
        _angle(column, named, "kyphosis_thoracic", (("T4", "upper"), (last, "lower")), -1.0),
        _angle(column, named, "lordosis_lumbar", (("L1", "upper"), (SACRUM_NAME, "upper")), 1.0),
    ]


def _last_thoracic(named: dict[str, int]) -> str:
    """T12, or in a spine that has 11 or 13 thoracic vertebrae the one above L1."""
    if "T13" in named:
        return "T13"
    return "T11" if {"T11", "L1"} <= named.keys() and "T12" not in named else "T12"


def _angle(column: Column, named: dict[str, int], kind: str, ends: tuple[End, End], sign: float) -> Measurement:
    found = [_end(column, named, end) for end in ends]
    for end in found:
        if isinstance(end, str):
            return not_given(kind, 0, end, missing=Missing.NOT_ATTEMPTED)
    (above, upper), (under, lower) = (end for end in found if not isinstance(end, str))
    value = sign * angle((above, upper), (under, lower))
    line = (*above.rim(upper), *under.rim(lower))
    return given(kind, above.instance, (value, _angle_error(above, under)), line, under.instance)


def _angle_error(*bodies: Shape) -> float:
    """Half width of the 95 % interval in degrees: half a pixel over the depth of each endplate, and half a degree."""
    tilts = [np.degrees(0.5 * body.in_plane / body.size[POSTERIOR]) for body in bodies]
    return float(np.linalg.norm([0.5, *tilts]))


def _end(column: Column, named: dict[str, int], end: End) -> tuple[Shape, str] | str:
    """The shape whose endplate it is, or why it cannot be had."""
    name, side = end
    instance = named.get(name)
    if instance is None:
        return f"no vertebra is named {name}"
    if instance not in column.bodies:
        return f"{name}: {column.why_not(instance)}"
    body = column.bodies[instance]
    return (body, side) if side in body.ends else f"{name}: {body.problem}"


def angle(upper: tuple[Shape, str], lower: tuple[Shape, str]) -> float:
    """Degrees by which the upper endplate's normal leans further back than the lower one's, in the sagittal plane."""
    normals = [body.normal(end) for body, end in (upper, lower)]
    left = unit(upper[0].frame.axes[LEFT] + lower[0].frame.axes[LEFT])
    back = unit(np.cross(normals[0] + normals[1], left))
    up = np.cross(left, back)
    lean = [np.arctan2(n @ back, n @ up) for n in normals]
    return float(np.degrees(lean[0] - lean[1]))
