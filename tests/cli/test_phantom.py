"""The command phantom: a study in a folder of its own, the same bytes for the same seed, faults as sentences."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from spineps_pacs.cli.main import run

SMALL = ["--levels", "L4-S1", "--slices", "5", "--spacing", "2.0", "5.0", "--only-t2"]


def _digests(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_one_seed_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice the same command writes byte-identical files; another seed does not."""
    for name, seed in (("a", "4"), ("b", "4"), ("c", "5")):
        assert run(["phantom", "--out", str(tmp_path / name), "--seed", seed, *SMALL, "--json"]) == 0
        written = json.loads(capsys.readouterr().out)
        assert len(written["series"]) == 1
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")
    assert not set(_digests(tmp_path / "a").values()) & set(_digests(tmp_path / "c").values())


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that holds something is refused."""
    (tmp_path / "mine.txt").write_text("keep me")
    assert run(["phantom", "--out", str(tmp_path), *SMALL]) == 1
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (["--thoracic", "14"], "11, 12 or 13 thoracic"),
        (["--fracture", "L9", "0.3"], "no L9"),
        (["--vendor", "acme"], "acme"),
        (["--orientation", "sideways"], "sideways"),
    ],
)
def test_a_wish_that_no_spine_fulfils_is_told(
    wish: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An impossible wish is a sentence that names it."""
    assert run(["phantom", "--out", str(tmp_path / "x"), "--only-t2", *wish]) == 1
    assert words in capsys.readouterr().err
