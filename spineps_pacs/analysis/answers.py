"""Answers: a number with its uncertainty and its line, or the reason why there is none."""

from __future__ import annotations

import numpy as np

from spineps_pacs.domain.report import Measurement, Missing, Point
from spineps_pacs.domain.volume import Floats

RANGES = {
    "volume": (0.0, 1e6), "disc_volume": (0.0, 1e5), "structure_volume": (0.0, 1e7),
    "body_height": (2.0, 60.0), "body_height_ratio": (0.2, 3.0), "disc_height": (0.2, 30.0),
    "canal_area": (20.0, 1500.0), "cord_area": (5.0, 300.0), "canal_ap_diameter": (3.0, 40.0), "slip": (-40.0, 40.0),
    "lordosis_cervical": (-90.0, 120.0), "kyphosis_thoracic": (-60.0, 150.0), "lordosis_lumbar": (-60.0, 140.0),
}  # fmt: skip
"""What a spine can have, in the kind's unit, by the beginning of the kind (the longest that fits)."""

SIZES = ("body_height", "disc_height", "canal", "cord")
DOUBTFUL = 0.6
"""A size is not given when this part of it, or more, is uncertain."""


def point(world: Floats) -> Point:
    """A point of a report, to the micrometre."""
    x, y, z = (round(float(c), 3) + 0.0 for c in world)
    return (x, y, z)


def given(
    kind: str, subject: int, number: tuple[float, float], line: tuple[Floats, ...] = (), other: int | None = None
) -> Measurement:
    """The answer with this value and this uncertainty, unless no spine can have the value or it is too uncertain."""
    value, uncertainty = (float(n) for n in number)
    low, high = RANGES[max((k for k in RANGES if kind.startswith(k)), key=len)]
    if not (np.isfinite(value) and np.isfinite(uncertainty)):
        return not_given(kind, subject, "the surfaces could not be fitted", other)
    if not low <= value <= high:
        why = f"{value:.1f} lies outside of {low:g} to {high:g}"
        return not_given(kind, subject, why, other, Missing.OUT_OF_RANGE)
    if uncertainty > DOUBTFUL * value and kind.startswith(SIZES):
        return not_given(kind, subject, f"{value:.1f} is as uncertain as ± {uncertainty:.1f}", other)
    points = tuple(point(p) for p in line)
    return Measurement(kind, subject, value, other=other, uncertainty=uncertainty, points=points)


def not_given(
    kind: str, subject: int, why: str, other: int | None = None, missing: Missing = Missing.FAILED
) -> Measurement:
    """The answer that there is no number, and why."""
    return Measurement(kind, subject, None, other=other, missing=missing, reason=why)
