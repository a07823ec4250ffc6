"""Joins the second labeller to the node: its networks from the settings, and what of results is kept for votes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.job import Job
from spineps_pacs.domain.ports import SmallFovEngine, Watch
from spineps_pacs.domain.report import Report
from spineps_pacs.engines.turns import Turns
from spineps_pacs.settings import Models, SecondOpinion, Settings

if TYPE_CHECKING:
    from spineps_pacs.analysis.second_report import SecondSettings
    from spineps_pacs.analysis.station_votes import Known

FOLDER = "small-fov"
"""Where `models install` puts the two networks within the models folder, and where the embedded ones lie."""
PAGES, NAMES = "pages", "names.json"
"""What later results read of this one lies beside its page, and goes when the page goes."""


def networks_folder(wanted: SecondOpinion, models: Models) -> Path:
    """The folder named, else small-fov of the models folder, else the embedded demonstration networks."""
    from spineps_pacs.engines.weights import embedded_folder

    if wanted.folder is not None:
        return wanted.folder / FOLDER if (wanted.folder / FOLDER).is_dir() else wanted.folder
    for root in (models.folder, embedded_folder()):
        if root is not None and (root / FOLDER).is_dir():
            return root / FOLDER
    raise ModelError("second_opinion is enabled, but there is no folder small-fov; name one in second_opinion.folder")


def load_second(wanted: SecondOpinion, models: Models) -> SmallFovEngine:
    """The two networks, held to the record of the folder in which they were installed."""
    from spineps_pacs.engines.small_fov import open_small_fov
    from spineps_pacs.engines.weights import LOCK

    folder = networks_folder(wanted, models)
    return open_small_fov(folder, models.device, folder.parent if (folder.parent / LOCK).is_file() else None)


def ingredients(wanted: SecondOpinion) -> dict[str, Any]:
    """Which of its settings decide a result."""
    return wanted.model_dump(mode="json", exclude={"folder", "release_address"})


def second_settings(current: Settings) -> SecondSettings:
    """What the site chooses about the comparison."""
    from spineps_pacs.analysis.second_opinion import OpinionSettings
    from spineps_pacs.analysis.second_report import SecondSettings
    from spineps_pacs.analysis.small_fov import SmallFovSettings

    wanted = current.second_opinion
    return SecondSettings(
        SmallFovSettings(wanted.pixel_mm),
        OpinionSettings(wanted.leader, wanted.on_disagreement, wanted.anchors, wanted.least_confidence),
    )


class Opinions:
    """The second labeller of a node: off, or its networks in memory once the first series has come.

    They take turns with the others, whoever's series it is.
    """

    def __init__(self, current: Settings, turns: Turns) -> None:
        self._current = current
        self._turns = turns
        self._engine: SmallFovEngine | None = None

    def review(self, report: Report, job: Job, others: Iterable[Job], watch: Watch) -> Report:
        """The report with both labellers' names; the same report while the second opinion is off."""
        from spineps_pacs.analysis.second_report import reviewed

        if not self._current.second_opinion.enabled:
            return report
        told = earlier(self._current.node.data_folder, job, others)
        with self._turns.mine(watch):
            if self._engine is None:
                self._engine = load_second(self._current.second_opinion, self._current.models)
            return reviewed(report, self._engine, second_settings(self._current), told, watch)


def kept_names(report: Report) -> bytes:
    """What a report has to say to later ones, as JSON."""
    from spineps_pacs.analysis.station_votes import known

    return json.dumps(asdict(known(report))).encode()


def earlier(folder: Path, job: Job, others: Iterable[Job]) -> tuple[Known, ...]:
    """What is still kept of other series of the patient; of each series only its newest result."""
    seen, found = {job.series_uid}, []
    for other in others:
        path = folder / PAGES / other.id / NAMES
        if other.series_uid not in seen and path.is_file():
            seen.add(other.series_uid)
            found.append(_read(path))
    return tuple(found)


def _read(path: Path) -> Known:
    from spineps_pacs.analysis.station_votes import Known

    said = json.loads(path.read_text(encoding="utf-8"))
    bodies = {int(i): (float(at[0]), float(at[1]), float(at[2])) for i, at in said["bodies"].items()}
    return Known(said["frame"], bodies, {int(i): int(level) for i, level in said["names"].items()}, said["last"])
