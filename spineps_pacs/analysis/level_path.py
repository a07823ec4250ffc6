"""Finds the likeliest numbering of a spine: the cheapest path through the scores, one vertebra a row.

From one vertebra to the next the class goes up by one. T12 and L5 may come twice (13 thoracic, 6 lumbar vertebrae),
after T11 may come L1 (11 thoracic); on the axis of 26 classes T13, or T12 and T13, may be left out instead.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.scores import EXACT, EXACT_T13, Scores
from spineps_pacs.domain.anatomy import LEVEL_IDS
from spineps_pacs.domain.errors import Unusable

Classes = tuple[int, ...]
T11, T12, L5 = 17, 18, 23
T13_ID = LEVEL_IDS["T13"]
MOST_REPEATS = 2
IMPOSSIBLE = sys.maxsize


@dataclass(frozen=True)
class Path:
    """A numbering: classes from the head down, and what it costs."""

    cost: float
    classes: Classes


@dataclass(frozen=True)
class Steps:
    """What is allowed: the first class, classes that may come twice, that may skip the next, that may be left out."""

    first: int = 1
    twice: tuple[int, ...] = (T12, L5)
    skipping: tuple[int, ...] = (T11,)
    left_out: tuple[int, ...] = ()
    never: tuple[int, ...] = ()


def steps_for(scores: Scores, mode: Mode, *, has_c1: bool, only_twelve: bool = False) -> Steps:
    """The steps on the axis of these scores.

    Asked for twelve thoracic vertebrae on the axis of 26 classes, the reference no longer lets T13 be left out.
    """
    first = 0 if has_c1 else 1
    if scores.axis is not EXACT:
        return Steps(first, (L5,), ()) if only_twelve else Steps(first)
    if not only_twelve:
        return Steps(first, (), (), (EXACT_T13 - 1, EXACT_T13))
    if mode is Mode.UPSTREAM:
        return Steps(first, (), ())
    return Steps(first, (), (), (EXACT_T13,), (EXACT_T13,))


def likeliest(scores: Scores, steps: Steps, mode: Mode) -> tuple[Path, float | None]:
    """The best numbering, and by how much the best different one costs more (None if there is no other)."""
    best = cheapest(scores, steps, count=2)
    if mode is Mode.CORRECTED:
        if not best:
            raise Unusable(_too_many(scores))
        return best[0], best[1].cost - best[0].cost if len(best) > 1 else None
    path = as_upstream(scores, steps)
    others = [p.cost - path.cost for p in best if p.classes != path.classes]
    return path, min(others) if others else None


def _too_many(scores: Scores) -> str:
    return f"{len(scores.scores)} vertebrae cannot be numbered with {scores.axis.count} levels"


def names(path: Path, scores: Scores) -> tuple[int, ...]:
    """SPINEPS ids: the second T12 becomes T13 (28), the last of two L5 becomes L6 (25)."""
    if scores.axis is EXACT:
        return tuple(T13_ID if c == EXACT_T13 else c + 1 if c < EXACT_T13 else c for c in path.classes)
    found = [c + 1 for c in path.classes]
    for n in range(1, len(found)):
        if path.classes[n] == path.classes[n - 1] == T12 and T13_ID not in found:
            found[n] = T13_ID
    if path.classes[-2:] == (L5, L5):
        found[-1] += 1
    return tuple(found)


class _Terrain:
    """Costs of cells and of steps between them."""

    def __init__(self, scores: Scores, steps: Steps) -> None:
        self.rows, self.columns = scores.scores.shape
        self.cells: list[list[float]] = (-scores.scores).tolist()
        self.relations: NDArray[np.float64] = scores.relations
        self.t13 = scores.t13
        self.steps = steps
        self.starts = scores.axis.starts

    def region(self, number: int) -> int:
        """0 cervical, 1 thoracic, 2 lumbar; 3 beyond."""
        return sum(number >= start for start in (*self.starts[1:], self.columns))

    def next_classes(self, row: int, number: int) -> Iterator[tuple[int, float]]:
        """Classes that the vertebra after `row` may have, the preferred first, and the extra cost of the step."""
        if number + 1 not in self.steps.never:
            yield number + 1, 0.0
        if number in self.steps.twice:
            yield number, float(self.t13[row + 1]) if number == T12 else 0.0
        if number in self.steps.skipping:
            yield number + 2, 0.0
        after = number + 1
        while after in self.steps.left_out:
            after += 1
        if after > number + 1:
            yield after, 0.0

    def ends(self, row: int, number: int, following: int | None) -> float:
        """Cost of being the first of a region, and of being the last, which the next class tells."""
        region, cost = self.region(number), 0.0
        if region and number == self.starts[region]:
            cost += self.relations[row][2 * region]
        if following is not None and self.region(following) > region:
            cost += self.relations[row][2 * region + 1]
        return cost


def cheapest(scores: Scores, steps: Steps, count: int = 1) -> list[Path]:
    """The cheapest numberings, cheapest first; of equals the one that starts higher and repeats later comes first."""
    ground = _Terrain(scores, steps)
    last = ground.rows - 1
    below: dict[tuple[int, int], list[Path]] = {
        (c, n): [Path(ground.cells[last][c] + ground.ends(last, c, None), (c,))]
        for c in range(ground.columns)
        for n in range(1, _most(c, steps) + 1)
    }
    for row in range(last - 1, -1, -1):
        below = {
            (c, n): _onwards(ground, row, (c, n), below, count)
            for c in range(ground.columns)
            for n in range(1, _most(c, steps) + 1)
        }
    firsts = [c for c in range(steps.first, ground.columns) if c not in steps.never]
    starts = [path for c in firsts for path in below[c, 1]]
    return heapq.nsmallest(count, starts, key=lambda path: path.cost)


def _most(number: int, steps: Steps) -> int:
    return MOST_REPEATS if number in steps.twice else 1


def _onwards(
    ground: _Terrain, row: int, cell: tuple[int, int], below: dict[tuple[int, int], list[Path]], count: int
) -> list[Path]:
    """The cheapest ways down from a class that has come so many times."""
    number, times = cell
    found = []
    for following, extra in ground.next_classes(row, number):
        came = times + 1 if following == number else 1
        for path in below.get((following, came), ()):
            cost = path.cost + extra + ground.cells[row][number] + ground.ends(row, number, following)
            found.append(Path(cost, (number, *path.classes)))
    return heapq.nsmallest(count, found, key=lambda path: path.cost)


def as_upstream(scores: Scores, steps: Steps) -> Path:
    """The reference's search: a cell whose cheapest way down has a class three times is lost, not solved again."""
    ground = _Terrain(scores, steps)
    last = ground.rows - 1
    below = [_end(ground, last, c) for c in range(ground.columns)]
    for row in range(last - 1, -1, -1):
        below = [_way_down(ground, row, c, below) for c in range(ground.columns)]
    cost, classes = min(below[steps.first :], key=lambda option: option[0])
    if len(classes) != ground.rows or max(classes) >= ground.columns:
        raise Unusable(_too_many(scores))
    return Path(float(cost), classes)


def _end(ground: _Terrain, row: int, number: int) -> tuple[float, Classes]:
    return ground.cells[row][number] + ground.ends(row, number, None), (number,)


def _way_down(ground: _Terrain, row: int, number: int, below: list[tuple[float, Classes]]) -> tuple[float, Classes]:
    options: list[tuple[Any, Classes]] = []
    for following, extra in ground.next_classes(row, number):
        outside = following >= ground.columns
        cost, classes = (IMPOSSIBLE, (following,)) if outside else below[following]
        options.append((cost + extra if extra or not outside else cost, classes))
    cheapest_cost, classes = min(options, key=lambda option: option[0])
    cost = cheapest_cost + ground.cells[row][number]
    cost += ground.ends(row, number, classes[0])
    path = (number, *classes)
    if any(path.count(c) > MOST_REPEATS for c in ground.steps.twice):
        cost = IMPOSSIBLE
    return cost, path
