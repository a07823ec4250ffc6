"""Where discs and network count differently: bodies by the discs, what lies behind them by the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.pieces import Labels
from spineps_pacs.domain.anatomy import CORPUS_ID

BEHIND = tuple(range(41, 49))
"""Arch and processes: long and slanting, so that growth from the bodies alone leads them astray."""


def settled(by_discs: Labels, drawn: Labels, structures: Labels) -> NDArray[np.uint16]:
    """The vertebrae of the discs (numbered from the head down), each with the arch and processes of its network's one.

    Where one vertebra of the network holds several bodies, its posterior parts stay with the nearest of them.
    """
    out = np.array(by_discs, dtype=np.uint16)
    first, last = _bodies_of(by_discs, drawn, structures == CORPUS_ID)
    behind = np.isin(structures, BEHIND) & (first[drawn] > 0)
    low, high, now = first[drawn[behind]], last[drawn[behind]], out[behind]
    out[behind] = np.where((now > 0) | (low == high), np.clip(now, low, high), 0)
    return out


def _bodies_of(by_discs: Labels, drawn: Labels, body: NDArray[np.bool_]) -> tuple[NDArray[np.uint16], ...]:
    """For each vertebra of the network the first and the last of the bodies that are mostly its own; 0 without one."""
    found, seen = by_discs[body].astype(np.int64), drawn[body].astype(np.int64)
    many = int(drawn.max()) + 1
    votes = np.bincount(found * many + seen, minlength=(int(by_discs.max()) + 1) * many).reshape(-1, many)
    first, last = np.zeros(many, dtype=np.uint16), np.zeros(many, dtype=np.uint16)
    for number in range(1, len(votes)):
        owner = int(votes[number].argmax())
        if owner and votes[number, owner]:
            first[owner] = first[owner] or number
            last[owner] = number
    return first, last
