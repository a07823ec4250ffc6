"""How often a wrong name is shown without a flag, by one labeller alone and by two that check each other: light spines.

A light spine is a label map of blocks: what the second labeller's networks would draw, with the errors stated below,
goes through its own splitting, fit and naming; the first labeller's names are put on the same blocks. Both are paired
by overlap and joined as in the node. No image, no network, no patient.

    python scripts/second_opinion_table.py [--spines 2500] [--seed 10] [--only 2]
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.levels import anomalies
from spineps_pacs.analysis.opinion_pairs import USUAL, place
from spineps_pacs.analysis.second_opinion import OpinionSettings, Vote, anchor_votes, second_opinion
from spineps_pacs.analysis.small_fov import instance_ids, levels, named
from spineps_pacs.analysis.small_fov_fit import NAMES, SACRUM
from spineps_pacs.analysis.small_fov_split import DISC, VERTEBRA
from spineps_pacs.analysis.small_fov_unusual import L1, T12
from spineps_pacs.domain.anatomy import LEVEL_IDS, SACRUM_ID, VERTEBRAE
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.masks import LevelChoice, LevelMethod, Levels

THORACIC = ((11, 0.015), (12, 0.95), (13, 0.035))
LUMBAR = ((4, 0.03), (5, 0.904), (6, 0.066))
"""How many vertebrae a spine has, and how often (6.6 % with L6 is published; the other shares are assumed)."""
VISIBLE = (5, 8, 10, 15, 99)
"""Vertebrae in view, each as often; 99 is the whole spine from C2."""
ORDERED = (("lumbar", 0.6), ("cervical", 0.25), ("thoracic", 0.05), ("whole", 0.1))
"""What is asked for in practice (assumed): T11 or T12 to S1, C2 to the upper back, the middle of the back, all."""
FIRST_WRONG = {5: 0.05, 8: 0.03, 10: 0.025, 15: 0.02, 99: 0.017}
"""The path labeller: 1.7 % is published for subjects, the rise towards small fields of view is assumed."""
FIRST_WRONG_ANOMALY = 0.122
"""The same where the number of thoracic vertebrae is unusual and the transition in view (published: 87.8 % right)."""
SECOND_WRONG = {5: 0.145, 8: 0.091, 10: 0.074, 15: 0.056, 99: 0.056}
"""The small-field-of-view labeller: as published; the whole spine as 15 vertebrae."""
SECOND_WRONG_L6 = 0.5
"""The same with L6 in view (assumed; L6 was rarely seen in training)."""
NO_PLANE = 0.008
"""How often a disc is not drawn, so that two vertebrae are one (published: 99.2 % of scans are split validly)."""
WAVERS, WRONG_ONE = 0.1, 0.03
"""Part of a vertebra's voxels that get a neighbour's name, and how often all of them do (assumed)."""
MUTE = (0.01, 0.02)
"""How often each gives no names (assumed)."""
SHIFTS = ((-1, 0.425), (1, 0.425), (-2, 0.075), (2, 0.075))
"""A wrong naming is a shift of all vertebrae in view, in the second's network with S1; by how many is assumed."""
SEES = {"sacrum": 0.98, "axis": 0.9}
MISTAKEN = 0.003
"""How often an anchor in view is recognised, and how often one is that is not there (assumed)."""
LONGEST = len(USUAL)
"""Names from C1 to L6 without T13."""
BONE, GAP, WIDE = 12, 4, (3, 10)
"""Voxels of a block: height of a vertebra and of a disc; slices and rows."""
Row = tuple[int, ...]


@dataclass(frozen=True)
class World:
    """What varies between tables: the fields of view, common causes, and what the naming network sees of anomalies.

    In `common` of the series one cause leads both astray in the same way. `break_seen` is how often the naming network
    sees that eleven or thirteen thoracic vertebrae do not fit, instead of counting on. `lumbar_wrong` is how often the
    first is wrong above a sacrum that follows L4 or L6; None is as often as otherwise.
    """

    ordered: bool = False
    common: float = 0.0
    break_seen: float = 0.5
    lumbar_wrong: float | None = None


@dataclass(frozen=True)
class Case:
    """One series: true levels in view (26 is S1), the first's names, the positions that the second's network sees.

    Empty is nothing. `sacrum` and `axis` are the anchors seen, `merged` is a disc that is not drawn.
    """

    true: Row
    first: Row
    second: Row
    sacrum: bool
    axis: bool
    merged: int | None
    noise: int

    @property
    def bones(self) -> Row:
        """Without the sacrum."""
        return tuple(n for n in self.true if n != SACRUM_ID)


