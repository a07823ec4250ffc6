"""Names vertebrae without a labelling network, by counting from a landmark: the sacrum, or C2 by its shape.

Arrays are indexed (P, I, R). Twelve thoracic and five lumbar vertebrae are taken for granted, and the result says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.geometry import bounding_box, zoom
from spineps_pacs.analysis.levels import Named
from spineps_pacs.analysis.patches import Spine
from spineps_pacs.analysis.pieces import centres
from spineps_pacs.domain.anatomy import CORPUS_ID, HEAD_TO_TAIL, LEVEL_IDS, SACRUM_ID
from spineps_pacs.domain.masks import LevelChoice, LevelMethod, Levels

FROM_C2_TO_L5 = tuple(n for n in HEAD_TO_TAIL if LEVEL_IDS["C2"] <= n <= LEVEL_IDS["L5"])
LEAST_SACRUM_MM3 = 5000
FARTHEST_SACRUM_MM = 25
"""From the lower end of the lowest vertebral body to the upper end of the sacrum."""
TALL = 1.5
"""The body of C2 with its dens is at least this many times as tall as the next two on average."""
BOTH_AGREE, SACRUM_ONLY, C2_ONLY, DISAGREE = 0.95, 0.9, 0.7, 0.5
"""Confidences that are stated, not measured: about one spine in ten has no five lumbar vertebrae."""


@dataclass(frozen=True)
class Landmarks:
    """What can be counted from."""

    sacrum: bool
    axis: bool


def landmarks(spine: Spine, ordered: list[int]) -> Landmarks:
    """Whether the sacrum follows the lowest vertebra, and whether the topmost one is C2 by its shape."""
    bodies = {n: bounding_box((spine.vertebrae == n) & (spine.structures == CORPUS_ID)) for n in ordered}
    spans = [box[1] for box in bodies.values() if box is not None]
    if not spans:
        return Landmarks(sacrum=False, axis=False)
    return Landmarks(_sacrum_follows(spine, spans[-1]), _is_axis(spans))


def _sacrum_follows(spine: Spine, lowest: slice) -> bool:
    sacrum = spine.structures == SACRUM_ID
    box = bounding_box(sacrum)
    if box is None or sacrum.sum() * spine.geometry.voxel_volume < LEAST_SACRUM_MM3:
        return False
    gap = (box[1].start - lowest.stop) * zoom(spine.geometry)[1]
    return bool(gap <= FARTHEST_SACRUM_MM and box[1].stop > lowest.stop)


def _is_axis(spans: list[slice]) -> bool:
    """The topmost body is seen whole and is much taller than the next two: C2 and its dens."""
    if len(spans) < 4 or spans[0].start == 0:
        return False
    first, *following = (s.stop - s.start for s in spans[:3])
    return bool(first > TALL * sum(following) / len(following))


def anchored(spine: Spine) -> Named | None:
    """Vertebrae named from a landmark; None where there is none, or where there are too many to name."""
    ordered = [n for n, _ in sorted(centres(spine.vertebrae).items(), key=lambda item: item[1][1])]
    seen = landmarks(spine, ordered)
    if not ordered or len(ordered) > len(FROM_C2_TO_L5) or not (seen.sacrum or seen.axis):
        return None
    upwards = FROM_C2_TO_L5[len(FROM_C2_TO_L5) - len(ordered) :]
    given = upwards if seen.sacrum else FROM_C2_TO_L5[: len(ordered)]
    agree = given[0] == FROM_C2_TO_L5[0]
    confidence = _confidence(seen, agree)
    flags = ("numbering uncertain",) if confidence == DISAGREE else ()
    choices = tuple(LevelChoice(n, at, n, confidence) for at, n in enumerate(given, start=1))
    return Named(_renumbered(spine, ordered, given), Levels(LevelMethod.ANCHOR, choices, None, flags, _reason(seen)))


def _confidence(seen: Landmarks, agree: bool) -> float:
    if seen.sacrum and seen.axis:
        return BOTH_AGREE if agree else DISAGREE
    return SACRUM_ONLY if seen.sacrum else C2_ONLY


def _reason(seen: Landmarks) -> str:
    start = "upwards from L5, which lies on the sacrum" if seen.sacrum else "downwards from C2, known by its dens"
    return f"counted {start}; twelve thoracic and five lumbar vertebrae are taken for granted"


def _renumbered(spine: Spine, ordered: list[int], given: tuple[int, ...]) -> NDArray[np.uint16]:
    table = np.zeros(max(ordered) + 1, dtype=np.uint16)
    table[ordered] = given
    return table[spine.vertebrae]
