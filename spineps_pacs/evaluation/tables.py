"""Many cases: mean and spread, the Wilcoxon test between two methods, and tables in the paper's layout."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from spineps_pacs.evaluation.cases import GLOBAL, REGIONS, Value

SIGNIFICANT = 0.05
TESTED = ("DSC", "RQ")
"""Measures on which the paper tests."""

Key = tuple[str, str, str]
Cases = Mapping[str, Sequence[Value]]
"""Case name to its values."""


@dataclass(frozen=True)
class Row:
    """One line: mean and standard deviation (n - 1) per method over the cases that have the value, and the test's p."""

    scope: str
    structure: str
    measure: str
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    counts: tuple[int, ...]
    p: float | None = None


def rows(methods: Sequence[Cases]) -> list[Row]:
    """One row per value that any method has, in the paper's order."""
    tables = [_by_key(cases) for cases in methods]
    keys = {key for table in tables for key in table}
    return [_row(key, [table.get(key, {}) for table in tables]) for key in sorted(keys, key=_order)]


def _by_key(cases: Cases) -> dict[Key, dict[str, float]]:
    table: dict[Key, dict[str, float]] = {}
    for name, values in cases.items():
        for value in values:
            if math.isfinite(value.value):
                table.setdefault((value.scope, value.structure, value.measure), {})[name] = value.value
    return table


def _order(key: Key) -> tuple[int, int, int]:
    scopes = ["global", "instance-wise", *(name for name, _ in REGIONS)]
    structures, measures = [name for name, _ in GLOBAL], ["DSC", "RQ", "SQ", "PQ", "ASSD"]
    return (scopes.index(key[0]), structures.index(key[1]), measures.index(key[2]))


def _row(key: Key, methods: list[dict[str, float]]) -> Row:
    columns = [list(method.values()) for method in methods]
    return Row(
        *key,
        means=tuple(float(np.mean(c)) if c else math.nan for c in columns),
        deviations=tuple(float(np.std(c, ddof=1)) if len(c) > 1 else math.nan for c in columns),
        counts=tuple(len(c) for c in columns),
        p=_test(*methods) if len(methods) == 2 and key[2] in TESTED else None,
    )


def _test(one: dict[str, float], other: dict[str, float]) -> float | None:
    """Two-sided Wilcoxon signed-rank test over the cases that both methods have; None without any."""
    shared = sorted(one.keys() & other.keys())
    differences = np.array([one[name] - other[name] for name in shared])
    if not len(differences):
        return None
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences).pvalue)


def text(table: Sequence[Row], names: Sequence[str]) -> str:
    """The table as plain text: structures down, methods across, three decimals as in the paper."""
    tested = any(row.p is not None for row in table)
    head = ["", "structure", "metric", *names, *(["p"] if tested else []), "n"]
    lines, scope = [head], ""
    for row in table:
        arrow = "↓" if row.measure == "ASSD" else "↑"
        cells = [_cell(m, s) for m, s in zip(row.means, row.deviations, strict=True)]
        p = [_p(row.p)] if tested else []
        first = row.scope if row.scope != scope else ""
        unit = f"{arrow} {row.measure}" + (" mm" if row.measure == "ASSD" else "")
        lines.append([first, row.structure, unit, *cells, *p, "/".join(str(n) for n in row.counts)])
        scope = row.scope
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _cell(mean: float, deviation: float) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:.3f}" if math.isnan(deviation) else f"{mean:.3f} ± {deviation:.3f}"


def _p(p: float | None) -> str:
    if p is None:
        return ""
    return f"{p:.3f}" + ("*" if p < SIGNIFICANT else "")


def write_csv(path: Path, methods: Mapping[str, Cases]) -> None:
    """Every single value, one line each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "case", "scope", "structure", "measure", "value"])
        for method, cases in methods.items():
            for name, values in cases.items():
                writer.writerows([method, name, v.scope, v.structure, v.measure, f"{v.value:.6f}"] for v in values)


def as_json(table: Sequence[Row], names: Sequence[str]) -> list[dict[str, object]]:
    """Plain values; what is not known is null."""

    def known(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return [
        {
            "scope": row.scope,
            "structure": row.structure,
            "measure": row.measure,
            "p": row.p,
            "methods": {
                name: {"mean": known(mean), "sd": known(sd), "n": n}
                for name, mean, sd, n in zip(names, row.means, row.deviations, row.counts, strict=True)
            },
        }
        for row in table
    ]