@dataclass
class Tally:
    """Counts over series."""

    series: int = 0
    first_wrong: int = 0
    second_wrong: int = 0
    both_wrong: int = 0
    right: int = 0
    kept: int = 0
    examples: list[str] = field(default_factory=list)


def pick(chance: random.Random, shares: Sequence[tuple[int, float]]) -> int:
    """One of the numbers by its share."""
    return chance.choices([n for n, _ in shares], [share for _, share in shares])[0]


def spine(chance: random.Random) -> Row:
    """Levels from C2 to S1."""
    thoracic, lumbar = pick(chance, THORACIC), pick(chance, LUMBAR)
    names = [f"C{n}" for n in range(2, 8)] + [f"T{n}" for n in range(1, thoracic + 1)]
    return tuple(LEVEL_IDS[n] for n in [*names, *(f"L{n}" for n in range(1, lumbar + 1)), "S1"])


def view(chance: random.Random, whole: Row, *, ordered: bool) -> Row:
    """The part of a spine that a series shows."""
    if not ordered:
        visible = min(chance.choice(VISIBLE), len(whole))
        start = chance.randrange(len(whole) - visible + 1)
        return whole[start : start + visible]
    region = chance.choices([name for name, _ in ORDERED], [share for _, share in ORDERED])[0]
    if region == "whole":
        return whole
    count = chance.randrange(7, 10)
    if region == "cervical":
        return whole[:count]
    return whole[-count:] if region == "lumbar" else whole[6:][: count + 3]


def shifted(true: Row, by: int) -> Row:
    """All vertebrae named `by` levels further down, or the other way where there is no room."""
    at = math.floor(place(true[0]))
    return _row(at + by if 1 <= at + by <= LONGEST - 1 - len(true) else at - by, len(true))


def usual(true: Row, *, from_below: bool) -> Row:
    """The names if nothing were unusual, counted from the lowest or from the topmost vertebra."""
    last = min(math.floor(place(true[-1])), LONGEST - 2)
    return _row(last + 1 - len(true) if from_below else math.floor(place(true[0])), len(true))


def _row(at: int, count: int) -> Row:
    """So many usual names; L6 or C1 only where C2 to L5 do not suffice."""
    at = min(max(at, 0), LONGEST - count)
    return (*USUAL[:-1], LEVEL_IDS["L6"])[at : at + count]


def rate(table: dict[int, float], visible: int) -> float:
    """The rate at the nearest number of vertebrae in view that is not larger."""
    return table[max((n for n in table if n <= visible), default=min(table))] if visible < 20 else table[99]


def series(chance: random.Random, world: World) -> Case:
    """One series with both labellers' names."""
    return named_by_both(chance, view(chance, spine(chance), ordered=world.ordered), world)


def named_by_both(chance: random.Random, true: Row, world: World) -> Case:
    """What both say of these vertebrae."""
    bones, below = tuple(n for n in true if n != SACRUM_ID), chance.random() < 0.5
    odd = _odd(true)
    l6 = LEVEL_IDS["L6"] in true
    draws, kinds = [chance.random(), chance.random()], [pick(chance, SHIFTS), pick(chance, SHIFTS)]
    if chance.random() < world.common:
        draws[1], kinds[1] = draws[0], kinds[0]
    low = SACRUM_ID in true and true[-2] != LEVEL_IDS["L5"] and world.lumbar_wrong is not None
    rates = [rate(FIRST_WRONG, len(true)), SECOND_WRONG_L6 if l6 else rate(SECOND_WRONG, len(true))]
    if odd or low:
        rates[0] = FIRST_WRONG_ANOMALY if odd else world.lumbar_wrong or 0.0
    counted_on = usual(bones, from_below=below)
    first = bones if draws[0] >= rates[0] else counted_on if odd or low else shifted(bones, kinds[0])
    second = _positions(true, chance)
    if draws[1] < rates[1]:
        second = _positions(counted_on, chance) if l6 else tuple(min(max(at + kinds[1], 1), SACRUM) for at in second)
    if odd and chance.random() >= world.break_seen:
        second = _positions(counted_on, chance)
    second += (SACRUM,) * (len(true) - len(second))
    said = [() if chance.random() < mute else row for row, mute in zip((first, second), MUTE, strict=True)]
    sacrum = chance.random() < (SEES["sacrum"] if SACRUM_ID in true else MISTAKEN)
    axis = chance.random() < (SEES["axis"] if true[0] == LEVEL_IDS["C2"] else MISTAKEN)
    merged = chance.randrange(len(true) - 1) if chance.random() < NO_PLANE else None
    return Case(true, said[0], said[1], sacrum, axis, merged, chance.randrange(2**31))


