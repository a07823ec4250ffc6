"""Makes the numeric parts from the settings: selection, networks, analysis and encoding as one function."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spineps_pacs import opinions, settings
from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.job import Job, Verdict
from spineps_pacs.domain.ports import Datasets, Engines, Phases, Produce, Records, Result
from spineps_pacs.domain.series import Series
from spineps_pacs.engines.turns import Turns
from spineps_pacs.intake.limits import from_table
from spineps_pacs.lineage import analysed_now, predecessors
from spineps_pacs.settings import Live, Settings
from spineps_pacs.shadowing import Shadow
from spineps_pacs.storage.records import SqlRecords

if TYPE_CHECKING:
    from spineps_pacs.domain.report import Report
    from spineps_pacs.engines.options import EngineOptions


def recipe(current: Settings) -> str:
    """The digest of what decides a result besides the images: models and settings."""
    parts: dict[str, Any] = {
        "models": current.models.model_dump(mode="json", exclude={"folder", "device", "threads", "max_memory_gb"}),
        "results": current.results.model_dump(mode="json", exclude={"side_outputs"}),
        "labelmap": _label_maps(current),
        "fill": current.selection.fill_missing_slice,
        "files": [],
    }
    if current.models.folder is not None and current.models.folder.is_dir():
        parts["files"] = _digests_of(current.models.folder)
    if current.second_opinion.enabled:
        parts["second_opinion"] = opinions.ingredients(current.second_opinion)
        parts["second_files"] = _digests_of(opinions.networks_folder(current.second_opinion, current.models))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _digests_of(folder: Path) -> list[tuple[str, str]]:
    from spineps_pacs.engines.weights import files_of

    return _digests(folder, tuple((path, path.stat().st_mtime_ns) for path in files_of(folder)))


@functools.lru_cache(maxsize=4)
def _digests(folder: Path, stamps: tuple[tuple[Path, int], ...]) -> list[tuple[str, str]]:
    """Name and SHA-256 of each model file; read once, as long as the files stay as they are."""
    from spineps_pacs.engines.weights import checksums

    return sorted(checksums(folder, [path for path, _ in stamps]).items())


def judge(live: Live) -> Callable[[Series, str], Verdict]:
    """Selection by the settings in force; an expression with a fault is told now, not at the first series."""
    from spineps_pacs.intake import selection

    selection.check_expressions(from_table(live().selection.model_dump()))

    def judged(series: Series, source: str) -> Verdict:
        return selection.judge(series.datasets, from_table(live().selection.model_dump()), source)

    return judged


def urgency(live: Live) -> Callable[[Series, str], bool]:
    """Whether a series overtakes the others, by the settings in force."""
    from spineps_pacs.intake import selection

    selection.check_expressions(from_table(live().selection.model_dump()))

    def urgent(series: Series, source: str) -> bool:
        return selection.is_urgent(series.datasets, from_table(live().selection.model_dump()), source)

    return urgent


def load_engines(wanted: settings.Models) -> Engines:
    """The networks of the settings: a folder of models, of phantom truths, or the embedded models.

    Without an instance model vertebrae are told apart along the discs, without a labelling model no network names them;
    but a folder that cannot be used might be the missing one, and is refused unless "none" is asked for.
    """
    from spineps_pacs.engines import load, weights

    folder = wanted.folder or weights.embedded_folder()
    if folder is None:
        raise ModelError("models.folder names no folder, and this package holds no embedded model")
    if any(folder.glob("**/truth.json")):
        from spineps_pacs.engines.phantom import PhantomEngines

        return PhantomEngines.from_folder(folder)
    models, faults = weights.find_models(folder)
    if not models:
        raise ModelError(faults[0] if faults else f"{folder} holds no model")

    def optional(kind: str, name: str) -> Path | None:
        absent = not name and not faults and all(model.kind != kind for model in models)
        return None if absent or name == "none" else weights.choose(models, kind, name or None, faults).folder

    return load.load_engines(
        weights.choose(models, "semantic", wanted.semantic or None, faults).folder,
        optional("instance", wanted.instance),
        optional("labeling", wanted.labeling),
        _engine_options(wanted),
        wanted.folder,
    )


def _engine_options(wanted: settings.Models) -> EngineOptions:
    from spineps_pacs.engines.options import EngineOptions

    return EngineOptions(
        mode=wanted.mode,
        device=wanted.device,
        mirroring=wanted.mirroring,
        step_size=wanted.step_size,
        cpu_precision=wanted.cpu_precision,
        threads=wanted.threads,
        max_memory_gb=wanted.max_memory_gb,
    )


def produce(live: Live, records: SqlRecords, outbox: Datasets, loaded: Loaded, shadow: Shadow) -> Produce:
    """Analysis and encoding as one function; networks are loaded when the first series comes that wants them.

    What is part of a job's name is as it was when the process started: models, and what is written.
    """
    started = live()
    second = opinions.Opinions(started, loaded.turns)

    def produced(series: Series, phases: Phases) -> list[Result]:
        from spineps_pacs.analysis.pipeline import analyse
        from spineps_pacs.desk import keep_pages
        from spineps_pacs.encode.identity import Origin, identify
        from spineps_pacs.encode.referable import refuse_unreferable
        from spineps_pacs.encode.results import encode
        from spineps_pacs.encode.verify import verify_all
        from spineps_pacs.engines.memory import give_back

        refuse_unreferable(series)
        job = analysed_now(records, series)
        current = with_models(started, job.models)
        if not loaded.holds(current.models):
            phases("load", 0, 1)
        report = analyse(
            series, loaded.engines(current.models), analysis_settings(current), of_the_whole(phases), time.monotonic
        )
        others = records.of_patient(job.id) if current.second_opinion.enabled else ()
        report = second.review(report, job, others, lambda _done, _total: phases("review", 98, 100))
        phases("encode", 99, 100)
        options = encode_options(current)
        origin = Origin(first_seen(records, series), recipe(current), predecessors(records, outbox, job))
        results = encode(report, series, identify(report, series, options, origin), options)
        verify_all(results, report, series)
        tell(records, job.id, results)
        keep_pages(current.node.data_folder, job, report)
        if current.results.side_outputs:
            keep_side_outputs(current.node.data_folder / "side", job, report)
        shadow.keep(job, report)
        give_back()
        return list(results)

    return produced


class Loaded:
    """The networks that are in memory: those of the node, and the last others that a job asked for."""

    def __init__(self) -> None:
        self._sets: dict[settings.Models, Engines] = {}
        self._loading = threading.Lock()
        self.turns = Turns()

    def holds(self, wanted: settings.Models) -> bool:
        """True when nothing needs to be loaded."""
        return wanted in self._sets

    def engines(self, wanted: settings.Models) -> Engines:
        """The networks of a model set; of all that are in memory, one runs at a time."""
        with self._loading:
            if wanted not in self._sets:
                while len(self._sets) > 1:  # the first set is the one most often asked for
                    self._sets.popitem()
                self._sets[wanted] = self.turns.over(load_engines(wanted))
            return self._sets[wanted]


def tell(records: Records, job_id: str, results: Sequence[Result]) -> None:
    """Writes into the job's timeline what an operator should know about its objects."""
    from spineps_pacs.encode.results import notes

    for note in notes(tuple(results)):
        records.event(job_id, "note", note)


