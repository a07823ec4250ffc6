"""From raw vertebrae to the final masks on the input grid: matched, numbered, named, with discs and endplates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.anchors import anchored
from spineps_pacs.analysis.discs import completed
from spineps_pacs.analysis.geometry import Box, Crop, Turn, as_written, bounding_box, crop, turn, zoom
from spineps_pacs.analysis.levels import Named, Numbering, counted, labelled, ranks
from spineps_pacs.analysis.matching import Matched, match, numbered, second_axis
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.patches import Spine
from spineps_pacs.analysis.pieces import Labels, centres, ids, sizes
from spineps_pacs.domain.anatomy import CORPUS_ID
from spineps_pacs.domain.errors import Cancelled, SpinepsPacsError, TryAgain
from spineps_pacs.domain.masks import Levels
from spineps_pacs.domain.ports import LevelEngine, Watch
from spineps_pacs.domain.volume import Geometry, Volume

MARGIN_MM = 1.5
LEAST_BODY_MM3 = 150.0
"""Less body than this is no vertebra (a cervical body has about 2000 mm3)."""


@dataclass(frozen=True)
class Rules:
    """How vertebrae are named: the mode, whether there must be twelve thoracic ones, ids of sacrum and metal.

    `least_end`: the first and the last vertebra show at least this part of their neighbour's body (0: any part).
    `has_c1`: the network for structures knows C1, so names may begin there; `counts_c1`: numbers without names do, too
    (in the reference for CT only).
    """

    mode: Mode = Mode.CORRECTED
    only_twelve: bool = False
    sacrum: tuple[int, ...] = (26,)
    metal: tuple[int, ...] = (80,)
    least_end: float = 0.0
    has_c1: bool = False
    counts_c1: bool = False


@dataclass(frozen=True, eq=False)
class Final:
    """The masks in the order of the input's axes, the levels, and what was lost on the way."""

    structures: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    levels: Levels
    unmatched: int = 0
    dropped: int = 0


def name(volume: Volume, raw: Matched, engine: LevelEngine | None, rules: Rules, watch: Watch) -> Final:
    """Points 1 to 9 of the combined post-processing; all arrays on the volume's grid."""
    way = turn(as_written(volume.geometry))
    matched = _matched(way, raw.structures, raw.vertebrae, rules.mode)
    if rules.mode is Mode.CORRECTED:
        matched = with_whole_ends(with_bodies(matched, volume.geometry.voxel_volume), rules.least_end)
    ranked = numbered(matched.vertebrae, ranks(rules.mode, has_c1=rules.counts_c1))
    spine = Spine(way.there(volume.voxels), matched.structures, ranked, way.after)
    part = crop(way.after, _around(way.there(raw.structures), way.after))
    named = _named((spine, part), engine, rules, watch)
    kinds, instances = completed(matched.structures, named.vertebrae, rules.sacrum, rules.metal, rules.mode)
    dropped = len(ids(ranked)) - len(ids(named.vertebrae))
    return Final(way.back(kinds), way.back(instances), named.levels, matched.unmatched, dropped)


def _around(structures: Labels, geometry: Geometry) -> Box:
    """The box that the reference shows to the labelling network: hardly more than the structures."""
    return bounding_box(structures > 0, int(MARGIN_MM / min(zoom(geometry)))) or (slice(None),) * 3


def with_bodies(matched: Matched, voxel_mm3: float) -> Matched:
    """What has no body is no vertebra of its own: a process of C1, or of a vertebra beyond the field of view."""
    bodies = np.bincount(matched.vertebrae[matched.structures == CORPUS_ID].ravel(), minlength=_most(matched))
    without = [n for n in ids(matched.vertebrae) if bodies[n] * voxel_mm3 < LEAST_BODY_MM3]
    if not without:
        return matched
    kept = np.where(np.isin(matched.vertebrae, without), 0, matched.vertebrae).astype(matched.vertebrae.dtype)
    return replace(matched, vertebrae=kept, unmatched=matched.unmatched + len(without))


def with_whole_ends(matched: Matched, least: float) -> Matched:
    """The outermost bodies that show less than `least` of their neighbour's are slivers, no vertebrae of their own.

    Arrays are indexed (P, I, R); the structures stay.
    """
    bodies = np.where(matched.structures == CORPUS_ID, matched.vertebrae, 0)
    volumes, middles = sizes(bodies), centres(bodies)
    order = sorted(volumes, key=lambda n: middles[n][1])
    while len(order) > 1 and volumes[order[0]] < least * volumes[order[1]]:
        order.pop(0)
    while len(order) > 1 and volumes[order[-1]] < least * volumes[order[-2]]:
        order.pop()
    if len(order) == len(volumes):
        return matched
    without = [n for n in volumes if n not in order]
    kept = np.where(np.isin(matched.vertebrae, without), 0, matched.vertebrae).astype(matched.vertebrae.dtype)
    return replace(matched, vertebrae=kept)


def _most(matched: Matched) -> int:
    return int(matched.vertebrae.max(initial=0)) + 1


def _matched(way: Turn, structures: Labels, vertebrae: Labels, mode: Mode) -> Matched:
    return match(way.there(structures), way.there(vertebrae), zoom(way.after), mode, second_axis(way))


def _named(given: tuple[Spine, Crop], engine: LevelEngine | None, rules: Rules, watch: Watch) -> Named:
    """By the network, from a part; where there is none, from a landmark; else, and when naming fails, only counted."""
    spine, part = given
    if not ids(spine.vertebrae):
        return counted(spine.vertebrae, "there are no vertebrae")
    if engine is None:
        found = anchored(spine) if rules.mode is Mode.CORRECTED else None
        return found or counted(spine.vertebrae, "there is no labelling model, and no landmark to count from")
    numbering = Numbering(rules.mode, rules.has_c1, rules.only_twelve)
    try:
        named = labelled(_cropped(spine, part), engine, numbering, watch)
        return replace(named, vertebrae=part.back(named.vertebrae))
    except (Cancelled, TryAgain):
        raise
    except SpinepsPacsError as reason:
        return counted(spine.vertebrae, f"labelling failed: {reason}")


def _cropped(spine: Spine, part: Crop) -> Spine:
    image, structures, vertebrae = (part.there(a) for a in (spine.image, spine.structures, spine.vertebrae))
    return Spine(image, structures, vertebrae, part.after)


def without_vertebrae(structures: Labels, geometry: Geometry, reason: str) -> Final:
    """The structures alone, when vertebrae could not be told apart."""
    nothing = counted(np.zeros(geometry.shape, dtype=np.uint16), reason)
    return Final(np.asarray(structures, dtype=np.uint8), nothing.vertebrae, nothing.levels)
