"""`spineps-pacs inspect`: every series under a path, taken or skipped, rule by rule, and the volumes that it holds."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress

from spineps_pacs.analysis.planes import Plane, planes
from spineps_pacs.analysis.rebuild import FoundVolume, found_in
from spineps_pacs.domain.attributes import quietly, text
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.job import Verdict
from spineps_pacs.intake import scan
from spineps_pacs.intake.facts import combine
from spineps_pacs.intake.headers import Sample, sample
from spineps_pacs.intake.limits import Limits
from spineps_pacs.intake.selection import judge_facts


@dataclass
class Found:
    """One series as it is found: a few numbers for each file, never the file."""

    series_uid: str
    modality: str
    description: str
    paths: list[Path] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    planes: list[Plane] = field(default_factory=list)

    def verdict(self, limits: Limits, source: str = "") -> Verdict:
        """What selection says."""
        return judge_facts(combine(self.samples), limits, source)

    def volumes(self) -> tuple[FoundVolume, ...]:
        """What can be rebuilt."""
        return found_in(self.planes)


def inspect(
    path: Path,
    /,
    *,
    json: Annotated[bool, Parameter(help="One JSON object on stdout.")] = False,
    config: Annotated[Path | None, Parameter(help="Configuration whose limits apply.")] = None,
    source: Annotated[str, Parameter(help="Judge as if this AE title had sent it.")] = "",
) -> int:
    """Say of every series under a path whether it would be taken, and why."""
    if not path.exists():
        raise Unusable(f"there is nothing at {path}")
    series, unreadable = gather(path)
    limits = limits_of(config)
    if json:
        print(json_module.dumps(_told(series, unreadable, limits, source)))
    else:
        _shown(series, unreadable, limits, source)
    return 0


def limits_of(config: Path | None) -> Limits:
    """The limits of a configuration file, or the defaults."""
    if config is None:
        return Limits()
    from spineps_pacs import settings
    from spineps_pacs.intake.limits import from_table
    from spineps_pacs.intake.selection import check_expressions

    limits = from_table(settings.load(config).selection.model_dump())
    check_expressions(limits)
    return limits


def gather(path: Path) -> tuple[list[Found], list[tuple[Path, str]]]:
    """All series under a path, in the order in which they are met, and the files that could not be read."""
    found: dict[str, Found] = {}
    unreadable: list[tuple[Path, str]] = []
    for file in _watched(path):
        try:
            dataset = scan.header(file)
        except Unusable as error:
            unreadable.append((file, str(error)))
            continue
        if scan.is_directory(dataset):
            continue
        with quietly():
            uid = text(dataset, "SeriesInstanceUID")
            if uid not in found:
                found[uid] = Found(uid, text(dataset, "Modality"), text(dataset, "SeriesDescription"))
            series = found[uid]
            series.samples.append(sample(dataset))
            series.planes += planes(dataset, len(series.paths))
            series.paths.append(file)
    return list(found.values()), unreadable


def _watched(path: Path) -> Iterator[Path]:
    """The files, with a bar on stderr where somebody watches."""
    if path.is_file() or not sys.stderr.isatty():
        yield from scan.files(path)
        return
    every = list(scan.files(path))
    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(every, description="Reading headers")


def _told(
    series: list[Found], unreadable: list[tuple[Path, str]], limits: Limits, source: str
) -> dict[str, list[dict[str, Any]]]:
    return {
        "series": [_one(it, it.verdict(limits, source)) for it in series],
        "unreadable": [{"file": str(file), "reason": reason} for file, reason in unreadable],
    }


def _one(series: Found, verdict: Verdict) -> dict[str, Any]:
    return {
        "series_uid": series.series_uid,
        "modality": series.modality,
        "description": series.description,
        "files": len(series.paths),
        "taken": verdict.taken,
        "reason": verdict.reason,
        "rules": [
            {"rule": it.rule, "passed": it.passed, "value": it.value, "limit": it.limit} for it in verdict.findings
        ],
        "volumes": [
            {
                "shape": list(it.shape),
                "spacing": [round(length, 6) for length in it.spacing],
                "te": it.echo_time_ms,
                "role": it.role,
            }
            for it in series.volumes()
        ],
    }


def _shown(series: list[Found], unreadable: list[tuple[Path, str]], limits: Limits, source: str) -> None:
    """For people: one block a series."""
    console = Console(highlight=False, soft_wrap=True)
    for it in series:
        verdict = it.verdict(limits, source)
        mark = "[green]taken[/]  " if verdict.taken else "[yellow]skipped[/]"
        console.print(f"{mark} {it.modality} {_plain(it.description) or 'no description'}  {it.series_uid}")
        console.print(f"  {len(it.paths)} files; {_plain(verdict.reason)}")
        for finding in verdict.findings:
            sign = "[green]✓[/]" if finding.passed else "[red]✗[/]"
            console.print(f"    {sign} {finding.rule}: {_plain(finding.value)} (limit: {_plain(finding.limit)})")
        for volume in it.volumes():
            spacing = " x ".join(f"{length:.4g}" for length in volume.spacing) or "-"
            shape = " x ".join(map(str, volume.shape))
            console.print(f"    volume {volume.number}: {shape}, {spacing} mm, {_plain(volume.role)}")
    for file, reason in unreadable:
        console.print(f"[red]unreadable[/] {_plain(str(file))}: {_plain(reason)}")
    taken = sum(it.verdict(limits, source).taken for it in series)
    console.print(f"{len(series)} series, {taken} taken, {len(unreadable)} files unreadable")


def _plain(words: str) -> str:
    """Header text, so that its brackets are no markup and its control characters no commands."""
    from rich.markup import escape

    return escape("".join(letter if letter.isprintable() else "?" for letter in words))
