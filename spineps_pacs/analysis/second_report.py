"""A Report looked at by the second labeller: its names joined with the first's, flags and numbers brought into line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.doubts import Evidence, Limits, flags
from spineps_pacs.analysis.measurements import measure
from spineps_pacs.analysis.opinion_pairs import renumbered
from spineps_pacs.analysis.second_opinion import DISAGREE, Opinion, OpinionSettings, Vote, anchor_votes, second_opinion
from spineps_pacs.analysis.small_fov import SmallFovSettings, instance_ids, label, levels
from spineps_pacs.analysis.station_votes import Known, anchors_seen, known, votes
from spineps_pacs.domain.errors import ModelError, Unusable
from spineps_pacs.domain.masks import InstanceMask, LevelMethod, Levels
from spineps_pacs.domain.ports import SmallFovEngine, Watch, unwatched
from spineps_pacs.domain.report import Flag, ModelUsed, Report, SecondOpinion

NOTHING_TO_NAME = "the first labeller found no vertebra, so the second was not asked"
LASTING = frozenset({"unmatched", "instance-phase-failed"})
"""Flags that no other naming changes."""


@dataclass(frozen=True)
class SecondSettings:
    """The second labeller's own settings, how the two are joined, and from where other doubts are told."""

    small_fov: SmallFovSettings = field(default_factory=SmallFovSettings)
    opinion: OpinionSettings = field(default_factory=OpinionSettings)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, eq=False)
class _Second:
    """The second labeller's instances and names on the report's grid; none, with the reason, where it failed."""

    instances: NDArray[np.uint16]
    levels: Levels
    notes: tuple[str, ...] = ()


def reviewed(
    report: Report,
    engine: SmallFovEngine,
    settings: SecondSettings | None = None,
    others: Sequence[Known] = (),
    watch: Watch = unwatched,
) -> Report:
    """The report with both labellers' joined names; other stations and earlier studies vote."""
    wanted = settings or SecondSettings()
    if not report.levels.choices:
        unasked = SecondOpinion("not asked", NOTHING_TO_NAME, True)
        return replace(report, flags=(*report.flags, Flag(DISAGREE, NOTHING_TO_NAME)), second=unasked)
    second = _looked(report, engine, wanted.small_fov, watch)
    found = second_opinion(
        (report.instances.labels, report.levels),
        (second.instances, second.levels),
        (*_anchors(report), *(votes(known(report), others) if others else ())),
        wanted.opinion,
    )
    info = engine.info
    used = (*report.models, ModelUsed(info.role, info.name, info.version, info.digest, info.demonstration))
    told = replace(
        report,
        models=used,
        volume=replace(report.volume, notes=(*report.volume.notes, *second.notes)),
        second=_verdict(found),
    )
    return _in_line(told, _keeping(report.levels, found), wanted.limits)


def _verdict(found: Opinion) -> SecondOpinion:
    """As the report holds it."""
    seen, least = found.comparison, found.confidence
    return SecondOpinion(
        str(seen.verdict),
        found.levels.reason or seen.sentence,
        bool(found.flags),
        seen.shift,
        None if least is None else round(least, 6),
        found.heard,
    )


def _looked(report: Report, engine: SmallFovEngine, settings: SmallFovSettings, watch: Watch) -> _Second:
    """A failure of the second labeller is told, and leaves the first's result whole; a broken model is an error."""
    try:
        seen = label(report.volume, engine, replace(settings, semantic_only=False), watch)
    except ModelError:
        raise
    except Unusable as reason:
        nothing = np.zeros(report.volume.geometry.shape, dtype=np.uint16)
        return _Second(nothing, Levels(LevelMethod.COUNTED, ()), (f"the second labeller: {reason}",))
    if seen.fit is None:
        raise ValueError("names were asked for, and the labeller gave none")
    notes = tuple(f"the second labeller: {note}" for note in seen.notes)
    return _Second(instance_ids(seen), levels(seen), notes)


def _anchors(report: Report) -> tuple[Vote, ...]:
    """Sacrum and dens as the first's masks show them; none where the names themselves were counted from those."""
    if not report.levels.choices or report.levels.method is LevelMethod.ANCHOR:
        return ()
    ordered, sacrum, axis = anchors_seen(report)
    return anchor_votes(ordered, sacrum=sacrum, axis=axis)


def _keeping(first: Levels, found: Opinion) -> Opinion:
    """Where the first's names stand, how it came by them stays too."""
    named = {c.instance: c.level for c in first.choices}
    if found.levels.method is LevelMethod.COUNTED or named != {c.instance: c.level for c in found.levels.choices}:
        return found
    return replace(found, levels=replace(found.levels, method=first.method))


def _in_line(report: Report, found: Opinion, limits: Limits) -> Report:
    """Masks, numbers and flags by the joined names; where no name changed, numbers and flags stay as they are."""
    old = {c.instance: c.level for c in report.levels.choices}
    if {c.instance: c.level for c in found.levels.choices} == old:
        return replace(report, levels=found.levels, flags=(*report.flags, *found.flags))
    moved = InstanceMask(renumbered(report.instances.labels, found.table), report.instances.geometry)
    seen = Evidence(
        report.structures.labels, moved.labels, found.levels, report.models, report.folds, notes=report.volume.notes
    )
    lasting = tuple(flag for flag in report.flags if flag.kind in LASTING)
    return replace(
        report,
        instances=moved,
        levels=found.levels,
        measurements=measure(report.volume, report.structures, moved, found.levels),
        flags=(*lasting, *flags(seen, limits), *found.flags),
    )
