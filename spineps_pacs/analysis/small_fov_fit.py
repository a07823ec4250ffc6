"""Slides a row of vertebrae along the names from C2 to S1 and takes the place where the naming network agrees most.

A position counts the names from 1 (C2) to 25 (S1), L6 being the 24th.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.pieces import Labels
from spineps_pacs.domain.errors import Unusable

NAMES = (
    *(f"C{n}" for n in range(2, 8)), *(f"T{n}" for n in range(1, 13)), *(f"L{n}" for n in range(1, 7)), "S1",
)  # fmt: skip
SACRUM = len(NAMES)
WHOLE_SHIFT = 3.0
"""What one voxel costs when its name is the next one: ids differ by 2, and 1 more for differing at all."""
SECOND_NAME = 0.25
"""A vertebra in which this part of the named voxels has a second name may be two."""

Positions = tuple[int, ...]


@dataclass(frozen=True)
class Fit:
    """Positions of the vertebrae from the top, and how sure that is.

    `curve[k]` is the least mismatch of all namings that start at position k+1 (infinite where there is none).
    `margin` is by how much the best other start is worse, 1 being a whole shift; `end_margin` the same for another
    reading of the last vertebra at the same start, None where there is none. `shares` is the part of each vertebra's
    named voxels that has its name.
    """

    positions: Positions
    curve: tuple[float, ...]
    margin: float
    end_margin: float | None
    shares: tuple[float, ...]
    doubled: Positions = ()

    @property
    def confidence(self) -> float:
        """The margin held in 0..1; stated, not calibrated."""
        return min(max(self.margin, 0.0), 1.0)


def votes(bones: Labels, named: Labels, count: int) -> NDArray[np.int64]:
    """Voxels of each vertebra (rows, from the top) that the naming network gave each position (columns)."""
    both = (bones > 0) & (named > 0)
    table = np.zeros((count + 1, SACRUM + 1), dtype=np.int64)
    np.add.at(table, (bones[both].astype(np.intp), named[both].astype(np.intp)), 1)
    return table[1:, 1:]


def namings(count: int) -> Iterator[Positions]:
    """Every run of names; the last vertebra may leave out L6, or L5 and L6, when it then is S1."""
    for start in range(1, SACRUM + 2 - count):
        run = tuple(range(start, start + count))
        yield run
        if count > 1 and SACRUM - run[-1] in {1, 2}:
            yield (*run[:-1], SACRUM)


def mismatch(positions: Positions, said: NDArray[np.int64]) -> float:
    """Mean over the named voxels of the difference of ids (2 a position), and 1 more where they differ."""
    away = np.abs(np.array(positions)[:, None] - np.arange(1, SACRUM + 1)[None])
    return float((said * (2 * away + (away > 0))).sum() / said.sum())


def fit(said: NDArray[np.int64]) -> Fit:
    """The naming with the least mismatch; Unusable where nothing was named, or there are more vertebrae than names."""
    if not 1 <= len(said) <= SACRUM:
        raise Unusable(f"{len(said)} vertebrae were told apart, which {SACRUM} names cannot name")
    if not said.any():
        raise Unusable("the naming network named no voxel of the vertebrae")
    costs = {positions: mismatch(positions, said) for positions in namings(len(said))}
    best = min(costs, key=lambda positions: costs[positions])
    starts = {p[0]: min(cost for q, cost in costs.items() if q[0] == p[0]) for p in costs}
    ends = [cost for p, cost in costs.items() if p[0] == best[0] and p != best]
    others = [cost for start, cost in starts.items() if start != best[0]]
    return Fit(
        best,
        tuple(starts.get(k, float("inf")) for k in range(1, SACRUM + 1)),
        (min(others) - costs[best]) / WHOLE_SHIFT if others else 1.0,
        (min(ends) - costs[best]) / WHOLE_SHIFT if ends else None,
        tuple(_share(row, at) for row, at in zip(said, best, strict=True)),
        tuple(at for row, at in zip(said, best, strict=True) if _two_names(row)),
    )


def _share(row: NDArray[np.int64], at: int) -> float:
    return float(row[at - 1] / row.sum()) if row.any() else 0.0


def _two_names(row: NDArray[np.int64]) -> bool:
    """True when a neighbouring name holds a good part of a vertebra: a disc may have been missed."""
    first = int(np.argmax(row))
    beside = [int(row[k]) for k in (first - 1, first + 1) if 0 <= k < SACRUM]
    return bool(row.any()) and max(beside) >= SECOND_NAME * int(row.sum())
