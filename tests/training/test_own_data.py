"""Training at full size, in miniature: from NIfTI files to folders that the engines open."""

from __future__ import annotations

import sys
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.engines.load import load_instance, load_semantic
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.weights import open_model
from training import own_instance, own_semantic
from training.miniature import Frame, judged, write_cases
from training.own_cases import find_cases, prepare
from training.pipeline import DEFAULTS

SMALL = Frame((12, 50, 36), (4.0, 2.5, 2.5))


def _cases(folder: Path, count: int) -> Path:
    """Phantoms of a few lumbar vertebrae as a user's folder."""
    return write_cases(folder, range(count), SMALL)


def test_cases_come_upright(tmp_path: Path) -> None:
    """Whatever a file's axes are, a prepared case runs to P, I, R on the grid asked for."""
    files = find_cases(_cases(tmp_path / "own", 1))
    case = prepare(files[0], (2.0, 2.0, 3.0))
    assert case.geometry.spacing == pytest.approx((2.0, 2.0, 3.0))
    assert (np.sign(np.round(case.geometry.affine[:3, :3], 3)) == [[0, 0, -1], [1, 0, 0], [0, -1, 0]]).all()
    heights = [np.argwhere(case.instances == identity)[:, 1].mean() for identity in (21, 22, 23)]
    assert heights == sorted(heights)
    assert case.image.min() == 0
    assert case.image.max() > 100


def test_a_missing_mask_is_named(tmp_path: Path) -> None:
    """A case without its masks stops the training before it begins."""
    folder = _cases(tmp_path / "own", 1)
    (folder / "instances/s0.nii.gz").unlink()
    with pytest.raises(Unusable, match=r"lacks 1 masks, first instances/s0\.nii\.gz"):
        find_cases(folder)


def test_rate_falls_linearly() -> None:
    """1e-4 in the first epoch, 1e-6 in the last of 300, half way between in the middle."""
    settings = own_instance.Settings()
    assert settings.rate_at(0) == pytest.approx(1e-4)
    assert settings.rate_at(299) == pytest.approx(1e-6)
    assert settings.rate_at(150) == pytest.approx((settings.rate_at(149) + settings.rate_at(151)) / 2)


def test_instance_network_in_miniature(tmp_path: Path) -> None:
    """Two epochs on one phantom, stopped after the first, give a folder that the engine opens."""
    cases = _cases(tmp_path / "own", 1)
    small = {"spacing": (4.0, 4.0, 4.0), "size": (32, 40, 16), "dim": 8, "device": "cpu"}
    own_instance.train_instance(cases, tmp_path / "work", tmp_path / "half", own_instance.Settings(epochs=1, **small))
    own_instance.train_instance(cases, tmp_path / "work", tmp_path / "mine", own_instance.Settings(epochs=2, **small))
    engine = load_instance(open_model(tmp_path / "mine"), EngineOptions(device="cpu"))
    assert engine.plan.size_pir == (32, 40, 16)
    assert engine.plan.spacing_pir == (4.0, 4.0, 4.0)
    assert not engine.info.demonstration


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(1500)
def test_semantic_network_in_miniature(tmp_path: Path) -> None:
    """nnU-Net plans, preprocesses and trains two folds of one epoch; the folder opens and gives SPINEPS ids."""
    settings = own_semantic.Settings(
        spacing=(3.0, 3.0, 4.0), patch=(32, 32, 8), epochs=1, folds=2, iterations=2, device="cpu", processes=1
    )
    cases = _cases(tmp_path / "own", 3)
    # other tests import nnU-Net, which then knows no folders any more
    process = get_context("spawn").Process(
        target=own_semantic.train_semantic, args=(cases, tmp_path / "work", tmp_path / "mine", settings)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    engine = load_semantic(open_model(tmp_path / "mine"), EngineOptions(device="cpu"))
    assert engine.grid.spacing_pir == (3.0, 3.0, 4.0)


def test_an_nnu_net_that_knows_other_folders_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the environment once, when it is imported; a sentence says so, not a fault deep inside it."""
    monkeypatch.setitem(sys.modules, "nnunetv2.paths", SimpleNamespace(nnUNet_raw=None))
    with pytest.raises(Unusable, match="a process of its own"):
        own_semantic.train_semantic(tmp_path, tmp_path / "work", tmp_path / "mine", own_semantic.Settings())


def test_the_miniature_is_judged_on_fresh_cases(tmp_path: Path) -> None:
    """Two model folders in a work folder are put to work on cases that training did not see; here the embedded ones."""
    for kind in ("semantic", "instance"):
        (tmp_path / kind).symlink_to(DEFAULTS / kind)
    (line,) = judged(tmp_path, range(7, 8), Frame((14, 100, 60), (4.0, 1.5, 1.5)))
    bodies = float(line.split("vertebra corpus ")[1].split(",")[0])
    assert bodies > 0.8
    assert "vertebrae" in line
