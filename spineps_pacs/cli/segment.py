"""`spineps-pacs segment`: one DICOM series or NIfTI file to masks, report, picture and, for DICOM, standard objects."""

from __future__ import annotations

import json as json_module
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter
from pydicom import config
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from spineps_pacs.cli.chosen import Wanted, engines
from spineps_pacs.cli.newest import newest_time
from spineps_pacs.cli.nifti import NIFTI, Placing, as_nifti, read_nifti
from spineps_pacs.domain.attributes import text
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.ports import Engines
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Volume

if TYPE_CHECKING:
    from spineps_pacs.analysis.pipeline import AnalysisSettings, Phases

PHASE_NAMES = {
    "rebuild": "Read the volume",
    "segment": "Find structures",
    "separate": "Tell vertebrae apart",
    "name": "Name the levels",
    "measure": "Measure",
}
Files = dict[str, bytes]

CT_CLASSES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)


@dataclass(frozen=True, eq=False)
class Source:
    """What is segmented: the series of a DICOM path, or the volume of a NIfTI file and how that is placed."""

    image: Series | Volume
    placing: Placing | None = None


def segment(
    path: Path,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder for the results; made if it is missing.")],
    models: Annotated[Path | None, Parameter(help="Folder of models; without it the embedded ones.")] = None,
    semantic: Annotated[str, Parameter(help="Name of the semantic model, where the folder holds several.")] = "",
    instance: Annotated[str, Parameter(help='Name of the instance model; "none" splits along the discs.')] = "",
    labeling: Annotated[str, Parameter(help='Name of the labelling model; "none" for none.')] = "",
    mode: Annotated[Literal["corrected", "upstream"], Parameter(help="Mended, or exactly as upstream.")] = "corrected",
    device: Annotated[str, Parameter(help='"auto", "cpu", "cuda" or "cuda:1".')] = "auto",
    series: Annotated[str | None, Parameter(help="SeriesInstanceUID, where the path holds several series.")] = None,
    volume: Annotated[int, Parameter(help="Which volume of the series, from 1; 0 takes the right one.")] = 0,
    second_opinion: Annotated[bool, Parameter(help="A second labeller checks the names.", negative="")] = False,
    json: Annotated[bool, Parameter(help="The report as JSON on stdout.", negative="")] = False,
    created: Annotated[
        datetime | None, Parameter(help="Time written into DICOM objects, instead of the images' newest.")
    ] = None,
) -> int:
    """Segment a DICOM series or a NIfTI file.

    Writes structures.nii.gz and instances.nii.gz with SPINEPS ids on the input grid, report.json, levels.csv and
    preview.png; for DICOM also the SEG and SR objects.
    """
    from spineps_pacs.analysis.mode import Mode
    from spineps_pacs.analysis.pipeline import AnalysisSettings
    from spineps_pacs.encode.referable import refuse_unreferable

    if out.exists() and not out.is_dir():
        raise Unusable(f"{out} is a file; --out names a folder")
    source = read(path, series)
    if isinstance(source.image, Series):
        refuse_unreferable(source.image)
    loaded = engines(Wanted(models, semantic, instance, labeling, mode, device))
    suits(source, ct=loaded.semantic.grid.hounsfield)
    for warning in loaded.warnings:
        print(f"note: {warning}", file=sys.stderr)
    report = analysed(source, loaded, AnalysisSettings(Mode(mode), volume or None), quiet=json)
    if second_opinion:
        report = _reviewed(report, models, device)
    written = write(results(report, source, created or _newest(source)), out)
    if json:
        print(json_module.dumps(told(report)))
    else:
        _summary(report, written, out)
    return 0


def read(path: Path, wanted: str | None = None) -> Source:
    """A NIfTI file by its name, everything else as DICOM."""
    if not path.exists():
        raise Unusable(f"there is nothing at {path}")
    if path.is_file() and path.name.lower().endswith(NIFTI):
        volume, placing = read_nifti(path)
        for note in volume.notes:
            print(f"note: {note}", file=sys.stderr)
        return Source(volume, placing)
    return Source(_series(path, wanted))


def _series(path: Path, wanted: str | None) -> Series:
    """The series that is asked for, else the one that selection takes; several of those are asked about.

    Who asks for a series that the node would skip gets it, and is told.
    """
    from spineps_pacs.cli.inspect import gather
    from spineps_pacs.intake import scan
    from spineps_pacs.intake.limits import Limits

    found, unreadable = gather(path)
    if not found:
        told = [f"{file.name}: {why}" for file, why in unreadable]
        raise Unusable(told[0] if len(told) == 1 else f"{path} holds no DICOM image")
    verdicts = [(it, it.verdict(Limits())) for it in found if wanted in (None, it.series_uid)]
    able = verdicts
    if wanted is None and len(able) > 1:
        able = [(it, verdict) for it, verdict in able if verdict.taken] or able
    if len(able) != 1:
        why = (
            f"there is no series {wanted}" if not able else f"{len(able)} series could be meant, name one with --series"
        )
        raise Unusable(why)
    chosen, verdict = able[0]
    if not verdict.taken:
        print(f"note: the node would skip this series: {verdict.reason}", file=sys.stderr)
    return Series(chosen.series_uid, tuple(scan.dataset(file) for file in chosen.paths))


