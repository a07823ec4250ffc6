"""Fuses what the instance network saw in overlapping cutouts: predictions that agree become one vertebra.

Arrays are indexed (P, I, R) on the instance model's grid. A prediction has a key: the cutout it was seen in (0 is the
lowest body), and its part (0 the vertebra above, 1 the centre one, 2 below).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import fill_voids
import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.cutouts import Place
from spineps_pacs.analysis.geometry import Box, bounding_box
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.pieces import Labels, Mask, boxes, ids, without_small
from spineps_pacs.domain.errors import Unusable

Key = tuple[int, int]
Couple = tuple[Key, ...]

PARTS = (1, 2, 3)
REACH = 2
"""Partners are looked for in this many cutouts to each side."""
LEAST_DICE = 0.3
TAKEN = 0.6
"""A couple is left out when more than this part of its voxels already belongs to others."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """One vertebra as one cutout showed it: its box in the volume, the mask in that box, its number of voxels."""

    box: Box
    mask: Mask
    size: int


def predictions(answers: NDArray[np.uint8], wanted: Sequence[Place]) -> dict[Key, Prediction]:
    """All parts of all cutouts that are not empty, cut down to their voxels."""
    found: dict[Key, Prediction] = {}
    for number, (answer, place) in enumerate(zip(answers, wanted, strict=True)):
        seen = answer[place.inner]
        for part in PARTS:
            mask = seen == part
            tight = bounding_box(mask)
            if tight is not None:
                found[number, part - 1] = Prediction(_shifted(tight, place.box), mask[tight], int(mask.sum()))
    return found


def _shifted(box: Box, by: Box) -> Box:
    a, b, c = (slice(s.start + o.start, s.stop + o.start) for s, o in zip(box, by, strict=True))
    return (a, b, c)


def _within(box: Box, window: Box) -> Box:
    """A box of the volume as seen from a window of it."""
    a, b, c = (slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, window, strict=True))
    return (a, b, c)


def dice(one: Prediction, other: Prediction) -> float:
    """How far two predictions agree, 0 to 1."""
    a, b, c = (slice(max(s.start, t.start), min(s.stop, t.stop)) for s, t in zip(one.box, other.box, strict=True))
    shared: Box = (a, b, c)
    if any(s.start >= s.stop for s in shared):
        return 0.0
    both = np.count_nonzero(one.mask[_within(shared, one.box)] & other.mask[_within(shared, other.box)])
    return 2.0 * int(both) / (one.size + other.size)


def couples(found: Mapping[Key, Prediction]) -> list[tuple[Couple, float]]:
    """Who belongs together and how far they agree; large and agreeing couples first, equals as they were met."""
    seen: dict[Couple, list[float]] = {}
    for key in sorted(found):
        couple, agreement = _couple(key, found)
        seen.setdefault(couple, []).append(agreement)
    averaged = [(couple, sum(values) / len(values)) for couple, values in seen.items()]
    return sorted(averaged, key=lambda item: -((len(item[0]) + 1) * item[1]))


def _couple(key: Key, found: Mapping[Key, Prediction]) -> tuple[Couple, float]:
    """A prediction and up to two partners, in the order of their cutouts; their mean agreement, 0 without a partner.

    Two partners that do not agree with each other cannot both stay: the better one does.
    """
    number, _ = key
    around = [
        (dice(found[key], found[other]), other)
        for other in sorted(found)
        if other[0] != number and abs(other[0] - number) <= REACH
    ]
    best = [(d, other) for d, other in sorted(around, key=lambda item: -item[0])[:2] if d > LEAST_DICE]
    if len(best) == 2 and dice(found[best[0][1]], found[best[1][1]]) < LEAST_DICE:
        best = best[:1]
    agreement = sum(d for d, _ in best) / len(best) if best else 0.0
    members = [other for _, other in best] + [key]
    return tuple(sorted(members, key=lambda member: member[0])), agreement


def fuse(
    found: Mapping[Key, Prediction], ranked: Sequence[tuple[Couple, float]], shape: tuple[int, ...], mode: Mode
) -> tuple[NDArray[np.uint16], int]:
    """Vertebrae numbered in the order they were accepted, and how many couples were empty.

    One empty couple ends the whole work in the reference; `corrected` leaves it out.
    """
    vertebrae = np.zeros(shape, dtype=np.uint16)
    number, empty = 0, 0
    for couple, agreement in ranked:
        window, selected = _voted([found[key] for key in couple], agreement)
        wanted = int(np.count_nonzero(selected))
        if not wanted:
            if mode is Mode.UPSTREAM:
                raise Unusable(f"a couple of {len(couple)} predictions has no voxel that enough of them share")
            empty += 1
            continue
        target = vertebrae[window]
        free = selected & (target == 0)
        if (wanted - int(np.count_nonzero(free))) / wanted > TAKEN:
            continue
        number += 1
        target[free] = number
    if not number:
        raise Unusable(f"none of {len(found)} predictions of the instance network became a vertebra")
    return vertebrae, empty


def _voted(members: Sequence[Prediction], agreement: float) -> tuple[Box, Mask]:
    """The window around a couple, and the voxels in it that enough members claim."""
    a, b, c = (
        slice(min(m.box[axis].start for m in members), max(m.box[axis].stop for m in members)) for axis in range(3)
    )
    window: Box = (a, b, c)
    votes = np.zeros(tuple(s.stop - s.start for s in window), dtype=np.uint8)
    for member in members:
        votes[_within(member.box, window)] += member.mask
    alone = len(members) <= 2 or agreement < 0.3 + 0.15 * (4 - len(members))
    return window, votes >= (1 if alone else 2)


def cleaned(vertebrae: NDArray[np.uint16], smallest: int) -> NDArray[np.uint16]:
    """Without pieces below `smallest` voxels, holes filled, numbered from 1 without gaps."""
    kept = without_small(vertebrae, smallest) if (vertebrae == 0).any() else vertebrae
    filled = with_filled_holes(kept, ids(kept))
    table = np.zeros(int(filled.max()) + 1, dtype=np.uint16)
    table[list(ids(kept))] = np.arange(1, len(ids(kept)) + 1)
    return table[filled]


def with_filled_holes(labels: Labels, wanted: Sequence[int]) -> NDArray[np.uint16]:
    """Background inside a label becomes that label, one label after the other."""
    filled = np.array(labels, dtype=np.uint16)
    around = boxes(filled, margin=1)
    for label in wanted:
        part = filled[around[label]]
        part[fill_voids.fill(part == label) & (part == 0)] = label
    return filled
