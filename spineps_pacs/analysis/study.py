"""Joins the levels of several stations of one study: one numbering for all, and where the stations disagree.

Stations share a frame of reference; a vertebra is the same in two of them when its centres lie close together (LPS mm).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.pieces import centres
from spineps_pacs.domain.anatomy import CORPUS_ID, HEAD_TO_TAIL, LEVEL_IDS, SACRUM_ID, VERTEBRAE
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.masks import LevelMethod
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.study import Body, JoinedLevel, JoinedLevels, Seen, Station

SAME_MM = 12.0
"""Centres of one vertebra in two stations are at most this far apart: less than half the least distance of two."""
USUAL = tuple(n for n in HEAD_TO_TAIL if n not in (LEVEL_IDS["T13"], LEVEL_IDS["L6"], SACRUM_ID))
UNSURE = 0.5
"""Confidence of a name that came without one."""


def station(report: Report) -> Station:
    """What a report has to say of its vertebrae."""
    bodies = np.where(report.structures.labels == CORPUS_ID, report.instances.labels, 0)
    found = centres(bodies)
    counted = report.levels.method is LevelMethod.COUNTED
    kept = []
    for choice in report.levels.choices:
        if choice.instance in found:
            x, y, z = (round(float(c), 2) for c in report.volume.geometry.to_world(np.array(found[choice.instance])))
            sure = UNSURE if choice.confidence is None else choice.confidence
            kept.append(Body(choice.instance, (x, y, z), None if counted else choice.level, sure))
    uid = report.volume.geometry.frame_of_reference_uid
    frame = hashlib.sha256(uid.encode()).hexdigest()[:16] if uid else ""
    return Station(frame, tuple(kept), report.demonstration)


def join(stations: Sequence[Station]) -> JoinedLevels:
    """One numbering for all stations: the one that their names support most, each by its confidence."""
    frames = {it.frame for it in stations}
    if len(frames) != 1 or not next(iter(frames)):
        raise Unusable(f"the stations have {len(frames)} frames of reference; levels can only be joined within one")
    chain = _chain([Seen(n, body) for n, it in enumerate(stations) for body in it.bodies])
    ranked = sorted(((_support(chain, names), names) for names in _candidates(chain)), key=lambda item: -item[0])
    if not ranked:
        return JoinedLevels(tuple(JoinedLevel(None, seen) for seen in chain), None, ("no station names its levels",))
    best, names = ranked[0]
    levels = tuple(JoinedLevel(name, seen) for name, seen in zip(names, chain, strict=True))
    margin = best - ranked[1][0] if len(ranked) > 1 else None
    return JoinedLevels(levels, margin, tuple(_disagreements(levels)))


def _chain(everything: Sequence[Seen]) -> list[tuple[Seen, ...]]:
    """The same vertebrae of several stations together, from the head down."""
    groups: list[list[Seen]] = []
    for seen in sorted(everything, key=lambda s: -s.body.centre[2]):
        near = [g for g in groups if all(s.station != seen.station for s in g) and _distance(g, seen) <= SAME_MM]
        if near:
            min(near, key=lambda g: _distance(g, seen)).append(seen)
        else:
            groups.append([seen])
    return [tuple(g) for g in sorted(groups, key=lambda g: -_middle(g)[2])]


def _middle(group: Sequence[Seen]) -> NDArray[np.float64]:
    return np.asarray(np.mean([s.body.centre for s in group], axis=0))


def _distance(group: Sequence[Seen], seen: Seen) -> float:
    return float(np.linalg.norm(_middle(group) - np.array(seen.body.centre)))


def _candidates(chain: Sequence[tuple[Seen, ...]]) -> Iterator[tuple[int | None, ...]]:
    """Every station's names, carried on up and down the chain; each numbering once."""
    known: set[tuple[int | None, ...]] = set()
    for station in sorted({s.station for group in chain for s in group if s.level is not None}):
        own = [next((s.level for s in group if s.station == station), None) for group in chain]
        names = tuple(_carried_on(own))
        if names not in known:
            known.add(names)
            yield names


def _carried_on(names: Sequence[int | None]) -> list[int | None]:
    """Gaps and ends of a list of names filled in anatomical order; beyond C1 and L5 nothing is named."""
    out = list(names)
    for at in range(1, len(out)):
        out[at] = out[at] or _next(out[at - 1], 1)
    for at in range(len(out) - 2, -1, -1):
        out[at] = out[at] or _next(out[at + 1], -1)
    return out


def _next(level: int | None, step: int) -> int | None:
    if level is None:
        return None
    if level not in USUAL:
        at = HEAD_TO_TAIL.index(level) + step
        return HEAD_TO_TAIL[at] if 0 <= at < len(HEAD_TO_TAIL) and HEAD_TO_TAIL[at] in USUAL else None
    at = USUAL.index(level) + step
    return USUAL[at] if 0 <= at < len(USUAL) else None


def _support(chain: Sequence[tuple[Seen, ...]], names: Sequence[int | None]) -> float:
    """The confidences of all names that a numbering agrees with."""
    return sum(
        s.body.confidence
        for group, name in zip(chain, names, strict=True)
        for s in group
        if s.level is not None and s.level == name
    )


def _disagreements(levels: Sequence[JoinedLevel]) -> Iterator[str]:
    for joined in levels:
        if not joined.agreed and joined.level is not None:
            said = ", ".join(
                f"{VERTEBRAE[s.level].name} in station {s.station + 1}" for s in joined.seen if s.level is not None
            )
            yield f"{VERTEBRAE[joined.level].name} is called {said}"
