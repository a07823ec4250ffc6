"""Combines what the heads of the labelling network say of each vertebra into scores per level.

Rows are vertebrae from the head down. Columns are 24 classes, C1 to L5 (T13 counts as a second T12, L6 as a second
L5), or 26 where only a head with T13 and L6 of their own speaks of single levels. Precision follows the heads
(float32), as in the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from spineps_pacs.analysis.mode import Mode
from spineps_pacs.domain.errors import Unusable

Array = NDArray[np.floating]
Heads = Mapping[str, Array]

EXACT_HEADS = ("VERTEX", "VERTEXACT")
GROUPS = (
    (0, 1),
    (2, 3, 4),
    (5, 6),
    (7, 8),
    (9, 10),
    (11, 12, 13),
    (14, 15),
    (16, 17),
    (18,),
    (19, 20),
    (21, 22),
    (23,),
)
"""Classes of each value of the head VERTGRP."""
VERT_WEIGHT, GROUP_WEIGHT, REGION_WEIGHT, RELATION_WEIGHT, T13_WEIGHT, VISIBLE_WEIGHT = 0.9, 0.8, 1.1, 0.6, 0.4, 0.5
SIGMA, RADIUS = 0.8, 2
"""Of the smoothing between neighbouring levels of a region, and of the visibility along the spine."""
RELATION_SIGMA, RELATION_RADIUS = 0.6, 1
NEVER_ZERO = 1e-8
FORCED = 1e6
T13_HEADS = {Mode.UPSTREAM: ("VERTT13",), Mode.CORRECTED: ("VT13", "VERTT13")}
"""The network's head is called VT13; the reference looks for VERTT13 and never finds it."""


@dataclass(frozen=True)
class Axis:
    """The classes along the columns: how many, and where thoracic and lumbar ones begin."""

    count: int
    thoracic: int
    lumbar: int

    @property
    def starts(self) -> tuple[int, int, int]:
        """First class of each region."""
        return (0, self.thoracic, self.lumbar)

    @property
    def regions(self) -> tuple[slice, slice, slice]:
        """The classes of each region."""
        return (slice(0, self.thoracic), slice(self.thoracic, self.lumbar), slice(self.lumbar, self.count))


FOLDED = Axis(24, 7, 19)
EXACT = Axis(26, 7, 20)
EXACT_T13, EXACT_L6 = 19, 25


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores per vertebra and class (larger is likelier), the same before visibility; costs of region ends and of T13.

    `relations` (n, 6) and `t13` (n,) are costs: negative where a head speaks for it.
    """

    axis: Axis
    scores: NDArray[np.float64]
    relations: NDArray[np.float64]
    t13: Array


def axis_of(heads: Heads) -> Axis:
    """The classes that these heads speak of."""
    return EXACT if "VERT" not in heads and any(head in heads for head in EXACT_HEADS) else FOLDED


def combined(heads: Heads, mode: Mode) -> Scores:
    """All heads in one table."""
    if not any(head in heads for head in ("VERT", "VERTGRP", *EXACT_HEADS)):
        raise Unusable(f"no head of the labelling model speaks of levels, there are only {', '.join(sorted(heads))}")
    axis = axis_of(heads)
    count = len(next(iter(heads.values())))
    visible = visibility(heads.get("FULLYVISIBLE"), count)
    rows = [_row(heads, n, axis) * visible[n] for n in range(count)]
    return Scores(axis, np.array(rows).reshape(count, axis.count), _relations(heads, count), _t13(heads, count, mode))


def visibility(seen: Array | None, count: int) -> Array:
    """How much each vertebra counts: half for one that is not seen whole."""
    whole = np.ones(count) if seen is None else np.asarray(seen)[:, 1]
    whole = gaussian_filter1d(whole, sigma=SIGMA, mode="constant", radius=RADIUS)
    return np.asarray(np.clip(1 - np.multiply(1 - np.round(whole, 3), VISIBLE_WEIGHT), 0, 1))


def _row(heads: Heads, n: int, axis: Axis) -> NDArray[np.float64]:
    """One vertebra's scores; they sum to 1."""
    exact = next((heads[head][n] for head in EXACT_HEADS if head in heads), None)
    region = np.zeros(axis.count)
    for part, value in zip(axis.regions, heads["REGION"][n] if "REGION" in heads else (0, 0, 0), strict=True):
        region[part] = value
    row = np.multiply(_normalised(region), REGION_WEIGHT)
    if axis is EXACT:
        row = row + np.multiply(_smoothed(np.asarray(exact), axis), VERT_WEIGHT)
    else:
        vert = heads["VERT"][n] if "VERT" in heads else np.zeros(axis.count)
        folded = folded_exact(heads["VERTEX"][n]) if "VERTEX" in heads else np.zeros(axis.count)
        group = np.zeros(axis.count)
        for members, value in zip(GROUPS, heads["VERTGRP"][n] if "VERTGRP" in heads else np.zeros(12), strict=True):
            group[list(members)] = value
        row = row + np.multiply(_smoothed(vert, axis), VERT_WEIGHT)
        row = row + np.multiply(_smoothed(folded, axis), VERT_WEIGHT)
        row = row + np.multiply(_smoothed(group, axis), GROUP_WEIGHT)
    return np.asarray(_normalised(row))