def with_models(current: Settings, names: Sequence[str]) -> Settings:
    """The settings with these models in the place of the node's own of the same kind."""
    if not names:
        return current
    from spineps_pacs.engines import weights

    root = current.models.folder or weights.embedded_folder()
    if root is None:
        raise ModelError("models.folder names no folder, and this package holds no embedded model")
    chosen = {}
    for name in names:
        found = [m for m in weights.find_models(root)[0] if weights.answers(m.name, name.lower())]
        if len(found) != 1:
            raise ModelError(f"{len(found) or 'no'} models are called {name!r}; `spineps-pacs models list` names them")
        chosen[found[0].kind] = found[0].name
    return current.model_copy(update={"models": current.models.model_copy(update=chosen)})


def of_the_whole(phases: Phases) -> Phases:
    """What the analysis tells of each phase, as shares of all of them."""
    from spineps_pacs.analysis.pipeline import overall

    def told(phase: str, done: int, total: int) -> None:
        overall(lambda part, whole: phases(phase, part, whole))(phase, done, total)

    return told


def analysis_settings(current: Settings) -> Any:
    """What the site chooses about the analysis."""
    from spineps_pacs.analysis.mode import Mode
    from spineps_pacs.analysis.pipeline import AnalysisSettings

    return AnalysisSettings(
        mode=Mode(current.models.mode),
        fill_missing=current.selection.fill_missing_slice,
        only_twelve=current.models.only_twelve,
    )


def first_seen(records: SqlRecords, series: Series) -> datetime:
    """When this set of slices first became a job; a repeat writes the same times."""
    same = [job for job in records.find(series_uid=series.series_uid) if job.fingerprint == series.fingerprint]
    return datetime.fromtimestamp(min((job.created for job in same), default=0.0), UTC)


def _label_maps(current: Settings) -> bool:
    """True when a destination wants label maps as well."""
    return any(d.labelmap for d in current.destination)


def keep_side_outputs(folder: Path, job: Job, report: Report) -> None:
    """The report as JSON, CSV and NIfTI for research, without identifiers; no fault in it holds a result up."""
    from spineps_pacs.app import trouble
    from spineps_pacs.encode.side import side_outputs
    from spineps_pacs.storage.beside import write_folder

    try:
        write_folder(folder / job.id, side_outputs(report))
    except OSError as error:
        trouble("side outputs", error)


def encode_options(current: Settings) -> Any:
    """What is written, by the settings."""
    from importlib.metadata import version

    from spineps_pacs.encode.options import Options

    wanted = current.results
    return Options(
        version=version("spineps-pacs"),
        uid_root=wanted.uid_root,
        manufacturer=wanted.manufacturer,
        station_name=wanted.station_name,
        labelmap=_label_maps(current),
        split_levels=wanted.split_levels,
        pictures=wanted.pictures,
        gsps=wanted.presentation_state,
        rtstruct=wanted.rtstruct,
        report_when_empty=wanted.report_when_empty,
    )
