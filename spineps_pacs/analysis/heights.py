"""Heights of bodies and discs at the front, in the middle and at the back of their mid-sagittal plane."""

from __future__ import annotations

import numpy as np

from spineps_pacs.analysis.answers import given, not_given
from spineps_pacs.analysis.frames import POSTERIOR
from spineps_pacs.analysis.shapes import BOTH, Shape
from spineps_pacs.domain.report import Measurement

PLACES = {"anterior": 0.1, "middle": 0.5, "posterior": 0.9}
"""Where a height is taken, as a part of the depth from front to back."""
REACH, LEAST_REACH = 0.12, 2.5
"""How far around that place the endplates are looked at: as a part of the depth, and at least so many mm."""


def heights(shape: Shape, kind: str) -> list[Measurement]:
    """The three heights of a body or a disc; `kind` is what their names begin with."""
    if shape.ends != BOTH:
        return no_heights(shape.instance, kind, shape.problem)
    front, back = shape.extent()
    return [_height(shape, f"{kind}_{name}", front + part * (back - front)) for name, part in PLACES.items()]


def no_heights(subject: int, kind: str, why: str) -> list[Measurement]:
    """Three times no height."""
    return [not_given(f"{kind}_{name}", subject, why) for name in PLACES]


def _height(shape: Shape, kind: str, behind: float) -> Measurement:
    reach = (shape.band, max(LEAST_REACH, REACH * shape.size[POSTERIOR]))
    ends = [side.at((0.0, behind), reach) for side in (shape.upper, shape.lower)]
    if ends[0] is None or ends[1] is None:
        return not_given(kind, shape.instance, "there is no endplate at this place")
    (top, scatter), (bottom, other) = ends
    error = 0.6 * shape.in_plane + float(np.hypot(scatter, other))
    line = (shape.frame.world(0.0, behind, top), shape.frame.world(0.0, behind, bottom))
    return given(kind, shape.instance, (top - bottom, error), line)


def ratio(found: list[Measurement]) -> Measurement:
    """Anterior by posterior height, of the three heights of a body."""
    front, back = found[0], found[2]
    kind = "body_height_ratio"
    if not front.value or not back.value or not front.uncertainty or not back.uncertainty:
        return not_given(kind, front.subject, front.reason or back.reason)
    value = front.value / back.value
    error = value * float(np.hypot(front.uncertainty / front.value, back.uncertainty / back.value))
    return given(kind, front.subject, (value, error))
