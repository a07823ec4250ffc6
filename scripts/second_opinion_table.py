"""How often a wrong name is shown without a flag, by one labeller alone and by two that check each other: a simulation.

Names only, no image and no network: the spines, the fields of view and the errors of both labellers are drawn from the
model that is stated below, and the joining is the one that the node uses (analysis/second_opinion.py).

    python scripts/second_opinion_table.py [--spines 5000] [--seed 10]
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from spineps_pacs.analysis.opinion_pairs import USUAL, Pair, place
from spineps_pacs.analysis.second_opinion import OpinionSettings, anchor_votes, opinion, said_by
from spineps_pacs.domain.anatomy import LEVEL_IDS, SACRUM_ID
from spineps_pacs.domain.masks import LevelMethod

THORACIC = ((11, 0.015), (12, 0.95), (13, 0.035))
LUMBAR = ((4, 0.03), (5, 0.904), (6, 0.066))
"""How many vertebrae a spine has, and how often (6.6 % with L6 is published; the other shares are assumed)."""
VISIBLE = (5, 8, 10, 15, 99)
"""Vertebrae in view, each as often; 99 is the whole spine from C2."""
FIRST_WRONG = {5: 0.05, 8: 0.03, 10: 0.025, 15: 0.02, 99: 0.017}
"""The path labeller: 1.7 % is published for subjects, the rise towards small fields of view is assumed."""
FIRST_WRONG_ANOMALY = 0.122
"""The same where the number of thoracic vertebrae is unusual and the transition in view (published: 87.8 % right)."""
SECOND_WRONG = {5: 0.145, 8: 0.091, 10: 0.074, 15: 0.056, 99: 0.056}
"""The small-field-of-view labeller: as published; the whole spine as 15 vertebrae."""
SECOND_WRONG_L6 = 0.5
"""The same with L6 in view (assumed; L6 was rarely seen in training). T13 and eleven thoracic it cannot name at all."""
MUTE = (0.01, 0.02)
"""How often each gives no names (assumed)."""
SHIFTS = ((-1, 0.425), (1, 0.425), (-2, 0.075), (2, 0.075))
"""A wrong naming is a shift of all vertebrae in view; by how many is assumed."""
SEES = {"sacrum": 0.98, "axis": 0.9}
"""How often an anchor in view is recognised (assumed); one that is not in view never is."""
EARLIER_WRONG = 0.03
"""How often an earlier study's names, where there is one, are shifted by one (assumed)."""
COMMON = (0.0, 0.1, 0.3, 0.5)
"""In what part of the series both labellers err from one cause, and then in the same way."""
LONGEST = len(USUAL)
"""Names from C1 to L6 without T13."""
Row = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One series: true levels in view without the sacrum, what was said of them (empty: nothing), the anchors."""

    true: Row
    first: Row
    second: Row
    earlier: Row
    sacrum: bool
    axis: bool
    visible: int


@dataclass
class Tally:
    """Counts over series."""

    wrong: int = 0
    right_of_first: int = 0
    kept: int = 0


def pick(chance: random.Random, shares: Sequence[tuple[int, float]]) -> int:
    """One of the numbers by its share."""
    return chance.choices([n for n, _ in shares], [share for _, share in shares])[0]


def spine(chance: random.Random) -> list[int]:
    """Levels from C2 to S1."""
    thoracic, lumbar = pick(chance, THORACIC), pick(chance, LUMBAR)
    names = [f"C{n}" for n in range(2, 8)] + [f"T{n}" for n in range(1, thoracic + 1)]
    return [LEVEL_IDS[n] for n in [*names, *(f"L{n}" for n in range(1, lumbar + 1)), "S1"]]


def shifted(true: Row, by: int) -> Row:
    """All vertebrae named `by` levels further down, or the other way where there is no room."""
    at = math.floor(place(true[0]))
    return _row(at + by if 1 <= at + by <= LONGEST - 1 - len(true) else at - by, len(true))


def usual(true: Row, from_below: bool) -> Row:
    """The names if nothing were unusual, counted from the lowest or from the topmost vertebra."""
    last = min(math.floor(place(true[-1])), LONGEST - 2)
    return _row(last + 1 - len(true) if from_below else math.floor(place(true[0])), len(true))


def _row(at: int, count: int) -> Row:
    """So many usual names; L6 or C1 only where C2 to L5 do not suffice."""
    at = min(max(at, 0), LONGEST - count)
    return (*USUAL[:-1], LEVEL_IDS["L6"])[at : at + count]


def series(chance: random.Random, common: float) -> Case:
    """One series with both labellers' names."""
    whole, visible = spine(chance), chance.choice(VISIBLE)
    start = chance.randrange(max(len(whole) - visible, 0) + 1)
    view = whole[start : start + visible]
    true = tuple(n for n in view if n != SACRUM_ID)
    transition = {LEVEL_IDS["T11"], LEVEL_IDS["L1"]} <= set(view)
    odd = transition and whole.count(LEVEL_IDS["T12"]) + whole.count(LEVEL_IDS["T13"]) != 1
    l6 = LEVEL_IDS["L6"] in view
    at_once = chance.random() < common
    draws = [chance.random(), chance.random()]
    kinds = [pick(chance, SHIFTS), pick(chance, SHIFTS)]
    if at_once:
        draws[1], kinds[1] = draws[0], kinds[0]
    rates = (FIRST_WRONG_ANOMALY if odd else FIRST_WRONG[visible], SECOND_WRONG_L6 if l6 else SECOND_WRONG[visible])
    below = chance.random() < 0.5
    first = usual(true, below) if odd else shifted(true, kinds[0])
    second = usual(true, below) if l6 else shifted(true, kinds[1])
    said = [first if draws[0] < rates[0] else true, second if draws[1] < rates[1] else true]
    if odd:
        said[1] = usual(true, below)
    said = [() if chance.random() < mute else row for row, mute in zip(said, MUTE, strict=True)]
    sacrum = SACRUM_ID in view and chance.random() < SEES["sacrum"]
    axis = view[0] == LEVEL_IDS["C2"] and chance.random() < SEES["axis"]
    earlier = shifted(true, chance.choice((-1, 1))) if chance.random() < EARLIER_WRONG else true
    return Case(true, said[0], said[1], earlier, sacrum, axis, visible)


