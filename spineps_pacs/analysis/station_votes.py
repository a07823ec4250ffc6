"""What other results of the same patient say about the vertebrae of one series: votes for the second opinion.

Neighbouring stations of a study share a frame of reference, so a vertebra is the same where its centres lie close. An
earlier study does not; it knows which vertebra stands on the sacrum, which stays what it is for life.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spineps_pacs.analysis.anchors import landmarks
from spineps_pacs.analysis.geometry import turn
from spineps_pacs.analysis.patches import Spine
from spineps_pacs.analysis.second_opinion import DISAGREE, Vote, said_by
from spineps_pacs.analysis.study import SAME_MM, station
from spineps_pacs.domain.anatomy import DISC_OFFSET, LEVEL_IDS, SACRUM_ID
from spineps_pacs.domain.masks import LevelMethod
from spineps_pacs.domain.report import Point, Report

TRUST = 0.9
"""How often the names of another result are taken to be right: stated, not measured."""
USUAL_LAST = LEVEL_IDS["L5"]


@dataclass(frozen=True)
class Known:
    """What is kept of a result for other results: a digest of the frame of reference, bodies (LPS mm), their names.

    `names` is empty where they were only counted, counted from an anchor, or disputed. `last` is the instance of the
    vertebra that stands on the sacrum, where that is in view.
    """

    frame: str
    bodies: Mapping[int, Point]
    names: Mapping[int, int]
    last: int | None = None


def known(report: Report) -> Known:
    """What a report has to say to others."""
    trusted = report.levels.method is LevelMethod.MODEL and all(flag.kind != DISAGREE for flag in report.flags)
    names = {c.instance: c.level for c in report.levels.choices if c.level is not None} if trusted else {}
    ordered = _ordered(report)
    last = ordered[-1] if ordered and _seen(report, ordered)[0] else None
    place = station(report)
    return Known(place.frame, {body.instance: body.centre for body in place.bodies}, names, last)


def votes(own: Known, others: Sequence[Known]) -> tuple[Vote, ...]:
    """One vote for each other result that can say something about these vertebrae."""
    found = (_station(own, other, n) or _earlier(own, other) for n, other in enumerate(others, start=1))
    return tuple(vote for vote in found if vote is not None)


def anchors_seen(report: Report) -> tuple[list[int], bool, bool]:
    """Instances from the head down, whether the sacrum follows, and whether the topmost has a dens."""
    ordered = _ordered(report)
    return (ordered, *(_seen(report, ordered) if ordered else (False, False)))


def _station(own: Known, other: Known, number: int) -> Vote | None:
    if not own.frame or other.frame != own.frame or not other.names:
        return None
    named = {i: at for i, at in other.bodies.items() if i in other.names}
    names = {i: other.names[near] for i, near in _shared(own.bodies, named)}
    return said_by(f"another station ({number})", names, TRUST) if names else None


def _earlier(own: Known, other: Known) -> Vote | None:
    """Only an unusual last vertebra is news: that L5 is the usual one, the sacrum says by itself."""
    if own.frame == other.frame or own.last is None or other.last is None:
        return None
    level = other.names.get(other.last, USUAL_LAST)
    return said_by("an earlier study", {own.last: level}, TRUST) if level != USUAL_LAST else None


def _shared(own: Mapping[int, Point], others: Mapping[int, Point]) -> Iterator[tuple[int, int]]:
    """Own instance and the other's at the same place."""
    for i, at in own.items():
        away = {n: float(np.linalg.norm(np.subtract(other, at))) for n, other in others.items()}
        near = min(away, key=lambda n: away[n], default=None)
        if near is not None and away[near] <= SAME_MM:
            yield i, near


def _ordered(report: Report) -> list[int]:
    return [c.instance for c in sorted(report.levels.choices, key=lambda c: c.position)]


def _seen(report: Report, ordered: list[int]) -> tuple[bool, bool]:
    """Sacrum and dens as the report's masks show them."""
    way = turn(report.volume.geometry)
    kinds, instances = way.there(report.structures.labels), way.there(report.instances.labels)
    bones = np.where((instances < DISC_OFFSET) & (instances != SACRUM_ID), instances, 0)
    found = landmarks(Spine(way.there(report.volume.voxels), kinds, bones, way.after), ordered)
    return found.sacrum, found.axis
