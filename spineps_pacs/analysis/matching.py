"""Makes structures and vertebrae agree on the input grid, and numbers the vertebrae from the head down.

Arrays are indexed (P, I, R).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.geometry import Turn, Zoom
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.pieces import Labels, Mask, box_of, boxes, centres, grown, ids, largest, pieces, sizes
from spineps_pacs.domain.anatomy import DISC_ID, ENDPLATE_ID

VERTEBRA_IDS = tuple(range(40, 52))
"""Structures that make up a vertebra (40 is a whole one)."""
ARTICULAR_IDS = (45, 46, 47, 48)
ARCH_ID, SPINOUS_ID, BODY_ID = 41, 42, 49
CLEAR_LEAD = 0.5
"""An articular process moves to the vertebra that holds most of it when half of that still beats the second."""
GROWTH = 2
"""Steps by which vertebrae grow into structures that no vertebra covers."""
FRAGMENT = 0.5
"""The topmost vertebra may be a piece of the next one when it has less than this part of its volume."""
LEAST_CONTACT_MM2 = 20 * 0.928125 ** (2 / 3)
"""And when both touch over more than 20 faces of a voxel of 0.75 x 0.75 x 1.65 mm."""
FRAGMENTS_LOOKED_AT = 3
LAST_VERTEBRA = 25
Down = tuple[int, int]
"""An axis of the array, and 1 or -1 for the direction along it."""
DOWN: Down = (1, 1)
"""Along I."""


@dataclass(frozen=True, eq=False)
class Matched:
    """Structures and vertebrae that agree; `unmatched` counts pieces of structure that touched no vertebra and went."""

    structures: NDArray[np.uint8]
    vertebrae: NDArray[np.uint16]
    unmatched: int = 0
    unmatched_voxels: int = 0


def match(structures: Labels, vertebrae: Labels, spacing: Zoom, mode: Mode, down: Down = DOWN) -> Matched:
    """Points 1 to 5: mask, articular processes, missing pieces, a split topmost vertebra, stray posterior pieces.

    `down` is what the reference takes for the way down when it looks for the topmost vertebra; `corrected` knows it.
    """
    masked = np.where(structures > 0, vertebrae, 0).astype(np.uint16)
    settled = with_settled_articular(masked, structures)
    found = with_missing(settled, structures, mode)
    way = down if mode is Mode.UPSTREAM else DOWN
    joined = with_joined_top(found.vertebrae, found.structures, spacing, way)
    returned = with_returned_fragments(joined, found.structures)
    return Matched(found.structures, returned, found.unmatched, found.unmatched_voxels)


def second_axis(way: Turn) -> Down:
    """The second axis of the input array, as seen on the (P, I, R) grid: the reference's idea of down."""
    axis = way.axes.index(1)
    return axis, -1 if way.flips[axis] else 1


def with_settled_articular(vertebrae: Labels, structures: Labels) -> NDArray[np.uint16]:
    """Each articular process as a whole goes to the vertebra, or the background, that clearly holds most of it."""
    settled = np.array(vertebrae, dtype=np.uint16)
    for structure in ARTICULAR_IDS:
        found, _ = pieces(structures == structure)
        for number, box in boxes(found).items():
            inside = found[box] == number
            part = settled[box]
            counts = np.bincount(part[inside])
            first, *rest = sorted(np.flatnonzero(counts), key=lambda label: -counts[label])
            if rest and counts[first] * CLEAR_LEAD > counts[rest[0]]:
                part[inside] = first
    return settled


def with_missing(vertebrae: Labels, structures: Labels, mode: Mode) -> Matched:
    """Every voxel of a vertebra's structures gets a vertebra: by growth, then piece by piece; lonely pieces go."""
    belongs = np.isin(structures, VERTEBRA_IDS)
    if (vertebrae[belongs] > 0).all():
        return Matched(structures.astype(np.uint8), np.where(belongs, vertebrae, 0).astype(np.uint16))
    filled = _grown_within(vertebrae, belongs, mode)
    kept = np.array(structures, dtype=np.uint8)
    lonely = _assign_rest(filled, belongs & (filled == 0))
    for piece in lonely:
        kept[piece] = 0
    filled[~np.isin(kept, VERTEBRA_IDS)] = 0
    return Matched(kept, filled, len(lonely), sum(len(piece[0]) for piece in lonely))


