"""A phantom series with its results as files: what a reader would find in the PACS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydicom import dcmread

from spineps_pacs.analysis.pipeline import AnalysisSettings
from spineps_pacs.cli import segment
from spineps_pacs.domain.anatomy import VERTEBRAE
from spineps_pacs.domain.series import Series
from spineps_pacs.engines.phantom import PhantomEngines
from spineps_pacs.phantom.study import StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes

NAMES = {"structures.dcm": "seg-structures.dcm", "levels.dcm": "seg-levels.dcm", "report.dcm": "report.dcm"}


@dataclass(frozen=True)
class Wanted:
    """How the series lies in the patient, and what it shows."""

    name: str
    levels: str = "C2-S1"
    orientation: str = "sagittal"
    turn: float = 0.0
    slices: int = 15
    pixel: float = 1.2

    def __str__(self) -> str:
        return self.name


def write_results(folder: Path, wanted: Wanted) -> list[str]:
    """Writes images and results below the folder; gives the levels that the report must list."""
    request = StudyRequest(
        Wishes(levels=wanted.levels),
        slices=wanted.slices,
        pixel=wanted.pixel,
        orientation=wanted.orientation,
        turn=wanted.turn,
        only_t2=True,
    )
    raw = folder.parent / f"{folder.name}-raw"
    study = write_study(raw, request)
    (images,) = study.series
    datasets = tuple(dcmread(file) for file in sorted(images.glob("*.dcm")))
    series = Series(str(datasets[0].SeriesInstanceUID), datasets)
    engines = PhantomEngines.from_folder(raw / "truth")
    report = segment.analysed(segment.Source(series), engines, AnalysisSettings(), quiet=True)
    files = segment.results(report, segment.Source(series), datetime(2026, 1, 2, tzinfo=UTC))
    folder.mkdir(parents=True)
    images.rename(folder / "images")
    for name, target in NAMES.items():
        (folder / target).write_bytes(files[name])
    return [VERTEBRAE[choice.level].name for choice in report.levels.choices if choice.level]