@dataclass(frozen=True)
class Way:
    """One way of joining: its settings, and what votes beside the labellers."""

    name: str
    settings: OpinionSettings
    anchors: bool = True
    earlier: bool = False


WAYS = (
    Way("labellers only", OpinionSettings(), anchors=False),
    Way("anchors weigh", OpinionSettings(anchors="weigh")),
    Way("anchors flag (default)", OpinionSettings()),
    Way("and an earlier study", OpinionSettings(), earlier=True),
)


def joined(case: Case, way: Way) -> tuple[Row, bool]:
    """The names that both together show (empty: none), and whether they are flagged."""
    count = len(case.true)
    own, other = (row or (None,) * count for row in (case.first, case.second))
    pairs = [Pair(n, n, a, b) for n, (a, b) in enumerate(zip(own, other, strict=True), start=30)]
    votes = list(anchor_votes(range(30, 30 + count), sacrum=case.sacrum, axis=case.axis) if way.anchors else ())
    if way.earlier:
        votes.append(said_by("an earlier study", dict(enumerate(case.earlier, start=30)), 1 - EARLIER_WRONG))
    found = opinion(pairs, votes, way.settings)
    if found.levels.method is LevelMethod.COUNTED:
        return (), bool(found.flags)
    return tuple(c.level for c in found.levels.choices if c.level is not None), bool(found.flags)


def tallied(cases: Sequence[Case], way: Way) -> Tally:
    """What both together show over all series."""
    total = Tally()
    for case in cases:
        names, flagged = joined(case, way)
        total.wrong += bool(names) and names != case.true and not flagged
        if case.first == case.true:
            total.right_of_first += 1
            total.kept += names == case.true and not flagged
    return total


def interval(hits: int, of: int) -> str:
    """A share in percent with its 95 % Wilson interval."""
    z, p = 1.959964, hits / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = (100 * (middle + s * half) / (1 + z * z / of) for s in (-1, 1))
    return f"{100 * p:.2f} ({max(low, 0):.2f}-{high:.2f})"


def drawn(count: int, seed: int, common: float) -> list[Case]:
    """All series of one row of the table."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, no secret
    return [series(chance, common) for _ in range(count)]


def shares(cases: Sequence[Case], way: Way) -> list[str]:
    """Wrong names without a flag: the first alone, the second alone, both; and what is kept."""
    first = sum(bool(c.first) and c.first != c.true for c in cases)
    second = sum(bool(c.second) and c.second != c.true for c in cases)
    both = tallied(cases, way)
    wrong = [interval(hits, len(cases)) for hits in (first, second, both.wrong)]
    return [*wrong, interval(both.kept, both.right_of_first)]


def rows(count: int, seed: int) -> list[str]:
    """The table, one row a share of common causes and a way of joining."""
    found = []
    for common in COMMON:
        cases = drawn(count, seed, common)
        found += [_line(f"{100 * common:.0f} %", way.name, *shares(cases, way)) for way in WAYS]
    return found


def by_visible(count: int, seed: int) -> list[str]:
    """The default way with a tenth of common causes, one row a field of view."""
    cases = drawn(count, seed, COMMON[1])
    found = []
    for visible in VISIBLE:
        seen = [case for case in cases if case.visible == visible]
        found.append(_line("all" if visible == max(VISIBLE) else str(visible), *shares(seen, WAYS[2])))
    return found


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spines", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=10)
    asked = parser.parse_args()
    print("| common cause | joining | first alone | second alone | both | rightly named by the first, kept unflagged |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows(asked.spines, asked.seed)))
    print("\n| vertebrae in view | first alone | second alone | both | rightly named by the first, kept unflagged |")
    print("|---|---|---|---|---|")
    print("\n".join(by_visible(asked.spines, asked.seed)))


if __name__ == "__main__":
    main()