def _grown_within(vertebrae: Labels, belongs: Mask, mode: Mode) -> NDArray[np.uint16]:
    """Two steps to the six neighbours inside a mask, label after label.

    In the reference the first label still grows from its voxels outside the mask; they are dropped only after it.
    """
    out = np.array(vertebrae, dtype=np.uint16)
    reach = boxes(out, margin=GROWTH)
    if mode is Mode.CORRECTED:
        out[~belongs] = 0
    for _ in range(GROWTH):
        for label, box in reach.items():
            part = out[box]
            part[(part == 0) & grown(part == label, 6)] = label
            out[~belongs] = 0
    return out


def _assign_rest(filled: NDArray[np.uint16], rest: Mask) -> list[tuple[NDArray[np.intp], ...]]:
    """Each piece takes the most frequent vertebra next to it, in place; gives the voxels of pieces without one."""
    found, _ = pieces(rest, 18)
    lonely = []
    for number, box in boxes(found, margin=2).items():
        piece = found[box] == number
        part = filled[box]
        near = part[grown(piece, 18)]
        near = near[near != 0]
        if near.size:
            part[piece] = np.bincount(near).argmax()
        else:
            lonely.append(tuple(at + s.start for at, s in zip(np.nonzero(piece), box, strict=True)))
    return lonely


def with_joined_top(vertebrae: Labels, structures: Labels, spacing: Zoom, down: Down = DOWN) -> NDArray[np.uint16]:
    """A small topmost vertebra with no disc before the next one, which it touches widely, becomes part of that."""
    joined = np.array(vertebrae, dtype=np.uint16)
    top = _two_topmost(joined, structures, down)
    if top is None:
        return joined
    first, second = top
    volumes = sizes(joined)
    if volumes[first] >= FRAGMENT * volumes[second]:
        return joined
    both = np.where(joined == first, 1, np.where(joined == second, 2, 0)).astype(np.uint8)
    touching = cc3d.contacts(both, connectivity=26).get((1, 2), 0)
    if touching > max(round(LEAST_CONTACT_MM2 / float(np.prod(spacing)) ** (2 / 3)), 1):
        joined[joined == first] = second
    return joined


def _two_topmost(vertebrae: Labels, structures: Labels, down: Down) -> tuple[int, int] | None:
    """The two topmost of all discs and vertebrae, if both are vertebrae and there are discs at all."""
    if not (structures == DISC_ID).any():
        return None
    discs, _ = pieces(np.isin(structures, (DISC_ID, ENDPLATE_ID)))
    bodies = centres(np.where(np.isin(structures, (BODY_ID, ARCH_ID)), vertebrae, 0))
    axis, sign = down
    listed = [(sign * c[axis], 0) for c in centres(discs).values()] + [(sign * c[axis], n) for n, c in bodies.items()]
    listed.sort(key=lambda item: item[0])
    if len(listed) < 2 or not listed[0][1] or not listed[1][1]:
        return None
    return listed[0][1], listed[1][1]


def with_returned_fragments(vertebrae: Labels, structures: Labels) -> NDArray[np.uint16]:
    """A stray piece of arch or spinous process that touches exactly one other vertebra is given to that."""
    returned = np.array(vertebrae, dtype=np.uint16)
    for label, box in boxes(vertebrae, margin=1).items():
        if label > LAST_VERTEBRA:
            continue
        inside, kinds = vertebrae[box], structures[box]
        for stray in largest(inside == label, FRAGMENTS_LOOKED_AT)[1:]:
            if not np.isin(kinds[stray], (ARCH_ID, SPINOUS_ID)).all():
                continue
            near = box_of(stray, margin=1)
            touched = ids(np.where(stray[near], 0, inside[near]))
            if len(touched) == 1 and touched[0] != label:
                returned[box][stray] = touched[0]
    return returned


def numbered(vertebrae: Labels, names: Callable[[int], int]) -> NDArray[np.uint16]:
    """Vertebrae renumbered from the head down; `names` gives the number for a rank that counts from 1."""
    ranked = sorted(centres(vertebrae).items(), key=lambda item: item[1][1])
    table = np.zeros(int(vertebrae.max()) + 1, dtype=np.uint16)
    for rank, (label, _) in enumerate(ranked, start=1):
        table[label] = names(rank)
    return table[vertebrae]
