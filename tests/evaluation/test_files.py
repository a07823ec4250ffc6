"""Masks from files, and the command on top of them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from spineps_pacs.cli.evaluate import evaluate
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.evaluation.files import pairs, read_instances, read_structures

AFFINE = np.diag([3.0, 1.0, 1.0, 1.0])


def _write(path: Path, labels: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(labels.astype(np.float32), affine), path)
    return path


def _bar(low: int, high: int, value: int) -> np.ndarray:
    labels = np.zeros((4, 4, 24))
    labels[1:3, 1:3, low:high] = value
    return labels


def test_world_is_lps(tmp_path: Path) -> None:
    """NIfTI's right-anterior axes become left-posterior ones."""
    mask = read_structures(_write(tmp_path / "a.nii.gz", _bar(0, 5, 49)))
    assert mask.geometry.affine[:3, :3].tolist() == [[-3, 0, 0], [0, -1, 0], [0, 0, 1]]
    assert mask.ids() == (49,)


def test_no_mask_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """Fractions, four axes, a text and another grid are each refused by name."""
    _write(tmp_path / "half.nii.gz", _bar(0, 5, 1) / 2)
    _write(tmp_path / "four.nii.gz", np.zeros((2, 2, 2, 2)))
    (tmp_path / "text.nii.gz").write_text("no mask")
    good = read_structures(_write(tmp_path / "good.nii.gz", _bar(0, 5, 49)))
    shifted = AFFINE.copy()
    shifted[0, 3] = 7
    for name, why in (("half", "whole numbers"), ("four", "4 axes"), ("text", "cannot be read")):
        with pytest.raises(Unusable, match=why):
            read_structures(tmp_path / f"{name}.nii.gz")
    with pytest.raises(Unusable, match="another grid"):
        read_structures(_write(tmp_path / "moved.nii.gz", _bar(0, 5, 49), shifted), like=good)
    with pytest.raises(Unusable, match="from 0 to 299"):
        read_instances(_write(tmp_path / "large.nii.gz", _bar(0, 5, 300)))


def test_folders_match_by_name(tmp_path: Path) -> None:
    """Files of the same relative path belong together; one that lacks is named."""
    for folder in ("mine", "theirs"):
        for case in ("a/x.nii.gz", "b/x.nii.gz"):
            _write(tmp_path / folder / case, _bar(0, 5, 49))
    found = pairs(tmp_path / "mine", tmp_path / "theirs")
    assert [case for case, _, _ in found] == ["a/x", "b/x"]
    (tmp_path / "mine/b/x.nii.gz").unlink()
    with pytest.raises(Unusable, match=r"lacks 1 of the reference's 2 files, first b/x\.nii\.gz"):
        pairs(tmp_path / "mine", tmp_path / "theirs")


def test_command_compares_two_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Structures and instances of two methods beside one reference, as a table, as JSON and as CSV."""
    for n in range(3):
        _write(tmp_path / f"truth/{n}.nii.gz", _bar(4, 14, 49))
        _write(tmp_path / f"truth-ids/{n}.nii.gz", _bar(4, 14, 20))
        _write(tmp_path / f"mine/{n}.nii.gz", _bar(4, 14, 49))
        _write(tmp_path / f"mine-ids/{n}.nii.gz", _bar(4, 14, 21))
        _write(tmp_path / f"other/structures/{n}.nii.gz", _bar(9, 19, 49))
        _write(tmp_path / f"other/instances/{n}.nii.gz", _bar(9, 19, 20))
    ids = (tmp_path / "mine-ids", tmp_path / "truth-ids")
    arguments = (tmp_path / "mine", tmp_path / "truth")
    assert evaluate(*arguments, instances=ids, versus=tmp_path / "other", csv=tmp_path / "all.csv", json=True) == 0
    table = {(r["scope"], r["structure"], r["measure"]): r for r in json.loads(capsys.readouterr().out)}
    assert table["global", "vertebra", "DSC"]["methods"]["mine"]["mean"] == 1
    assert table["global", "vertebra", "DSC"]["methods"]["other"]["mean"] == pytest.approx(0.5)
    assert table["instance-wise", "vertebra", "RQ"]["methods"]["mine"]["mean"] == 1
    assert table["instance-wise", "vertebra", "RQ"]["methods"]["other"]["mean"] == 0
    assert table["lumbar", "vertebra corpus", "DSC"]["methods"]["mine"]["mean"] == 1
    assert len((tmp_path / "all.csv").read_text().splitlines()) > 20
    evaluate(*arguments)
    assert "vertebra corpus" in capsys.readouterr().out