def _odd(view: Row) -> bool:
    """Eleven or thirteen thoracic vertebrae, and both sides of the transition in view."""
    t11, t12, t13, l1 = (LEVEL_IDS[n] for n in ("T11", "T12", "T13", "L1"))
    return {t11, l1} <= set(view) and (t12 not in view or t13 in view)


def blocks(case: Case, values: Sequence[int], discs: int) -> NDArray[np.int64]:
    """A label map of all vertebrae in view from the top, with discs between them."""
    count = len(case.true)
    labels = np.zeros((*WIDE, count * (BONE + GAP)), np.int64)
    for n, value in enumerate(values):
        top = (count - n) * (BONE + GAP)
        labels[:, :, top - BONE : top] = value
        if n < count - 1:
            labels[:, :, top - BONE - GAP : top - BONE] = value if n == case.merged and discs == DISC else discs
    return labels


def drawn(case: Case) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Classes and positions as the second labeller's networks would draw them."""
    classes = blocks(case, [VERTEBRA] * len(case.true), DISC)
    chance = np.random.default_rng(case.noise)
    said = blocks(case, case.second, 0)
    wrong = blocks(case, (chance.random(len(case.true)) < WRONG_ONE).astype(int).tolist(), 0) > 0
    wavering = (chance.random(said.shape) < WAVERS) | wrong
    beside = np.clip(said + chance.choice((-1, 1)), 1, len(NAMES))
    return classes, np.where((said > 0) & wavering, beside, said)


def _positions(row: Row, chance: random.Random) -> Row:
    """As the naming network has them: it has neither T13, which looks like one of its neighbours, nor C1."""
    t13 = chance.choice((T12, L1))
    known = {LEVEL_IDS["C1"]: 1, LEVEL_IDS["T13"]: t13}
    return tuple(known.get(level) or NAMES.index(VERTEBRAE[level].name) + 1 for level in row)


@dataclass(frozen=True)
class Shown:
    """Names that a reader sees, and whether the report carries a flag about them."""

    names: Row
    flagged: bool

    def wrong(self, true: Row) -> bool:
        """A wrong name is shown, and nothing warns of it."""
        return bool(self.names) and self.names != true and not self.flagged

    def plain(self, true: Row) -> bool:
        """All names are right, and nothing warns of them."""
        return self.names == true and not self.flagged


def shown(levels_told: Levels, *, disputed: bool = False) -> Shown:
    """An unusual number of vertebrae is a flag of its own; so is a dispute."""
    named_all = levels_told.method is not LevelMethod.COUNTED
    names = tuple(c.level for c in levels_told.choices if c.level is not None and named_all)
    return Shown(names, disputed or bool(levels_told.flags))


def joined(case: Case, settings: OpinionSettings) -> tuple[Shown, Shown, Shown]:
    """What the first alone shows, the second alone, and both."""
    ids = list(range(30, 30 + len(case.bones)))
    labels = blocks(case, [*ids, *(SACRUM_ID for n in case.true if n == SACRUM_ID)], 0).astype(np.uint16)
    given = case.first or (None,) * len(ids)
    choices = tuple(LevelChoice(i, n, level) for n, (i, level) in enumerate(zip(ids, given, strict=True), start=1))
    method = LevelMethod.MODEL if case.first else LevelMethod.COUNTED
    first = labels, Levels(method, choices, flags=anomalies(case.first, sacrum_follows=case.sacrum))
    second = np.zeros_like(labels), Levels(LevelMethod.COUNTED, ())
    if case.second:
        classes, said = drawn(case)
        try:
            seen = named(classes, said)
            second = instance_ids(seen), levels(seen)
        except Unusable:
            pass
    votes: Sequence[Vote] = anchor_votes(ids, sacrum=case.sacrum, axis=case.axis)
    found = second_opinion(first, second, votes, settings)
    return shown(first[1]), shown(second[1]), shown(found.levels, disputed=bool(found.flags))


