"""Gives sacrum, metal, discs and endplates their place in the instance mask, and tells upper from lower endplates.

Arrays are indexed (P, I, R). A disc gets 100 + the vertebra above it, an endplate 200 + that (also the upper endplate
of the vertebra below, as upstream has it).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.pieces import Labels, boxes, centres, grown, ids, pieces
from spineps_pacs.domain.anatomy import (
    CORPUS_ID,
    DISC_ID,
    DISC_OFFSET,
    ENDPLATE_ID,
    ENDPLATE_OFFSET,
    HEAD_TO_TAIL,
    LEVEL_IDS,
    METAL_ID,
    SACRUM_ID,
    VERTEBRAE_BELOW,
)

SUPERIOR_ID, INFERIOR_ID, DENS_ID, AXIS_VERTEBRA = 52, 53, 51, 2
T13_ID = LEVEL_IDS["T13"]
ROUNDS = 14
"""Steps by which vertebrae grow into the endplates."""


def completed(
    structures: Labels, vertebrae: Labels, sacrum: Sequence[int], metal: Sequence[int], mode: Mode
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Points 8 and 9: sacrum, metal and dens written, then discs, then endplates."""
    instances = np.array(vertebrae, dtype=np.uint16)
    instances[np.isin(structures, tuple(sacrum))] = SACRUM_ID
    instances[np.isin(structures, tuple(metal))] = METAL_ID
    instances[structures == DENS_ID] = AXIS_VERTEBRA
    heights = body_heights(structures, instances, mode)
    kinds = np.array(structures, dtype=np.uint8)
    if not heights:
        return kinds, instances
    _write_discs(instances, structures, heights, mode)
    if np.isin(structures, (SUPERIOR_ID, INFERIOR_ID)).any():
        _write_split_endplates(instances, structures, heights, mode)
    elif (structures == ENDPLATE_ID).any():
        _write_endplates(instances, structures, heights, mode)
        kinds = split_endplates(structures, instances, mode)
    return kinds, instances


def body_heights(structures: Labels, instances: Labels, mode: Mode) -> dict[int, float]:
    """Height (voxels along I) of the body of each vertebra.

    The reference also lists what has no body, the sacrum above all, at height 0; `corrected` leaves it out.
    """
    found = centres(np.where(structures == CORPUS_ID, instances, 0))
    if mode is Mode.CORRECTED:
        return {n: c[1] for n, c in found.items() if n < VERTEBRAE_BELOW}
    listed = [n for n in ids(instances) if n <= SACRUM_ID or n == T13_ID]
    return {n: found[n][1] if n in found else 0 for n in listed}


def above(heights: dict[int, float], height: float) -> int:
    """The vertebra whose body is the nearest one above a height; the topmost when none is."""
    higher = [h for h in heights.values() if h < height]
    wanted = max(higher) if higher else min(heights.values())
    return next(n for n, h in heights.items() if h == wanted)


def beneath(heights: dict[int, float], height: float) -> int:
    """The vertebra whose body is the nearest one below a height; the lowest when none is."""
    lower = [h for h in heights.values() if h > height]
    wanted = min(lower) if lower else max(heights.values())
    return next(n for n, h in heights.items() if h == wanted)


def preceding(heights: dict[int, float], mode: Mode) -> int:
    """The number of the vertebra that would come before the topmost one, 0 when there is none."""
    if mode is Mode.UPSTREAM:
        return min(heights) - 1
    top = min(heights, key=lambda n: heights[n])
    at = HEAD_TO_TAIL.index(top) if top in HEAD_TO_TAIL else 0
    return _before(top, at)


def _before(vertebra: int, at: int) -> int:
    """Its predecessor; a thirteenth thoracic vertebra is nobody's unless it was seen."""
    if at == 0:
        return 0
    previous = HEAD_TO_TAIL[at - 1]
    return HEAD_TO_TAIL[at - 2] if previous == T13_ID and vertebra != previous else previous


def in_order(vertebrae: Sequence[int]) -> list[int]:
    """Vertebra numbers from the head down: T13 (28) after T12, the sacrum last."""
    places = {n: float(n) for n in vertebrae} | {T13_ID: 19.5, SACRUM_ID: float(VERTEBRAE_BELOW)}
    return sorted(vertebrae, key=lambda n: places[n])


def _write_discs(instances: NDArray[np.uint16], structures: Labels, heights: dict[int, float], mode: Mode) -> None:
    found, count = pieces(structures == DISC_ID)
    table = np.zeros(count + 1, dtype=np.uint16)
    top = min(heights.values())
    for piece, centre in centres(found).items():
        owner = preceding(heights, mode) if centre[1] < top else above(heights, centre[1])
        table[piece] = DISC_OFFSET + owner if owner else 0
    disc = structures == DISC_ID
    instances[disc] = table[found[disc]]


