"""The arithmetic of the benchmark: medians, samples scaled to the whole, sums of phases, growth with size, tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

OUTSIDE = ("prepare", "n4", "semantic_around", "instance_around", "labelling_around", "post", "measure", "joins")
"""Spans of a run whose networks are stubs; together they are all that is done outside networks."""
NETWORKS = ("semantic_network", "instance_network", "labelling_network")
SUMS = {
    "labelling": ("labelling_around", "labelling_network"),
    "instance_phase": ("instance_around", "instance_network"),
    "end_to_end": ("outside_networks", *NETWORKS),
}
"""Rows that are sums of others, which may have been measured in another run of the command."""
ORDER = (
    "n4", "prepare", "semantic_around", "instance_around", "labelling_around", "post", "measure", "joins",
    "outside_networks", *NETWORKS, "labelling", "instance_phase", "end_to_end", "load",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What one order cost: CPU and wall seconds by span, and the peak of resident memory."""

    seconds: Mapping[str, tuple[float, float]]
    peak_mb: float

    @classmethod
    def parsed(cls, line: str) -> Answer:
        """From the line that a side of the benchmark writes."""
        found = json.loads(line)
        return cls({span: (float(a), float(b)) for span, (a, b) in found["seconds"].items()}, float(found["peak_mb"]))

    def total(self, spans: Iterable[str]) -> tuple[float, float]:
        """CPU and wall seconds of some spans together."""
        chosen = [self.seconds.get(span, (0.0, 0.0)) for span in spans]
        return sum(c for c, _ in chosen), sum(w for _, w in chosen)


@dataclass(frozen=True)
class Row:
    """One phase. `ratio` is upstream's CPU time over ours; None stands for what was not measured."""

    phase: str
    ours_cpu_s: float | None = None
    upstream_cpu_s: float | None = None
    ours_wall_s: float | None = None
    upstream_wall_s: float | None = None
    ratio: float | None = None
    peak_mb: float | None = None
    upstream_peak_mb: float | None = None
    note: str = ""


Answers = Sequence[Answer]


def row(phase: str, ours: Answers, theirs: Answers, spans: Sequence[str], times: float = 1.0) -> Row:
    """The median of several runs, multiplied where the run was a sample of the whole."""
    (a, b, peak), (c, d, other) = _middle(ours, spans, times), _middle(theirs, spans, times)
    return with_ratio(Row(phase, a, c, b, d, None, peak, other))


def _middle(answers: Answers, spans: Sequence[str], times: float) -> tuple[float | None, float | None, float | None]:
    totals = [answer.total(spans) for answer in answers]
    if not totals or not any(wall for _, wall in totals):
        return None, None, None
    peak = max(answer.peak_mb for answer in answers)
    return times * median(c for c, _ in totals), times * median(w for _, w in totals), peak


def with_ratio(of: Row) -> Row:
    """The row with upstream's CPU time over ours, where both are known."""
    if not of.ours_cpu_s or of.upstream_cpu_s is None:
        return replace(of, ratio=None)
    return replace(of, ratio=of.upstream_cpu_s / of.ours_cpu_s)


def around(ours: Answers, theirs: Answers) -> list[Row]:
    """Every phase around the networks, and all of them together."""
    single = [row(span, ours, theirs, (span,)) for span in OUTSIDE]
    return [*single, row("outside_networks", ours, theirs, OUTSIDE)]


def summed(rows: Iterable[Row]) -> list[Row]:
    """The rows, and the sums that can be made of them; a sum is only as long as all its parts are known."""
    given = {r.phase: r for r in rows if r.phase not in SUMS}
    sums = [_sum(name, [given[p] for p in parts]) for name, parts in SUMS.items() if all(p in given for p in parts)]
    return in_order([*given.values(), *sums])


def _sum(name: str, parts: Sequence[Row]) -> Row:
    def added(field: str) -> float | None:
        values = [getattr(part, field) for part in parts]
        return None if None in values else sum(values)

    def largest(field: str) -> float | None:
        values = [getattr(part, field) for part in parts if getattr(part, field) is not None]
        return max(values, default=None)

    return with_ratio(
        Row(
            name,
            added("ours_cpu_s"),
            added("upstream_cpu_s"),
            added("ours_wall_s"),
            added("upstream_wall_s"),
            None,
            largest("peak_mb"),
            largest("upstream_peak_mb"),
            f"sum of {', '.join(part.phase for part in parts)}",
        )
    )


def in_order(rows: Iterable[Row]) -> list[Row]:
    """The phases in the order of the work, then all others by name."""
    return sorted(rows, key=lambda r: (ORDER.index(r.phase) if r.phase in ORDER else len(ORDER), r.phase))


def merged(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """New rows take the place of old ones of the same phase; sums are made anew."""
    return summed({r.phase: r for r in (*old, *new)}.values())


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """b of seconds = a * size ^ b, the straight line through the logarithms with the least squares."""
    x, y = [math.log(s) for s in sizes], [math.log(s) for s in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    if not spread:
        raise ValueError(f"an exponent needs two different sizes, not {list(sizes)}")
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def read(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """Rows and facts of an earlier run; none where there was none."""
    if not path.is_file():
        return [], {}
    content = json.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Row)}
    return [Row(**{k: v for k, v in found.items() if k in known}) for found in content["rows"]], content["facts"]


def write(path: Path, rows: Sequence[Row], facts: Mapping[str, Any]) -> None:
    """The table as JSON: {"rows": [...], "facts": {...}}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"rows": [asdict(r) for r in rows], "facts": dict(facts)}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


HEADS = ("phase", "ours CPU s", "upstream CPU s", "ours wall s", "upstream wall s", "ratio", "ours MB", "upstream MB")


def markdown(rows: Iterable[Row]) -> str:
    """The table as it stands in the documentation and on the terminal."""
    cells = [[*HEADS, "note"], *([*_cells(r), r.note] for r in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(cells[0]))]
    lines = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in cells]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(of: Row) -> list[str]:
    times = (of.ours_cpu_s, of.upstream_cpu_s, of.ours_wall_s, of.upstream_wall_s)
    peaks = (of.peak_mb, of.upstream_peak_mb)
    return [of.phase, *map(_number, times), "" if of.ratio is None else f"{of.ratio:.1f}", *map(_whole, peaks)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
