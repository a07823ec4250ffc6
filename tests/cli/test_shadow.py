"""`shadow report`: two model sets over many series in a few lines."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from spineps_pacs.cli.main import run
from spineps_pacs.shadowing import Compared

SAME = (("L4", "L4", 0.9), ("L5", "L5", 0.8))
SHIFTED = (("L4", "L3", 0.9), ("L5", "", 0.0))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "data" / "shadow").mkdir(parents=True)
    file = tmp_path / "node.toml"
    file.write_text("[node]\ndata_folder = 'data'\n")
    lines = [
        Compared("same", "MR1", 1e9, (("a",), ("b",)), (("L4", "L5"), ("L4", "L5")), {"Vertebra": 0.9}, SAME),
        Compared("shifted", "MR1", 2e9, (("a",), ("b",)), (("L4", "L5"), ("L3",)), {"Vertebra": 0.5}, SHIFTED),
    ]
    for line in lines:
        (tmp_path / "data" / "shadow" / f"{line.job}.json").write_text(json.dumps(asdict(line)))
    return file


def test_levels_and_overlap_are_summed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many series and vertebrae agree, Dice of each thing, and the series that differ by name."""
    assert run(["shadow", "report", "--config", str(config)]) == 0
    told = capsys.readouterr().out
    assert "2 series under both model sets" in told
    assert "1 with the same levels throughout; 2 of 4 vertebrae" in told
    assert "0.700" in told  # the median of 0.9 and 0.5
    assert "shifted" in told
    assert "L3" in told


def test_a_span_and_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what arrived since; machines get every line."""
    assert run(["shadow", "report", "--config", str(config), "--since", "2030-01-01", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["series"], [line["job"] for line in told["all"]]) == (1, ["shifted"])


def test_nothing_was_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node without a second set says so in one line."""
    file = tmp_path / "node.toml"
    file.write_text("[node]\ndata_folder = 'data'\n")
    assert run(["shadow", "report", "--config", str(file)]) == 0
    assert capsys.readouterr().out == "0 series under both model sets\n"
