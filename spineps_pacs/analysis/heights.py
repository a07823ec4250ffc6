"""Heights of bodies and discs at the front, in the middle and at the back of their mid-sagittal plane."""

from __future__ import annotations

import numpy as np

from spineps_pacs.analysis.answers import given, not_given
from spineps_pacs.analysis.frames import POSTERIOR, Spot
from spineps_pacs.analysis.shapes import BOTH, Shape
from spineps_pacs.domain.report import Measurement

PLACES = {"anterior": 0.1, "middle": 0.5, "posterior": 0.9}
"""Where a height is taken, as a part of the depth from front to back."""
REACH, LEAST_REACH = 0.12, 2.5
"""How far around that place the endplates are looked at: as a part of the depth, and at least so many mm."""

PIXEL_ERROR, SCATTER_ERROR, PLACE_ERROR = 0.4, 0.6, 2.0
"""Share of the pixel size and of the scatter that is uncertain, and how uncertain the place along the depth is, mm."""


def heights(shape: Shape, kind: str, extent: tuple[float, float] | None = None) -> list[Measurement]:
    """The three heights of a body or a disc; `kind` is what their names begin with.

    `extent` is where its depth begins and ends in its frame, when that is not the shape's own.
    """
    if shape.ends != BOTH:
        return no_heights(shape.instance, kind, shape.problem)
    front, back = extent or shape.extent()
    return [_height(shape, f"{kind}_{name}", front + part * (back - front)) for name, part in PLACES.items()]


def between(disc: Shape, above: Shape | None, below: Shape | None) -> tuple[float, float] | None:
    """Where the endplates that face a disc begin and end, on average, in the disc's frame; None without both bodies.

    A bulge of the disc is not part of its depth.
    """
    if above is None or below is None or "lower" not in above.ends or "upper" not in below.ends:
        return None
    rims = np.array(
        [disc.frame.local(np.array(body.rim(end)))[:, POSTERIOR] for body, end in ((above, "lower"), (below, "upper"))]
    )
    front, back = rims.mean(axis=0)
    return float(front), float(back)


def no_heights(subject: int, kind: str, why: str) -> list[Measurement]:
    """Three times no height."""
    return [not_given(f"{kind}_{name}", subject, why) for name in PLACES]


def _height(shape: Shape, kind: str, behind: float) -> Measurement:
    reach = (shape.band, max(LEAST_REACH, REACH * shape.size[POSTERIOR]))
    top, bottom = (side.at((0.0, behind), reach) for side in (shape.upper, shape.lower))
    if top is None or bottom is None:
        return not_given(kind, shape.instance, "there is no endplate at this place")
    line = (shape.frame.world(0.0, behind, top.value), shape.frame.world(0.0, behind, bottom.value))
    return given(kind, shape.instance, (top.value - bottom.value, _error(shape, top, bottom)), line)


def _error(shape: Shape, top: Spot, bottom: Spot) -> float:
    """Half width of the 95 % interval: pixel size, scatter of both surfaces, and the place if they diverge."""
    place = PLACE_ERROR * abs(top.slope - bottom.slope)
    return float(np.hypot(PIXEL_ERROR * shape.in_plane + SCATTER_ERROR * np.hypot(top.scatter, bottom.scatter), place))


def ratio(found: list[Measurement]) -> Measurement:
    """Anterior by posterior height, of the three heights of a body."""
    front, back = found[0], found[2]
    kind = "body_height_ratio"
    if not front.value or not back.value or not front.uncertainty or not back.uncertainty:
        return not_given(kind, front.subject, front.reason or back.reason)
    value = front.value / back.value
    error = value * float(np.hypot(front.uncertainty / front.value, back.uncertainty / back.value))
    return given(kind, front.subject, (value, error))
