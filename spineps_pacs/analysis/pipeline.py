"""The numeric story: rebuild, segment, separate, name the levels, measure; a Series or Volume becomes a Report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis import plane_split
from spineps_pacs.analysis.disc_check import settled
from spineps_pacs.analysis.doubts import Evidence, Limits, flags
from spineps_pacs.analysis.geometry import nearest, turn, zoom
from spineps_pacs.analysis.instances import separate
from spineps_pacs.analysis.matching import Matched
from spineps_pacs.analysis.measurements import measure
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.naming import Final, Rules, name, with_bodies, with_whole_ends, without_vertebrae
from spineps_pacs.analysis.pieces import ids
from spineps_pacs.analysis.rebuild import rebuild
from spineps_pacs.analysis.room import expect_room
from spineps_pacs.analysis.semantic import SemanticSettings, Structures, check, segment
from spineps_pacs.domain.errors import Cancelled, SpinepsPacsError, TryAgain
from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.ports import Engines, ModelInfo, Watch
from spineps_pacs.domain.report import ModelUsed, Report
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Volume

Phases = Callable[[str, int, int], None]
"""Called with (phase, done, total); raises Cancelled when the work must stop."""
Clock = Callable[[], float]
"""Seconds from any start; handed in, as the analysis looks at no clock of its own."""
PHASES = ("rebuild", "segment", "separate", "name", "measure")
FILLED_CORPUS_ID, CORPUS_ID = 50, 49
LEAST_END = 0.2
"""Of its neighbour's body; where the field of view ends the embedded networks take slivers for vertebrae."""


def unseen(phase: str, done: int, total: int) -> None:
    """Phases that nobody watches."""


def no_clock() -> float:
    """A clock that stands still."""
    return 0.0


@dataclass(frozen=True)
class AnalysisSettings:
    """What a site chooses about the analysis.

    `volume` picks one of several volumes of a series by its number. `only_twelve` rules out 11 and 13 thoracic
    vertebrae. `limits` say from where a doubt is told.
    """

    mode: Mode = Mode.CORRECTED
    volume: int | None = None
    fill_missing: bool = False
    only_twelve: bool = False
    semantic: SemanticSettings = field(default_factory=SemanticSettings)
    limits: Limits = field(default_factory=Limits)


@dataclass(eq=False)
class _Walk:
    """Tells which phase is under way, and how long each took."""

    phases: Phases
    clock: Clock
    timings: list[tuple[str, float]] = field(default_factory=list)
    now: str = ""
    since: float = 0.0

    def begin(self, phase: str) -> Watch:
        """Ends the phase before and starts this one; what comes back tells its progress."""
        self.end()
        self.now, self.since = phase, self.clock()
        self.phases(phase, 0, 1)
        return lambda done, total: self.phases(phase, done, total)

    def end(self) -> tuple[tuple[str, float], ...]:
        """Notes how long the phase took; gives all times so far."""
        if self.now:
            self.phases(self.now, 1, 1)
            self.timings.append((self.now, self.clock() - self.since))
        self.now = ""
        return tuple(self.timings)


@dataclass(frozen=True, eq=False)
class _Separated:
    """Vertebrae on the volume's grid, or why there are none; `counted` is how many the discs make."""

    vertebrae: NDArray[np.uint16] | None
    failed: str = ""
    counted: int | None = None


@dataclass(frozen=True)
class _Given:
    """What stays the same through one analysis."""

    engines: Engines
    settings: AnalysisSettings


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What the networks drew, on the volume's grid."""

    structures: NDArray[np.uint8]
    separated: _Separated


def analyse(
    source: Series | Volume,
    engines: Engines,
    settings: AnalysisSettings | None = None,
    phases: Phases = unseen,
    clock: Clock = no_clock,
) -> Report:
    """All that is found in one series, on the grid that it came on.

    Unusable is raised for what cannot be analysed at all. When vertebrae cannot be told apart, or not be named, the
    report holds what stands, and says so.
    """
    given, walk = _Given(engines, settings or AnalysisSettings()), _Walk(phases, clock)
    walk.begin("rebuild")
    volume = _rebuilt(source, given.settings)
    _expect_room(volume, given)
    found = segment(volume, engines.semantic, _semantic(given), walk.begin("segment"))
    separated = _separated(found, given, walk.begin("separate"))
    final = _named(volume, _Drawn(_on_source(found), separated), given, walk.begin("name"))
    walk.begin("measure")
    report = _report(volume, found, separated, final, given)
    return replace(report, timings_s=walk.end())