def suits(source: Source, *, ct: bool) -> None:
    """Unusable when the datasets say that they are something else than images of MR, or of CT where the model's are."""
    from spineps_pacs.intake.selection import MR_CLASSES

    if not isinstance(source.image, Series):
        return
    classes = {text(dataset, "SOPClassUID") for dataset in source.image.datasets} - {""}
    if classes and not classes & {*MR_CLASSES, *(CT_CLASSES if ct else ())}:
        names = ", ".join(sorted(UID(it, validation_mode=config.IGNORE).name for it in classes))
        raise Unusable(f"the series holds {names[:200]}: no images of {'MR or CT' if ct else 'MR'}")


def analysed(source: Source, loaded: Engines, settings: AnalysisSettings, *, quiet: bool) -> Report:
    """The analysis, with a bar for each phase on stderr."""
    from spineps_pacs.analysis.pipeline import analyse, unseen

    if quiet:
        return analyse(source.image, loaded, settings, unseen, time.perf_counter)
    with _bars() as phases:
        return analyse(source.image, loaded, settings, phases, time.perf_counter)


def _reviewed(report: Report, models: Path | None, device: str) -> Report:
    """The report with the second labeller's opinion: of the models folder, else of the embedded networks."""
    from spineps_pacs import opinions, settings
    from spineps_pacs.analysis.second_report import reviewed

    chosen = settings.Models(folder=models, device=device)
    return reviewed(report, opinions.load_second(settings.SecondOpinion(enabled=True), chosen))


@contextmanager
def _bars() -> Iterator[Phases]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def told(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(PHASE_NAMES.get(phase, phase), total=total)
            ended = (done, total) == (1, 1)
            known = progress.tasks[progress.task_ids.index(tasks[phase])].total
            progress.update(tasks[phase], completed=known if ended else done, total=known if ended else total)

        yield told


def told(report: Report) -> dict[str, Any]:
    """The report as plain values."""
    from spineps_pacs.encode.side import report_json

    return report_json(report)


def _newest(source: Source) -> datetime:
    """The same images give the same bytes, whenever they are segmented."""
    return newest_time(source.image.datasets if isinstance(source.image, Series) else ())


def results(report: Report, source: Source, created: datetime) -> Files:
    """All files by name."""
    from spineps_pacs.encode.picture import preview
    from spineps_pacs.encode.side import side_outputs

    files = side_outputs(report) | {"preview.png": preview(report)}
    if source.placing is not None:
        files["structures.nii.gz"] = as_nifti(report.structures.labels.astype(np.uint8), source.placing)
        files["instances.nii.gz"] = as_nifti(report.instances.labels.astype(np.uint16), source.placing)
        return files
    if isinstance(source.image, Series):
        files |= _objects(report, source.image, created)
    return files


def _objects(report: Report, series: Series, created: datetime) -> Files:
    """SEG, SR and what else belongs to them, verified as the node does."""
    from importlib.metadata import version

    from spineps_pacs.encode.identity import Origin, identify
    from spineps_pacs.encode.options import Options
    from spineps_pacs.encode.results import encode
    from spineps_pacs.encode.verify import verify_all

    options = Options(version=version("spineps-pacs"))
    made = encode(report, series, identify(report, series, options, Origin(created)), options)
    verify_all(made, report, series)
    counts: dict[str, int] = {}
    files: Files = {}
    for result in made:
        counts[result.kind] = counts.get(result.kind, 0) + 1
        number = f"-{counts[result.kind]}" if counts[result.kind] > 1 else ""
        files[f"{result.kind}{number}.dcm"] = result.content
    return files


def write(files: Files, out: Path) -> list[Path]:
    """Each file beside its place first, then all are renamed: a broken run leaves no half of one."""
    out.mkdir(parents=True, exist_ok=True)
    parts = {out / name: out / f".{name}.part" for name in files}
    try:
        for target, part in parts.items():
            part.write_bytes(files[target.name])
        for target, part in parts.items():
            part.replace(target)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return list(parts)


def _summary(report: Report, written: list[Path], out: Path) -> None:
    from spineps_pacs.domain.anatomy import VERTEBRAE

    choices = report.levels.choices
    names = [VERTEBRAE[c.level].name if c.level in VERTEBRAE else str(c.position) for c in choices]
    print(f"{len(choices)} vertebrae, {report.levels.method}: {', '.join(names)}")
    if report.second is not None:
        print(f"second labeller: {report.second.sentence}")
    for flag in report.flags:
        print(f"note: {flag.sentence}", file=sys.stderr)
    print(f"{len(written)} files in {out}")
