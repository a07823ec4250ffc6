"""The command phantom: a study in a folder of its own, the same bytes for the same seed, faults as sentences."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

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
        (["--stenosis", "L3", "0.9"], "stenosis lies between"),
        (["--noise", "-1"], "noise, bias, ghost and motion"),
    ],
)
def test_a_wish_that_no_spine_fulfils_is_told(
    wish: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An impossible wish is a sentence that names it."""
    assert run(["phantom", "--out", str(tmp_path / "x"), "--only-t2", *wish]) == 1
    assert words in capsys.readouterr().err


def test_every_wish_is_in_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each flag of the spine and of the scanner's faults changes the pixels, and only what it asks for."""
    plain = _pixels(tmp_path / "plain", [])
    for flag in (
        ["--noise", "3"],
        ["--bias", "0.5"],
        ["--ghost", "0.2"],
        ["--motion", "2"],
        ["--stenosis", "L4", "0.5"],
        ["--osteophytes", "1.5"],
        ["--size", "0.85"],
    ):
        changed = _pixels(tmp_path / flag[0].strip("-"), flag)
        assert changed.shape[1:] == plain.shape[1:] or flag[0] == "--size"
        assert changed.shape != plain.shape or np.abs(changed - plain).max() > 50, flag
    capsys.readouterr()


def test_ribs_may_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without ribs the slices beside a thoracic spine change, and no vertebra does."""
    thoracic = ["--levels", "T8-T9", "--slices", "9", "--spacing", "2.0", "8.0", "--only-t2"]
    images, bodies = [], []
    for name, flags in (("with", []), ("without", ["--no-ribs"])):
        images.append(_pixels(tmp_path / name, [*thoracic, *flags], []))
        bodies.append(nibabel.load(tmp_path / name / "truth" / "structures.nii.gz").get_fdata() == 49)
    capsys.readouterr()
    assert np.array_equal(*bodies)
    assert np.abs(images[1] - images[0]).max() > 50


def _pixels(out: Path, flags: list[str], small: list[str] = SMALL) -> NDArray[np.int64]:
    """The slices of a study as numbers."""
    assert run(["phantom", "--out", str(out), "--seed", "2", *small, *flags]) == 0
    files = sorted((out / "dicom").glob("*/*.dcm"))
    return np.stack([pydicom.dcmread(path).pixel_array.astype(np.int64) for path in files])