def _write_endplates(instances: NDArray[np.uint16], structures: Labels, heights: dict[int, float], mode: Mode) -> None:
    """`corrected` gives an endplate above all bodies to the vertebra before, the reference to the topmost."""
    found, count = pieces(structures == ENDPLATE_ID)
    table = np.zeros(count + 1, dtype=np.uint16)
    top = min(heights.values())
    for piece, centre in centres(found).items():
        lonely = mode is Mode.CORRECTED and centre[1] < top
        owner = preceding(heights, mode) if lonely else above(heights, centre[1])
        table[piece] = ENDPLATE_OFFSET + owner if owner else 0
    plate = structures == ENDPLATE_ID
    instances[plate] = table[found[plate]]


def _write_split_endplates(
    instances: NDArray[np.uint16], structures: Labels, heights: dict[int, float], mode: Mode
) -> None:
    """For a model that tells upper from lower endplates itself; the reference then forgets to add 200."""
    plate = np.isin(structures, (ENDPLATE_ID, SUPERIOR_ID, INFERIOR_ID))
    found, count = pieces(np.where(plate, structures, 0))
    table = np.zeros(count + 1, dtype=np.uint16)
    upper = np.zeros(count + 1, dtype=bool)
    upper[found[structures == SUPERIOR_ID]] = True
    for piece, centre in centres(found).items():
        owner = beneath(heights, centre[1]) if upper[piece] else above(heights, centre[1])
        table[piece] = owner + (ENDPLATE_OFFSET if mode is Mode.CORRECTED else 0)
    instances[plate] = table[found[plate]]


def split_endplates(structures: Labels, instances: Labels, mode: Mode) -> NDArray[np.uint8]:
    """The structures with endplates told apart as far as growing vertebrae reach them: 53 lower, 52 upper, else 62."""
    plates = structures == ENDPLATE_ID
    claims = _claimed_as_upstream(plates, instances) if mode is Mode.UPSTREAM else _claimed(plates, instances)
    return np.where(plates, claims, structures).astype(np.uint8)


def _claimed(plates: NDArray[np.bool_], instances: Labels) -> NDArray[np.int32]:
    """Each vertebra claims its own lower endplates and the upper ones, which carry the number of the one before it."""
    out = np.where(plates, ENDPLATE_ID, 0).astype(np.int32)
    numbers = in_order([n for n in ids(instances) if n < VERTEBRAE_BELOW])
    reach = boxes(np.where(instances < VERTEBRAE_BELOW, instances, 0), margin=ROUNDS + 1)
    masks = {n: instances[reach[n]] == n for n in numbers}
    before = dict(zip(numbers[1:], numbers, strict=False))
    for n in numbers[:1]:
        before[n] = _before(n, HEAD_TO_TAIL.index(n)) if n in HEAD_TO_TAIL else 0
    for _ in range(ROUNDS):
        for n in numbers:
            masks[n] = grown(masks[n])
            part, owners = out[reach[n]], instances[reach[n]]
            reached = masks[n] & (part == ENDPLATE_ID)
            part[reached & (owners == ENDPLATE_OFFSET + n)] = INFERIOR_ID
            part[reached & (owners == ENDPLATE_OFFSET + before[n])] = SUPERIOR_ID
    return out


def _claimed_as_upstream(plates: NDArray[np.bool_], instances: Labels) -> NDArray[np.int32]:
    """The reference's arithmetic: a voxel first reached by a vertebra that may not claim it is spoilt and becomes 0.

    Vertebrae come in the order of their numbers, and the one "before" the first is the last of the round before.
    """
    out = np.zeros(plates.shape, dtype=np.int32)
    numbers = [n for n in ids(instances) if n < VERTEBRAE_BELOW]
    reach = boxes(np.where(instances < VERTEBRAE_BELOW, instances, 0), margin=ROUNDS + 1)
    masks = {n: instances[reach[n]] == n for n in numbers}
    total, known, before = int(plates.sum()), -1, 1
    for _ in range(ROUNDS):
        now = int(np.isin(out, (INFERIOR_ID, SUPERIOR_ID)).sum())
        if now == total or (known == now and known != 0):
            break
        known = now
        for n in numbers:
            masks[n] = grown(masks[n])
            part, owners = out[reach[n]], instances[reach[n]].astype(np.int32)
            free = plates[reach[n]] & masks[n] & (part != INFERIOR_ID) & (part != SUPERIOR_ID)
            value = np.where(owners == ENDPLATE_OFFSET + n, INFERIOR_ID, owners)
            value = np.where(owners == ENDPLATE_OFFSET + before, SUPERIOR_ID, value)
            part[free] += value[free]
            before = n
    done = np.isin(out, (INFERIOR_ID, SUPERIOR_ID))
    out[plates & ~done] += ENDPLATE_ID
    return np.where(np.isin(out, (INFERIOR_ID, SUPERIOR_ID, ENDPLATE_ID)), out, 0).astype(np.int32)
