"""Shadow mode: a second model set on the same slices, compared with the first and sent to nobody.

What the first set found is kept as masks until the second has run; then a line of numbers remains, which identifies
nobody: levels, and Dice of each structure and vertebra.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs import settings
from spineps_pacs.domain.anatomy import SACRUM_ID, STRUCTURES, VERTEBRAE
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.job import Job
from spineps_pacs.domain.ports import Engines, Phases
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.evaluation.overlap import dice
from spineps_pacs.settings import Settings

FOLDER, MASKS, BEGUN, RESULT = "shadow", ".npz", ".begun", ".json"
MOST_STARTS = 3
HOUR_S = 3600.0
Names = Mapping[int, str]
Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Compared:
    """One series under both sets: level names from the head down, Dice of structures, Dice and name of each vertebra.

    A vertebra is that of the first set; `second` is what the second calls the one that covers most of it, "" for none.
    """

    job: str
    source: str
    at: float
    models: tuple[tuple[str, ...], tuple[str, ...]]
    levels: tuple[tuple[str, ...], tuple[str, ...]]
    structures: Mapping[str, float]
    vertebrae: tuple[tuple[str, str, float], ...]

    @property
    def same_names(self) -> int:
        """How many vertebrae both sets call the same."""
        return sum(first == second for first, second, _ in self.vertebrae)


def second_set(current: Settings) -> settings.Models | None:
    """The models that run beside the node's own; None where there are none."""
    wanted = current.shadow
    if not (wanted.folder or wanted.semantic or wanted.instance or wanted.labeling):
        return None
    changes = wanted.model_dump() | {"folder": wanted.folder or current.models.folder}
    return current.models.model_copy(update=changes)


class Shadow:
    """Keeps what the first set found, and runs the second on it."""

    def __init__(self, current: Settings, engines: Callable[[settings.Models], Engines]) -> None:
        self._current = current
        self._models = second_set(current)
        self._engines = engines
        self._folder = current.node.data_folder / FOLDER

    @property
    def wanted(self) -> bool:
        """True when there is a second set."""
        return self._models is not None

    def keep(self, job: Job, report: Report) -> None:
        """What the first set found, until the second has run."""
        if self._models is None or job.models:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        facts = {"levels": _levels(report), "names": _names(report), "models": _models(report)}
        beside = self._folder / f".{job.id}{MASKS}"
        np.savez_compressed(
            beside, structures=report.structures.labels, instances=report.instances.labels, facts=json.dumps(facts)
        )
        beside.replace(self._folder / f"{job.id}{MASKS}")

    def run(self, series: Series, job: Job, phases: Phases) -> None:
        """The second set on the same slices; its numbers stay, the masks go."""
        kept = self._folder / f"{job.id}{MASKS}"
        if self._models is None or not kept.exists():
            return
        self._count(job)
        report = self._report(self._models, series, phases)
        with np.load(kept, allow_pickle=False) as masks:
            compared = compare(job, {name: masks[name] for name in masks.files}, report)
        beside = self._folder / f".{job.id}{RESULT}"
        beside.write_text(json.dumps(asdict(compared)), encoding="utf-8")
        beside.replace(self._folder / f"{job.id}{RESULT}")
        _forget(self._folder, job.id)

    def _report(self, models: settings.Models, series: Series, phases: Phases) -> Report:
        from spineps_pacs.analysis.pipeline import analyse
        from spineps_pacs.producing import analysis_settings

        return analyse(series, self._engines(models), analysis_settings(self._current), phases, time.monotonic)

    def _count(self, job: Job) -> None:
        """A series that kills its worker under the second set is left after some starts."""
        note = self._folder / f"{job.id}{BEGUN}"
        starts = len(note.read_bytes()) if note.exists() else 0
        if starts >= MOST_STARTS:
            _forget(self._folder, job.id)
            raise Unusable(f"the second model set was left: its worker ended {starts} times over it")
        note.write_bytes(b"." * (starts + 1))


def tidy(data_folder: Path, keep_hours: float) -> None:
    """Masks that have waited for the second set longer than results are kept are erased."""
    folder, limit = data_folder / FOLDER, time.time() - keep_hours * HOUR_S
    for path in folder.glob(f"*{MASKS}"):
        if path.stat().st_mtime < limit:
            _forget(folder, path.name.removesuffix(MASKS))


