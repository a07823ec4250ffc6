"""How well levels are named: every object of a scan right, Dice, each level, and unusual numbers of vertebrae.

Masks hold SPINEPS instance ids: vertebrae 1-25 and 28, sacrum 26, discs 100 and the id of the vertebra above.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.anatomy import DISC_OFFSET, ENDPLATE_OFFSET, LEVEL_IDS, SACRUM_ID
from spineps_pacs.domain.masks import InstanceMask
from spineps_pacs.evaluation.cases import VERTEBRAE

LEAST_VOXELS = 50
"""What is smaller is cut off by the field of view, or a crumb, and not counted."""
LEAST_OVERLAP = 0.5
"""Part of the smaller of two objects that must lie in the larger for them to be the same."""
T11, T12, T13, L1, L4, L5, L6 = (LEVEL_IDS[name] for name in ("T11", "T12", "T13", "L1", "L4", "L5", "L6"))
ANOMALIES = ("T12 absent", "T13 present", "L5 absent", "L6 present")

Counts = dict[int, int]


@dataclass(frozen=True)
class NamedCase:
    """One scan: vertebrae in view, which objects of the reference are named right, the mean of their Dice.

    `exact` is whether every object is right and none was made up; `true` and `found` are the anomalies.
    """

    visible: int
    right: Mapping[int, bool]
    dice: float
    exact: bool
    true: frozenset[str]
    found: frozenset[str]


def named_case(found: InstanceMask, truth: InstanceMask) -> NamedCase:
    """A mask of names beside the reference, on one grid."""
    mine, theirs = _sizes(found.labels), _sizes(truth.labels)
    counted = [i for i, count in theirs.items() if count >= LEAST_VOXELS]
    shared = _shared(found.labels, truth.labels)
    partner = {i: _partner(i, shared, mine, theirs) for i in theirs}
    right = {i: partner[i] == i for i in counted}
    made_up = [i for i, count in mine.items() if count >= LEAST_VOXELS and i not in partner.values()]
    overlaps = [2 * shared.get((i, i), 0) / (mine.get(i, 0) + theirs[i]) for i in counted]
    bones = [i for i in counted if i in VERTEBRAE]
    return NamedCase(
        visible=len(bones),
        right=right,
        dice=float(np.mean(overlaps)) if overlaps else 0.0,
        exact=bool(right) and all(right.values()) and not made_up,
        true=anomalies(counted),
        found=anomalies(i for i, count in mine.items() if count >= LEAST_VOXELS),
    )


def anomalies(present: Iterable[int]) -> frozenset[str]:
    """What is unusual about a set of levels."""
    ids = set(present)
    told = {
        "T12 absent": {T11, L1} <= ids and T12 not in ids,
        "T13 present": T13 in ids,
        "L5 absent": {L4, SACRUM_ID} <= ids and L5 not in ids,
        "L6 present": L6 in ids,
    }
    return frozenset(name for name, holds in told.items() if holds)


def _counted(instance: int) -> bool:
    return instance in VERTEBRAE or instance == SACRUM_ID or DISC_OFFSET < instance < ENDPLATE_OFFSET


def _sizes(labels: NDArray[np.integer]) -> Counts:
    ids, counts = np.unique(labels, return_counts=True)
    return {int(i): int(n) for i, n in zip(ids, counts, strict=True) if _counted(int(i))}


def _shared(found: NDArray[np.integer], truth: NDArray[np.integer]) -> dict[tuple[int, int], int]:
    """(id of the reference, id that was found) to the voxels that they share."""
    both = (found > 0) & (truth > 0)
    keys, counts = np.unique(truth[both].astype(np.int64) * 1000 + found[both], return_counts=True)
    return {(int(k) // 1000, int(k) % 1000): int(n) for k, n in zip(keys, counts, strict=True)}


def _partner(instance: int, shared: Mapping[tuple[int, int], int], mine: Counts, theirs: Counts) -> int | None:
    """The object that was found where one of the reference lies."""
    near = {b: n for (a, b), n in shared.items() if a == instance and b in mine}
    best = max(near, key=lambda b: near[b], default=None)
    if best is None or near[best] < LEAST_OVERLAP * min(theirs[instance], mine[best]):
        return None
    return best