def measured(path: Path) -> Iterator[tuple[Case, tuple[Shown, Shown, Shown]]]:
    """Scans that training/small_fov_examine.py showed to both labellers: what each shows alone, and both together."""
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        bones = tuple(level for level in line["true"] if level is not None and level != SACRUM_ID)
        if not bones:
            continue
        called = dict(zip(line["true"], line["called"], strict=True))
        own = tuple(called[level] for level in bones if called[level] is not None)
        first, both = (
            Shown(tuple(said["names"]), said["flagged"]) for said in map(line["joined"].get, ("first", "both"))
        )
        second = Shown(own, bool(anomalies(own, sacrum_follows=called.get(SACRUM_ID) == SACRUM_ID)))
        case = Case(bones, first.names, (), SACRUM_ID in called, bones[0] == LEVEL_IDS["C2"], None, line["spine"])
        yield case, (first, second, both)


def tallied(every: Iterator[tuple[Case, tuple[Shown, Shown, Shown]]]) -> Tally:
    """What each shows alone, and both together, over all series."""
    total = Tally()
    for case, (first, second, both) in every:
        total.series += 1
        total.first_wrong += first.wrong(case.bones)
        total.second_wrong += second.wrong(case.bones)
        total.right += first.plain(case.bones)
        total.kept += first.plain(case.bones) and both.plain(case.bones)
        if both.wrong(case.bones):
            total.both_wrong += 1
            total.examples.append(_told(case, both.names))
    return total


def _told(case: Case, names: Row) -> str:
    true, instead = (" ".join(VERTEBRAE[n].name for n in row) for row in (case.true, names))
    return f"{true} shown as {instead}; sacrum {case.sacrum}, dens {case.axis}"


def interval(hits: int, of: int) -> str:
    """A share in percent with its 95 % Wilson interval."""
    z, p = 1.959964, hits / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = (100 * (middle + s * half) / (1 + z * z / of) for s in (-1, 1))
    return f"{100 * p:.2f} ({max(low, 0):.2f}-{high:.2f})"


def cases(count: int, seed: int, world: World) -> Iterator[Case]:
    """All series of one row of the table."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, no secret
    return (series(chance, world) for _ in range(count))


def simulated(
    count: int, seed: int, world: World, settings: OpinionSettings
) -> Iterator[tuple[Case, tuple[Shown, Shown, Shown]]]:
    """All series of one row, and what each labeller shows of them, alone and joined by these settings."""
    for case in cases(count, seed, world):
        yield case, joined(case, settings)


FLAGGING, WEIGHING = OpinionSettings(), OpinionSettings(anchors="weigh")
TABLE: tuple[tuple[str, World, OpinionSettings], ...] = (
    ("any part of the spine, as published", World(), FLAGGING),
    ("the same, anchors only weigh", World(), WEIGHING),
    ("as ordered in practice", World(ordered=True), FLAGGING),
    ("as ordered, anchors only weigh", World(ordered=True), WEIGHING),
    ("as published, a tenth of common causes", World(common=0.1), FLAGGING),
    ("as ordered, a tenth of common causes", World(ordered=True, common=0.1), FLAGGING),
    ("as published, half of common causes", World(common=0.5), FLAGGING),
    (
        "as ordered, the first troubled by L4 and L6 too",
        World(ordered=True, lumbar_wrong=FIRST_WRONG_ANOMALY),
        FLAGGING,
    ),
    ("as published, T11 and T13 never seen", World(break_seen=0.0), FLAGGING),
    ("as published, T11 and T13 always seen", World(break_seen=1.0), FLAGGING),
)


def main() -> None:
    """Prints the table in Markdown; with --examples also the series that are shown wrongly without a flag."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spines", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--only", type=int, help="One row, from 0.")
    parser.add_argument("--examples", action="store_true")
    parser.add_argument("--networks", type=Path, help="Scans that both labellers were shown.")
    asked = parser.parse_args()
    print(
        "| fields of view | first alone | second alone | both | rightly named by the first without a flag, still so |"
    )
    print("|---|---|---|---|---|")
    if asked.networks:
        rows = [("phantom images, both labellers", measured(asked.networks))]
    else:
        chosen = TABLE if asked.only is None else TABLE[asked.only : asked.only + 1]
        rows = [(name, simulated(asked.spines, asked.seed, world, rule)) for name, world, rule in chosen]
    for name, every in rows:
        found = tallied(every)
        wrong = [interval(n, found.series) for n in (found.first_wrong, found.second_wrong, found.both_wrong)]
        print("| " + " | ".join([name, *wrong, interval(found.kept, found.right)]) + " |", flush=True)
        if asked.examples:
            print("\n".join(found.examples))


if __name__ == "__main__":
    main()