def _forget(folder: Path, job_id: str) -> None:
    for suffix in (MASKS, BEGUN):
        (folder / f"{job_id}{suffix}").unlink(missing_ok=True)


def compare(job: Job, first: Mapping[str, Any], second: Report) -> Compared:
    """Both sets on one series; a structure that neither found has no Dice."""
    facts = json.loads(str(first["facts"]))
    structures = {
        structure.name: round(dice(first["structures"] == structure.id, second.structures.labels == structure.id), 4)
        for structure in STRUCTURES
    }
    names = {int(instance): str(name) for instance, name in facts["names"].items()}
    return Compared(
        job.id,
        job.source,
        job.created,
        (tuple(facts["models"]), _models(second)),
        (tuple(facts["levels"]), _levels(second)),
        {name: value for name, value in structures.items() if not math.isnan(value)},
        tuple(_matched(first["instances"], names, second)),
    )


def _matched(first: Labels, names: Names, second: Report) -> list[tuple[str, str, float]]:
    """Each vertebra of the first set, the name of the one of the second that covers most of it, and their Dice."""
    others, found = _names(second), []
    for instance, name in names.items():
        mask = first == instance
        inside = second.instances.labels[mask]
        ids, counts = np.unique(inside[np.isin(inside, list(others))], return_counts=True)
        if not ids.size:
            found.append((name, "", 0.0))
            continue
        other = int(ids[int(np.argmax(counts))])
        found.append((name, others[other], round(dice(mask, second.instances.labels == other), 4)))
    return found


def _names(report: Report) -> dict[int, str]:
    """Instance to name, from the head down; what was only counted goes by its number."""
    named = {
        c.instance: VERTEBRAE[c.level].name if c.level in VERTEBRAE else str(c.position) for c in report.levels.choices
    }
    return named | ({SACRUM_ID: "S1"} if SACRUM_ID in report.instances.ids() else {})


def _levels(report: Report) -> tuple[str, ...]:
    return tuple(_names(report).values())


def _models(report: Report) -> tuple[str, ...]:
    return tuple(f"{model.role} {model.name} {model.version} {model.digest[:12]}".strip() for model in report.models)


def compared(folder: Path, since: float = 0.0) -> list[Compared]:
    """What was compared since then, oldest first."""
    found = []
    for path in sorted((folder / FOLDER).glob(f"*{RESULT}")):
        if path.name.startswith("."):
            continue
        line = json.loads(path.read_text(encoding="utf-8"))
        pairs = {key: tuple(tuple(one) for one in line[key]) for key in ("models", "levels", "vertebrae")}
        found.append(Compared(**line | pairs))
    return sorted((one for one in found if one.at >= since), key=lambda one: one.at)


@dataclass(frozen=True)
class Summary:
    """Many series together: how many agree on all names, how many vertebrae, and the Dice of each thing."""

    series: int
    agreeing: int
    vertebrae: int
    same_names: int
    dice: Mapping[str, tuple[int, float, float, float]]
    """Name to count, median, 5th percentile and least."""
    differing: tuple[Compared, ...]


def summary(lines: Sequence[Compared]) -> Summary:
    """Over all; the series that differ in names come with it, the most different first."""
    values: dict[str, list[float]] = {}
    for line in lines:
        for name, value in line.structures.items():
            values.setdefault(name, []).append(value)
        values.setdefault("vertebrae", []).extend(value for _, _, value in line.vertebrae)
    differing = [line for line in lines if line.levels[0] != line.levels[1] or line.same_names < len(line.vertebrae)]
    return Summary(
        len(lines),
        len(lines) - len(differing),
        sum(len(line.vertebrae) for line in lines),
        sum(line.same_names for line in lines),
        {name: _spread(found) for name, found in values.items() if found},
        tuple(sorted(differing, key=lambda line: line.same_names - len(line.vertebrae))),
    )


def _spread(values: Sequence[float]) -> tuple[int, float, float, float]:
    return len(values), statistics.median(values), float(np.quantile(values, 0.05)), min(values)