def overall(watch: Watch) -> Phases:
    """For whoever only wants to know how much of the whole is done: parts of 1000, the phases weighed by habit."""
    starts = dict(zip(PHASES, (0, 20, 500, 850, 950), strict=True))
    ends = dict(zip(PHASES, (20, 500, 850, 950, 1000), strict=True))

    def told(phase: str, done: int, total: int) -> None:
        watch(starts[phase] + (ends[phase] - starts[phase]) * done // max(total, 1), 1000)

    return told


def _rebuilt(source: Series | Volume, settings: AnalysisSettings) -> Volume:
    if isinstance(source, Volume):
        return source
    return rebuild(source, settings.volume, fill_missing=settings.fill_missing)


def _expect_room(volume: Volume, given: _Given) -> None:
    """Told before any work: another plane, no numbers, too large, too little memory."""
    grid, vertebra = given.engines.semantic.grid, given.engines.vertebra
    check(volume, grid.plane)
    expect_room(volume.geometry, grid, None if vertebra is None else vertebra.plan)


def _semantic(given: _Given) -> SemanticSettings:
    """The embedded network, trained on little, sees bits of sacrum where none can be: only one is let stand."""
    chosen = given.settings.semantic
    if given.settings.mode is Mode.CORRECTED and given.engines.semantic.info.demonstration:
        return replace(chosen, cleaning=replace(chosen.cleaning, one_sacrum=True))
    return chosen


def _on_source(found: Structures) -> NDArray[np.uint8]:
    """The structures on the input grid; a body of a model that fills it becomes an ordinary one."""
    labels = found.on_source().labels
    return np.where(labels == FILLED_CORPUS_ID, CORPUS_ID, labels).astype(np.uint8)


def _separated(found: Structures, given: _Given, watch: Watch) -> _Separated:
    """Vertebrae by the instance network, or by the discs where there is none; a failure is told, not raised."""
    labels, grid, mode = found.mask.labels, found.mask.geometry, given.settings.mode
    engine = given.engines.vertebra
    try:
        if engine is None:
            raw = plane_split.split(labels, zoom(grid))
            return _Separated(nearest(raw, grid, found.source))
        counted = plane_split.count(labels, zoom(grid)) if mode is Mode.CORRECTED else None
        vertebrae = separate(labels, grid, engine, mode, watch)
        drawn = nearest(vertebrae.labels, vertebrae.geometry, found.source)
        if engine.plan.checked_by_discs and mode is Mode.CORRECTED:
            # the embedded network merges neighbours now and then; where the discs say otherwise they are right
            by_discs = nearest(plane_split.split(labels, zoom(grid)), grid, found.source)
            counted = _bodies(by_discs, found)
            if counted != _bodies(drawn, found):
                return _Separated(settled(by_discs, drawn, _on_source(found)))
        return _Separated(drawn, "", counted)
    except (Cancelled, TryAgain):
        raise
    except SpinepsPacsError as reason:
        return _Separated(None, str(reason))


def _bodies(vertebrae: NDArray[np.uint16], found: Structures) -> int:
    """How many of the vertebrae have a body that is more than a sliver at the edge."""
    way = turn(found.source)
    seen = with_bodies(Matched(way.there(_on_source(found)), way.there(vertebrae)), found.source.voxel_volume)
    return len(ids(with_whole_ends(seen, LEAST_END).vertebrae))


def _named(volume: Volume, drawn: _Drawn, given: _Given, watch: Watch) -> Final:
    if drawn.separated.vertebrae is None:
        return without_vertebrae(drawn.structures, volume.geometry, drawn.separated.failed)
    grid, vertebra = given.engines.semantic.grid, given.engines.vertebra
    rules = Rules(
        mode=given.settings.mode,
        only_twelve=given.settings.only_twelve,
        sacrum=grid.sacrum_ids,
        metal=grid.metal_ids,
        least_end=LEAST_END if vertebra is not None and vertebra.plan.checked_by_discs else 0.0,
        has_c1=grid.has_c1,
        counts_c1=grid.has_c1 and (given.settings.mode is Mode.CORRECTED or grid.hounsfield),
    )
    raw = Matched(drawn.structures, drawn.separated.vertebrae)
    return name(volume, raw, given.engines.levels, rules, watch)


def _report(volume: Volume, found: Structures, separated: _Separated, final: Final, given: _Given) -> Report:
    parts = (given.engines.semantic, given.engines.vertebra, given.engines.levels)
    models = tuple(_used(part.info) for part in parts if part is not None)
    kinds = SemanticMask(final.structures, volume.geometry)
    instances = InstanceMask(final.instances, volume.geometry)
    seen = Evidence(
        final.structures, final.instances, final.levels, models, found.folds, separated.counted,
        final.unmatched, final.dropped, separated.failed, volume.notes,
    )  # fmt: skip
    return Report(
        volume=replace(volume, notes=found.notes),
        structures=kinds,
        instances=instances,
        levels=final.levels,
        measurements=measure(volume, kinds, instances, final.levels),
        models=models,
        mode=str(given.settings.mode),
        flags=flags(seen, given.settings.limits),
        folds=found.folds,
    )


def _used(info: ModelInfo) -> ModelUsed:
    return ModelUsed(info.role, info.name, info.version, info.digest, info.demonstration)