def folded_exact(exact: Array) -> Array:
    """26 classes as 24: T13 added to T12, L6 to L5."""
    values = np.array(exact)
    values[EXACT_T13 - 1] += values[EXACT_T13]
    values[EXACT_L6 - 1] += values[EXACT_L6]
    return np.delete(values, [EXACT_T13, EXACT_L6])


def _smoothed(values: Array, axis: Axis) -> Array:
    """Blurred within each region, then summing to 1."""
    out = np.array(values)
    for part in axis.regions:
        out[part] = gaussian_filter1d(out[part], sigma=SIGMA, mode="nearest", radius=RADIUS)
    return _normalised(out)


def _normalised(values: Array) -> Array:
    return np.asarray(values / (np.sum(values) + NEVER_ZERO), dtype=values.dtype)


def _relations(heads: Heads, count: int) -> NDArray[np.float64]:
    """Costs of being the first or last of a region, per vertebra; each column blurred along the spine and bounded."""
    if "VERTREL" not in heads:
        return -np.zeros((count, 6))
    table = np.array(heads["VERTREL"])
    for column in range(1, 6):
        if np.sum(table) > 0:
            table[:, column] = gaussian_filter1d(
                table[:, column], sigma=RELATION_SIGMA, mode="nearest", radius=RELATION_RADIUS
            )
        total = np.sum(table[:, column]) + NEVER_ZERO
        if total > 1:
            table[:, column] = table[:, column] / total
        elif total < 1:
            table[:, column] = table[:, column] / (1.0 + total)
    return np.multiply(-table.astype(np.float64), RELATION_WEIGHT)


def _t13(heads: Heads, count: int, mode: Mode) -> Array:
    """Cost per vertebra of being a thirteenth thoracic one."""
    head = next((name for name in T13_HEADS[mode] if name in heads), None)
    if head is None:
        return np.zeros(count)
    column = np.array(heads[head])[:, 1]
    return np.asarray(np.multiply(-(column / (np.sum(column) + NEVER_ZERO)), T13_WEIGHT))


def said(heads: Heads, classes: tuple[int, ...], levels: tuple[int, ...]) -> tuple[float, ...]:
    """For each vertebra the probability that the heads give to the level it got: the mean over the heads with levels.

    `classes` are on the axis of these heads, `levels` are SPINEPS ids. Where only groups are known, the group's.
    """
    found = []
    for n, (number, level) in enumerate(zip(classes, levels, strict=True)):
        masses = []
        if "VERT" in heads:
            masses.append(float(heads["VERT"][n][number]))
        exact = next((heads[head][n] for head in EXACT_HEADS if head in heads), None)
        if exact is not None:
            masses.append(float(exact[_exact_class(level)]))
        if not masses:
            masses.append(float(heads["VERTGRP"][n][next(g for g, m in enumerate(GROUPS) if number in m)]))
        found.append(sum(masses) / len(masses))
    return tuple(found)


def _exact_class(level: int) -> int:
    """SPINEPS id to class of the 26: C1 to T12 are 0 to 18, T13 (28) is 19, L1 to L6 are 20 to 25."""
    if level == 28:
        return EXACT_T13
    return level - 1 if level <= EXACT_T13 else level
