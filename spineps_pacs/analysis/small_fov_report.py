"""The small-field-of-view labeller used alone: a Series or Volume to a Report, as the pipeline makes one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from spineps_pacs.analysis.doubts import Evidence, Limits, flags
from spineps_pacs.analysis.levels import counted
from spineps_pacs.analysis.measurements import measure
from spineps_pacs.analysis.rebuild import rebuild
from spineps_pacs.analysis.small_fov import (
    Drawn,
    Labelled,
    SmallFovSettings,
    draw,
    instance_ids,
    levels,
    named,
    on_source,
    structure_ids,
)
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.masks import InstanceMask, Levels, SemanticMask
from spineps_pacs.domain.ports import ModelInfo, SmallFovEngine, Watch, unwatched
from spineps_pacs.domain.report import Flag, ModelUsed, Report
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Volume

MODE = "small-fov"
ONLY_CLASSES = "only vertebrae and discs were asked for, no names"


def small_fov_report(
    source: Series | Volume,
    engine: SmallFovEngine,
    settings: SmallFovSettings | None = None,
    watch: Watch = unwatched,
    chosen: int | None = None,
) -> Report:
    """All that this labeller finds in one series, on the grid that it came on; `chosen` is one of several volumes.

    Bodies, discs and the first sacral vertebra (as sacrum) are all that it draws. When vertebrae cannot be named, the
    report holds what stands, and says so.
    """
    volume = source if isinstance(source, Volume) else rebuild(source, chosen)
    drawn = draw(volume, engine, settings or SmallFovSettings(), watch)
    found, failed = _labelled(drawn)
    labelled = on_source(drawn.prepared, found)
    kinds = SemanticMask(structure_ids(labelled), volume.geometry)
    instances = InstanceMask(instance_ids(labelled), volume.geometry)
    names = levels(labelled) if labelled.fit else _nameless(failed)
    used = (_used(engine.info),)
    return Report(
        volume=replace(volume, notes=(*volume.notes, *labelled.notes)),
        structures=kinds,
        instances=instances,
        levels=names,
        measurements=measure(volume, kinds, instances, names),
        models=used,
        mode=MODE,
        flags=(
            *_flags(Evidence(kinds.labels, instances.labels, names, used, notes=volume.notes)),
            *_doubts(labelled, failed, named_wanted=drawn.said is not None),
        ),
    )


def _labelled(drawn: Drawn) -> tuple[Labelled, str]:
    """The named masks; where naming fails, the classes alone and why."""
    alone = Labelled(drawn.classes, np.zeros_like(drawn.classes), {}, None, drawn.prepared.notes)
    if drawn.said is None:
        return alone, ONLY_CLASSES
    try:
        return named(drawn.classes, drawn.said, drawn.prepared.notes), ""
    except Unusable as reason:
        return alone, str(reason)


def _nameless(reason: str) -> Levels:
    return counted(np.zeros((1, 1, 1), dtype=np.uint16), reason).levels


def _flags(seen: Evidence) -> Iterator[Flag]:
    """The usual doubts, but for structures that this labeller never draws."""
    yield from (flag for flag in flags(seen, Limits()) if flag.kind != "structure-absent")


def _doubts(labelled: Labelled, failed: str, *, named_wanted: bool) -> Iterator[Flag]:
    if failed and named_wanted:
        yield Flag("labelling-failed", f"the vertebrae could not be named: {failed}")
    elif failed:
        yield Flag("counted", failed)
    elif labelled.notes:
        yield Flag("numbering-uncertain", "; ".join(labelled.notes))


def _used(info: ModelInfo) -> ModelUsed:
    return ModelUsed(info.role, info.name, info.version, info.digest, info.demonstration)
