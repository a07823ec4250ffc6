"""`spineps-pacs label`: names the levels of a small field of view with the second labeller alone."""

from __future__ import annotations

import json as json_module
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from spineps_pacs.cli.segment import read, results, suits, told, write
from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.report import Report

FOLDER = "small-fov"
"""Where `models install` puts the two networks, within the models folder."""


def label(
    path: Path,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder for the results; made if it is missing.")],
    engine: Annotated[Literal["small-fov"], Parameter(help="Which labeller.")] = "small-fov",
    models: Annotated[Path | None, Parameter(help="Folder with the two .onnx files, or with small-fov in it.")] = None,
    semantic_only: Annotated[bool, Parameter(help="Vertebrae and discs without names.", negative="")] = False,
    pixel_mm: Annotated[float, Parameter(help="In-plane pixel of the networks, where they state none.")] = 0.85,
    device: Annotated[str, Parameter(help='"auto", "cpu", "cuda" or "cuda:1".')] = "auto",
    series: Annotated[str | None, Parameter(help="SeriesInstanceUID, where the path holds several series.")] = None,
    volume: Annotated[int, Parameter(help="Which volume of the series, from 1; 0 takes the right one.")] = 0,
    json: Annotated[bool, Parameter(help="The report as JSON on stdout.", negative="")] = False,
    created: Annotated[datetime | None, Parameter(help="Time written into DICOM objects; now, if not given.")] = None,
) -> int:
    """Name vertebrae and discs of a DICOM series or a NIfTI file of a small field of view.

    Writes the same files as `segment`; only bodies, discs and the first sacral vertebra are drawn.
    """
    from spineps_pacs.analysis.small_fov import SmallFovSettings
    from spineps_pacs.analysis.small_fov_report import small_fov_report
    from spineps_pacs.engines.small_fov import open_small_fov

    source = read(path, series)
    suits(source, ct=False)
    folder = networks_folder(models, engine)
    networks = open_small_fov(folder, device, models if models is not None and folder != models else None)
    report = small_fov_report(source.image, networks, SmallFovSettings(pixel_mm, semantic_only), chosen=volume or None)
    written = write(results(report, source, created or datetime.now(UTC)), out)
    if json:
        print(json_module.dumps(told(report)))
    else:
        _summary(report, written, out)
    return 0


def networks_folder(models: Path | None, engine: str = FOLDER) -> Path:
    """Where the two networks lie: the folder given, or the one named after the engine in it or in this package."""
    from spineps_pacs.engines.weights import embedded_folder

    root = models or embedded_folder()
    if root is None or (models is None and not (root / engine).is_dir()):
        raise ModelError(f"this package holds no {engine} networks; name their folder with --models")
    return root / engine if (root / engine).is_dir() else root


def _summary(report: Report, written: list[Path], out: Path) -> None:
    from spineps_pacs.domain.anatomy import VERTEBRAE

    names = [VERTEBRAE[c.level].name for c in report.levels.choices if c.level is not None]
    print(f"{len(names)} vertebrae: {', '.join(names)}" if names else f"no names: {report.levels.reason}")
    for flag in report.flags:
        print(f"note: {flag.sentence}", file=sys.stderr)
    print(f"{len(written)} files in {out}")
