"""Names the vertebrae: by the labelling network and the path through its scores, else by an anchor, else by counting.

Arrays are indexed (P, I, R).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.level_path import Path, likeliest, names, steps_for
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.patches import Patches, Spine, patches
from spineps_pacs.analysis.pieces import Labels, centres, sizes
from spineps_pacs.analysis.scores import FORCED, Heads, Scores, combined, said
from spineps_pacs.domain.anatomy import LEVEL_IDS, VERTEBRAE
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.masks import LevelChoice, LevelMethod, Levels
from spineps_pacs.domain.ports import LevelEngine, Watch

DENS_ID = 51
LEAST_DENS_MM3 = 250
C1, C2 = LEVEL_IDS["C1"], LEVEL_IDS["C2"]
T11, T12, T13 = LEVEL_IDS["T11"], LEVEL_IDS["T12"], LEVEL_IDS["T13"]
L1, L4, L5, L6 = LEVEL_IDS["L1"], LEVEL_IDS["L4"], LEVEL_IDS["L5"], LEVEL_IDS["L6"]
LAST_OF_REFERENCE, BEYOND = 25, 29
"""From the 25th number on, `corrected` counts 29, 30, ...: 26 is the sacrum and 28 is T13."""


@dataclass(frozen=True, eq=False)
class Named:
    """Vertebrae under their final numbers, and what is known of the names."""

    vertebrae: NDArray[np.uint16]
    levels: Levels


def ranks(mode: Mode, *, has_c1: bool) -> Callable[[int], int]:
    """Numbers for ranks from the head down before names are known: the first is 2 (C2), or 1 where C1 is segmented."""
    offset = 0 if has_c1 else 1

    def number(rank: int) -> int:
        counted = rank + offset
        if mode is Mode.UPSTREAM or counted <= LAST_OF_REFERENCE:
            return counted
        return counted - LAST_OF_REFERENCE - 1 + BEYOND

    return number


@dataclass(frozen=True)
class Numbering:
    """What is taken for possible: `has_c1`: C1 is segmented; `only_twelve`: there are twelve thoracic vertebrae."""

    mode: Mode
    has_c1: bool = False
    only_twelve: bool = False


def labelled(spine: Spine, engine: LevelEngine, rules: Numbering, watch: Watch) -> Named:
    """Names by the network; a vertebra without a body gets none and leaves the mask, as in the reference."""
    mode = rules.mode
    seen = patches(spine, engine.plan, mode)
    if not seen.numbers:
        raise Unusable("no vertebra has a body that a patch could be cut around")
    heads = engine.predict(seen.cutouts, watch)
    _expect_finite(heads, len(seen.numbers))
    scores = combined(heads, mode)
    if rules.has_c1:
        scores = _with_forced(scores, seen, spine)
    steps = steps_for(scores, mode, has_c1=rules.has_c1, only_twelve=rules.only_twelve)
    path, margin = likeliest(scores, steps, mode)
    given = names(path, scores)
    table = _table(spine.vertebrae, dict(zip(seen.numbers, given, strict=True)), has_c1=rules.has_c1)
    levels = _levels(path, given, heads)
    return Named(table[spine.vertebrae], replace(levels, margin=margin))


def _expect_finite(heads: Heads, count: int) -> None:
    for head, values in heads.items():
        if values.shape[0] != count or not np.isfinite(values).all():
            raise Unusable(f"head {head} of the labelling model gave {values.shape[0]} rows, some of them not finite")


def _with_forced(scores: Scores, seen: Patches, spine: Spine) -> Scores:
    """Where C1 is segmented, the vertebra that holds the dens must be C2, and the one before it C1."""
    volumes = sizes(np.where(spine.structures == DENS_ID, spine.vertebrae, 0))
    if not volumes:
        return scores
    axis = max(volumes, key=lambda n: volumes[n])
    if volumes[axis] * spine.geometry.voxel_volume <= LEAST_DENS_MM3:
        return scores
    table = scores.scores.copy()
    for number, level in ((axis, C2), (axis - 1, C1)):
        if number in seen.numbers:
            row = seen.numbers.index(number)
            table[row] = 0
            table[row, level - 1] = FORCED
    return replace(scores, scores=table)


def _table(vertebrae: Labels, given: dict[int, int], *, has_c1: bool) -> NDArray[np.uint16]:
    """Old number to new, 0 without a name; where C1 is segmented, an unnamed topmost one above C2 is C1."""
    present = [int(n) for n in np.unique(vertebrae) if n]
    if has_c1 and present[0] not in given and C1 not in given.values() and C2 in given.values():
        given = {**given, present[0]: C1}
    table = np.zeros(present[-1] + 1, dtype=np.uint16)
    for number, level in given.items():
        table[number] = level
    return table


def _levels(path: Path, given: Sequence[int], heads: Heads) -> Levels:
    masses = said(heads, path.classes, tuple(given))
    return Levels(
        LevelMethod.MODEL,
        tuple(
            LevelChoice(level, n, level, round(mass, 6), (VERTEBRAE[level].name,) if level in (T13, L6) else ())
            for n, (level, mass) in enumerate(zip(given, masses, strict=True), start=1)
        ),
        flags=anomalies(given),
    )


def anomalies(given: Sequence[int], *, sacrum_follows: bool = False) -> tuple[str, ...]:
    """What is unusual about the set of levels."""
    found = []
    if T13 in given:
        found.append("T13 present")
    if (T11, L1) in pairwise(given):
        found.append("T12 absent")
    if L6 in given:
        found.append("L6 present")
    if sacrum_follows and given and given[-1] == L4:
        found.append("L5 absent")
    return tuple(found)


def counted(vertebrae: Labels, reason: str) -> Named:
    """No names: the numbers stay what they are, and only say how many vertebrae lie above."""
    ordered = sorted(centres(vertebrae).items(), key=lambda item: item[1][1])
    choices = tuple(LevelChoice(n, position, None) for position, (n, _) in enumerate(ordered, start=1))
    return Named(np.asarray(vertebrae, dtype=np.uint16), Levels(LevelMethod.COUNTED, choices, reason=reason))
