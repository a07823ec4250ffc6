"""What neighbouring stations of a study say about the vertebrae of one series: votes for the second opinion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from spineps_pacs.analysis.pieces import centres
from spineps_pacs.analysis.second_opinion import DISAGREE, Vote, said_by
from spineps_pacs.analysis.study import SAME_MM
from spineps_pacs.domain.anatomy import CORPUS_ID
from spineps_pacs.domain.masks import LevelMethod
from spineps_pacs.domain.report import Report

TRUST = 0.9
"""How often a station's names are taken to be right: stated, not measured."""


def station_votes(report: Report, others: Sequence[Report]) -> tuple[Vote, ...]:
    """One vote a station that shares vertebrae and the frame of reference with the report.

    A vertebra is the same where centres of bodies lie within 12 mm. A station that only counts, or whose own names
    are disputed, has no vote.
    """
    return tuple(_votes(report, others))


def _votes(report: Report, others: Sequence[Report]) -> Iterator[Vote]:
    frame = report.volume.geometry.frame_of_reference_uid
    own = _centres(report)
    for n, other in enumerate(others, start=1):
        if not frame or other.volume.geometry.frame_of_reference_uid != frame or not _speaks(other):
            continue
        named = {c.instance: c.level for c in other.levels.choices}
        theirs = {i: at for i, at in _centres(other).items() if named.get(i) is not None}
        shared = {i: named[near] for i, at in own.items() if (near := _nearest(at, theirs)) is not None}
        names = {i: level for i, level in shared.items() if level is not None}
        if names:
            yield said_by(f"another station ({n})", names, TRUST)


def _speaks(other: Report) -> bool:
    return other.levels.method is not LevelMethod.COUNTED and all(flag.kind != DISAGREE for flag in other.flags)


def _centres(report: Report) -> dict[int, np.ndarray]:
    """Centre of each vertebra's body in LPS mm."""
    bodies = np.where(report.structures.labels == CORPUS_ID, report.instances.labels, 0)
    named = {c.instance for c in report.levels.choices}
    return {i: report.volume.geometry.to_world(np.array(at)) for i, at in centres(bodies).items() if i in named}


def _nearest(at: np.ndarray, others: dict[int, np.ndarray]) -> int | None:
    away = {i: float(np.linalg.norm(other - at)) for i, other in others.items()}
    near = min(away, key=lambda i: away[i], default=None)
    return near if near is not None and away[near] <= SAME_MM else None
