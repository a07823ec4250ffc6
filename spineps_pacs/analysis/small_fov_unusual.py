"""Eleven or thirteen thoracic vertebrae in what the naming network saw: ours, not among the published steps.

The published rows run on without a gap in the back. Where the names above and below the thoracolumbar transition fit
together only with T12 left out, or with T13 put in, that is told here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.small_fov_fit import NAMES, SACRUM, WHOLE_SHIFT, Positions, mismatch
from spineps_pacs.domain.anatomy import LEVEL_IDS

T11, T12, L1 = (NAMES.index(name) + 1 for name in ("T11", "T12", "L1"))
T13 = SACRUM + 1
"""Our own position for the vertebra that the networks have no name for."""
LEAST_GAIN = 0.75
"""How many vertebrae named one off an unusual row must explain before it is believed."""
_STEPS = np.abs(np.arange(1, SACRUM + 1)[:, None] - np.arange(1, SACRUM + 1)[None])
_COSTS = 2 * _STEPS + (_STEPS > 0)
COSTS = np.vstack([_COSTS, np.minimum(_COSTS[T12 - 1], _COSTS[L1 - 1])])
"""What a voxel of a position (rows) costs if the network gives it another (columns); T13, last, is called T12 or L1."""


@dataclass(frozen=True)
class Unusual:
    """The best row with eleven or thirteen thoracic vertebrae, and how many vertebrae named one off it explains."""

    positions: Positions
    gain: float

    @property
    def believed(self) -> bool:
        """True when it explains enough to be taken for the names."""
        return self.gain >= LEAST_GAIN


def unusual(said: NDArray[np.int64], usual: Positions) -> Unusual | None:
    """The unusual row that fits what was said best; None where the transition cannot be in view."""
    rows = list(rows_of(len(said)))
    if not rows or not said.any():
        return None
    costs = [float((said * COSTS[np.array(row) - 1]).sum() / said.sum()) for row in rows]
    best = int(np.argmin(costs))
    return Unusual(rows[best], (mismatch(usual, said) - costs[best]) * len(said) / WHOLE_SHIFT)


def rows_of(count: int) -> Iterator[Positions]:
    """Every row of so many vertebrae that leaves T12 out, or has T13, with both sides of it in view."""
    for above in range(1, count):
        yield from _ended(_row(T11, above, (), count))
        if above < count - 1:
            yield from _ended(_row(T12, above, (T13,), count))


def _row(last: int, above: int, between: Positions, count: int) -> Positions:
    """`above` vertebrae down to `last`, what is between, then from L1 on; empty where there are too many."""
    top = tuple(range(last - above + 1, last + 1))
    below = tuple(range(L1, L1 + count - above - len(between)))
    return (*top, *between, *below) if top[0] >= 1 and below[-1] <= SACRUM else ()


def _ended(row: Positions) -> Iterator[Positions]:
    """The row; and where it may end in S1 without L6, or L5 and L6, that too."""
    if row:
        yield row
    if row and row[-1] > L1 and SACRUM - row[-1] in {1, 2}:
        yield (*row[:-1], SACRUM)


def level_of(position: int) -> int:
    """The project's id of a position."""
    return LEVEL_IDS["T13"] if position == T13 else LEVEL_IDS[NAMES[position - 1]]
