"""Two namings of one series set side by side: the same vertebra in both by overlap, and ids moved to other names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.pieces import Labels
from spineps_pacs.domain.anatomy import DISC_OFFSET, ENDPLATE_OFFSET, HEAD_TO_TAIL, LEVEL_IDS, SACRUM_ID
from spineps_pacs.domain.masks import LevelMethod, Levels

LEAST_OVERLAP = 0.5
"""Part of the smaller of two vertebrae that must lie in the larger for them to be the same."""
T13, L6 = LEVEL_IDS["T13"], LEVEL_IDS["L6"]
USUAL = tuple(n for n in HEAD_TO_TAIL if n not in {T13, L6})


@dataclass(frozen=True)
class Pair:
    """One vertebra as both labellers have it: instance and level of each, None where one has or names it not."""

    instance: int | None
    other: int | None
    level: int | None
    other_level: int | None

    @property
    def both(self) -> bool:
        """True when both gave it a name."""
        return self.level is not None and self.other_level is not None

    @property
    def agree(self) -> bool:
        """True when both gave it the same name."""
        return self.both and self.level == self.other_level

    @property
    def difference(self) -> float:
        """Places by which the other's name lies further down; T13 and L6 lie half a place between their neighbours."""
        if self.level is None or self.other_level is None:
            raise ValueError("a vertebra that one labeller did not name has no difference")
        return place(self.other_level) - place(self.level)


def place(level: int) -> float:
    """Where a level lies in the row of usual levels, from the head down."""
    between = {T13: LEVEL_IDS["T12"], L6: LEVEL_IDS["L5"]}
    return USUAL.index(between[level]) + 0.5 if level in between else float(USUAL.index(level))


def given(levels: Levels, labels: Labels | None = None) -> dict[int, int | None]:
    """Instance to level from the head down; a sacrum in the mask names itself."""
    named = levels.method is not LevelMethod.COUNTED
    found = {c.instance: c.level if named else None for c in sorted(levels.choices, key=lambda c: c.position)}
    if labels is not None and named and SACRUM_ID not in found and (labels == SACRUM_ID).any():
        found[SACRUM_ID] = SACRUM_ID
    return found


def by_overlap(first: tuple[Labels, Levels], second: tuple[Labels, Levels]) -> tuple[Pair, ...]:
    """Pairs of two results on one grid, in the first's order from the head down; what only one has follows."""
    own, others = given(first[1], first[0]), given(second[1], second[0])
    same = _partners(first[0], second[0], own, others)
    taken = set(same.values())
    pairs = [Pair(n, same.get(n), level, others[same[n]] if n in same else None) for n, level in own.items()]
    return (*pairs, *(Pair(None, n, None, level) for n, level in others.items() if n not in taken))


def _partners(first: Labels, second: Labels, own: Mapping[int, object], others: Mapping[int, object]) -> dict[int, int]:
    """Instance to instance, the largest overlaps first, none taken twice."""
    shared, sizes = _overlaps(first, second, own, others)
    found: dict[int, int] = {}
    for (a, b), count in sorted(shared.items(), key=lambda item: -item[1]):
        near = count >= LEAST_OVERLAP * min(sizes[0][a], sizes[1][b])
        if near and a not in found and b not in found.values():
            found[a] = b
    return found


def _overlaps(
    first: Labels, second: Labels, own: Mapping[int, object], others: Mapping[int, object]
) -> tuple[dict[tuple[int, int], int], tuple[dict[int, int], dict[int, int]]]:
    """Voxels that two instances share, and voxels of each."""
    wide = int(second.max(initial=0)) + 1
    counts = np.bincount((first.astype(np.int64) * wide + second).ravel(), minlength=wide)
    table = np.pad(counts, (0, -len(counts) % wide)).reshape(-1, wide)
    shared = {(a, b): int(table[a, b]) for a in own for b in others if a < len(table) and b < wide and table[a, b]}
    whole = {a: int(table[a].sum()) for a in own if a < len(table)}
    return shared, (whole, {b: int(table[:, b].sum()) for b in others if b < wide})


def renumbered(labels: Labels, table: Sequence[tuple[int, int]]) -> NDArray[np.uint16]:
    """An instance mask with vertebrae, their discs and their endplates moved to new ids."""
    moves = np.arange(int(labels.max(initial=0)) + 1)
    for old, new in table:
        for offset in (0, DISC_OFFSET, ENDPLATE_OFFSET):
            if old + offset < len(moves):
                moves[old + offset] = new + offset
    return moves[labels].astype(np.uint16)
