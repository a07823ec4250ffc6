"""One line per analysed series that outlives it: scanner, week, how many levels, how sure, how large; no patient."""

from __future__ import annotations

import contextlib
import functools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from spineps_pacs.web.board import DriftRow

TAKEN = "taken"
DAY_S = 86400.0


def week(seconds: float) -> str:
    """The ISO week of a time, UTC."""
    return _week_of_day(int(seconds // DAY_S))


@functools.lru_cache(maxsize=400)
def _week_of_day(day: int) -> str:
    year, number, _ = datetime.fromtimestamp(day * DAY_S, UTC).isocalendar()
    return f"{year}-W{number:02}"


def line(job: str, source: str, at: float, report: Mapping[str, Any]) -> dict[str, Any]:
    """What is remembered of one report (report.json)."""
    vertebrae = [level for level in report["levels"]["found"] if level["kind"] == "vertebra"]
    sure = [level["confidence"] for level in vertebrae if level["confidence"] is not None]
    bodies = [s["volume_mm3"] for s in report["structures"] if s["name"] == "Vertebral body"]
    second = report.get("second_opinion")
    return {
        "job": job,
        "source": source,
        "week": week(at),
        "levels": len(vertebrae),
        "confidence": fmean(sure) if sure else None,
        "volume_cm3": sum(bodies) / 1000,
        "second": [second["verdict"], second["flagged"]] if second else None,
        "phases_s": {step["phase"]: step["seconds"] for step in report["timings_s"]},
    }


def remember(folder: Path, entry: Mapping[str, Any]) -> None:
    """Adds a line to the week's file; short lines are appended whole even by several processes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{entry['week']}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def remembered(folder: Path, weeks: int = 26) -> list[dict[str, Any]]:
    """The newest line of each job of the last weeks; one that a power cut left half is passed over."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.jsonl"))[-weeks:]:
        stamp = path.stat()
        found |= {entry["job"]: entry for entry in _entries(path, stamp.st_mtime_ns, stamp.st_size)}
    return list(found.values())


@functools.lru_cache(maxsize=52)
def _entries(path: Path, changed_ns: int, size: int) -> tuple[dict[str, Any], ...]:  # noqa: ARG001  they tell versions apart
    """The lines of a file as it is; weeks that are over are read once."""
    found = []
    for text in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(text))
    return tuple(found)


def rows(entries: Iterable[Mapping[str, Any]], judged: Iterable[tuple[str, float, str]]) -> list[DriftRow]:
    """Scanner by week: means of what was found, and verdicts (source, time, outcome)."""
    measured: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for entry in entries:
        measured.setdefault((entry["source"], entry["week"]), []).append(entry)
    verdicts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for source, at, outcome in judged:
        verdicts[source, week(at)][outcome] += 1
    return [_row(key, measured.get(key, ()), verdicts.get(key, Counter())) for key in sorted({*measured, *verdicts})]


def phase_totals(entries: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, float]]:
    """How often each phase was run, and for how many seconds in all."""
    totals: dict[str, tuple[int, float]] = {}
    for entry in entries:
        for phase, seconds in entry["phases_s"].items():
            count, total = totals.get(phase, (0, 0.0))
            totals[phase] = count + 1, total + seconds
    return totals


def opinion_totals(entries: Iterable[Mapping[str, Any]]) -> dict[tuple[str, bool], int]:
    """How many series had which verdict of the second labeller, flagged or not; lines of older versions have none."""
    return Counter(
        (str(verdict), bool(flagged)) for verdict, flagged in filter(None, (e.get("second") for e in entries))
    )


def _row(key: tuple[str, str], entries: Sequence[Mapping[str, Any]], verdicts: Counter[str]) -> DriftRow:
    kept_out = tuple((rule, count) for rule, count in verdicts.most_common() if rule != TAKEN)
    return DriftRow(
        *key,
        taken=verdicts[TAKEN],
        skipped=sum(count for _, count in kept_out),
        levels=_mean(entries, "levels"),
        confidence=_mean(entries, "confidence"),
        volume_cm3=_mean(entries, "volume_cm3"),
        reasons=kept_out,
    )


def _mean(entries: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [entry[name] for entry in entries if entry[name] is not None]
    return fmean(values) if values else None
