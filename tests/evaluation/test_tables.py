"""Tables over many cases."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from spineps_pacs.evaluation.cases import Value
from spineps_pacs.evaluation.tables import as_json, rows, text, write_csv


def _cases(*dice: float) -> dict[str, list[Value]]:
    return {f"case{n}": [Value("global", "IVD", "DSC", d)] for n, d in enumerate(dice)}


def test_mean_and_spread() -> None:
    """0.8, 0.9 and 1.0 have mean 0.9 and standard deviation 0.1; what is no number does not count."""
    (row,) = rows([_cases(0.8, 0.9, 1.0, math.nan)])
    assert row.means == (pytest.approx(0.9),)
    assert row.deviations == (pytest.approx(0.1),)
    assert row.counts == (3,)
    assert row.p is None


def test_wilcoxon_of_one_sided_differences() -> None:
    """Six cases, all better by different amounts: the exact two-sided p is 2 / 2**6."""
    better = [0.91, 0.92, 0.93, 0.94, 0.95, 0.96]
    worse = [b - d for b, d in zip(better, [0.01, 0.02, 0.03, 0.04, 0.05, 0.06], strict=True)]
    (row,) = rows([_cases(*better), _cases(*worse)])
    assert row.p == pytest.approx(2 / 64)


def test_equal_methods_do_not_differ() -> None:
    """Without any difference p is 1, and only shared cases count."""
    (row,) = rows([_cases(0.8, 0.9), _cases(0.8)])
    assert row.p == 1


def test_rows_stand_in_the_papers_order() -> None:
    """Global before instance-wise, vertebra before disc, Dice before RQ."""
    values = [
        Value("instance-wise", "IVD", "RQ", 1.0),
        Value("global", "IVD", "DSC", 0.9),
        Value("instance-wise", "IVD", "DSC", 0.9),
        Value("global", "vertebra", "DSC", 0.9),
    ]
    table = rows([{"case": values}])
    assert [(r.scope, r.structure, r.measure) for r in table] == [
        ("global", "vertebra", "DSC"),
        ("global", "IVD", "DSC"),
        ("instance-wise", "IVD", "DSC"),
        ("instance-wise", "IVD", "RQ"),
    ]


def test_text_has_the_papers_layout() -> None:
    """Three decimals, mean ± spread, one column per method, a star where p is below 0.05."""
    table = text(
        rows([_cases(*[0.9, 0.91, 0.92, 0.93, 0.94, 0.95]), _cases(*[0.8, 0.8, 0.8, 0.8, 0.8, 0.8])]), ["a", "b"]
    )
    assert "0.925 ± 0.019" in table
    assert "0.031*" in table
    assert table.splitlines()[1].startswith("global")


def test_json_has_no_nan() -> None:
    """One case has no spread: null, so that every reader takes it."""
    content = json.loads(json.dumps(as_json(rows([_cases(0.5)]), ["a"]), allow_nan=False))
    assert content[0]["methods"]["a"] == {"mean": 0.5, "sd": None, "n": 1}


def test_csv_holds_every_value(tmp_path: Path) -> None:
    """One line per method, case and value."""
    path = tmp_path / "values.csv"
    write_csv(path, {"mine": _cases(0.5, 0.6), "theirs": _cases(0.4)})
    with path.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["method"], line["case"], float(line["value"])) for line in lines] == [
        ("mine", "case0", 0.5),
        ("mine", "case1", 0.6),
        ("theirs", "case0", 0.4),
    ]
