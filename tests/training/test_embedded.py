"""The embedded model, as it is shipped: its folders are genuine, its licence is ours, and it passes its gates."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from spineps_pacs.engines.load import load_engines
from training.evaluate_default import RESULTS, load, merged, missed, run, save
from training.examination import Outcome
from training.holdout import QUICK, cases
from training.pipeline import DEFAULTS
from training.recipe import PATCH_RIP, SPACING_RIP


def test_folders_open_and_are_small() -> None:
    """Both networks load as published ones do, say that they are a demonstration, and take 10 MB at most."""
    engines = load_engines(DEFAULTS / "semantic", DEFAULTS / "instance")
    assert engines.semantic.info.demonstration
    assert engines.vertebra is not None
    assert engines.vertebra.info.demonstration
    sizes = {p.suffix: p.stat().st_size for p in DEFAULTS.rglob("*") if p.is_file()}
    assert sizes[".pth"] <= 6e6
    assert sizes[".pth"] + sizes[".ckpt"] <= 10e6


def test_weights_need_no_trust() -> None:
    """The semantic checkpoint holds tensors and plain values only."""
    kept = torch.load(DEFAULTS / "semantic" / "fold_0" / "checkpoint_final.pth", weights_only=True)
    assert all(bool(torch.isfinite(value).all()) for value in kept["network_weights"].values())


def test_nnunets_own_predictor_runs_it(tmp_path: Path) -> None:
    """The folder is a genuine nnU-Net v2 one: its predictor loads it and answers in the classes of dataset.json."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(1.0, use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(DEFAULTS / "semantic"), (0,))
        image = np.random.default_rng(0).normal(size=(1, *PATCH_RIP)).astype(np.float32)
        labels = predictor.predict_single_npy_array(image, {"spacing": list(SPACING_RIP)})
    assert labels.shape == PATCH_RIP
    assert labels.max() <= 14


def test_committed_figures_are_of_this_holdout() -> None:
    """The model card's figures stand for volumes of the hold-out, each once, taken at even steps and not by choice."""
    names = [case.name for case in cases()]
    places = [names.index(outcome.case) for outcome in load(RESULTS)]
    assert len(places) >= 15
    assert len(set(np.diff(places))) == 1


def test_saved_outcomes_are_merged(tmp_path: Path) -> None:
    """A volume that two files hold counts once, and the order is the hold-out's."""
    kept = load(RESULTS)[:3]
    save(tmp_path / "a.json", [kept[2], kept[0]])
    save(tmp_path / "b.json", [kept[1], kept[0]])
    told = merged([tmp_path / "a.json", tmp_path / "b.json"])
    assert [outcome.plain() for outcome in told] == [outcome.plain() for outcome in kept]


def test_a_stopped_evaluation_goes_on(tmp_path: Path) -> None:
    """Volumes whose outcomes are kept are not examined again, and none is begun when the time is over."""
    kept = load(RESULTS)[:2]
    save(tmp_path / "kept.json", kept)
    chosen = [case for case in cases() if case.name == kept[0].case] + cases()[:50]
    told = run(chosen, tmp_path / "kept.json", minutes=0)
    assert [outcome.plain() for outcome in told] == [outcome.plain() for outcome in kept]


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """The quick form of `make model-eval`: ten volumes of the hold-out through the whole analysis."""
    return run([cases()[number] for number in QUICK])


@pytest.mark.timeout(1500)
def test_structures_pass_their_gates(outcomes: list[Outcome]) -> None:
    """Bodies and discs 0.90, canal 0.85; left and right in their places; every volume ends in a result."""
    assert [line for line in missed(outcomes) if "counts" not in line] == []
    assert not any(outcome.swapped or outcome.sentence for outcome in outcomes)


@pytest.mark.timeout(1500)
def test_counts_pass_their_gate(outcomes: list[Outcome]) -> None:
    """Nine of ten counts are exact."""
    assert [line for line in missed(outcomes) if "counts" in line] == []
