"""Both trainings: the networks learn, a run goes on where it stopped, and the folders load."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from spineps_pacs.engines.load import load_engines
from training.export import halved, write_instance, write_semantic
from training.losses import level_loss, total_loss
from training.network import build, quicken
from training.running import Plan, averaged, keep, move, start


def test_loss_of_certainty() -> None:
    """Sure and right costs nothing; sure and wrong costs its whole Dice and more."""
    target = torch.zeros((1, 4, 4, 4), dtype=torch.long)
    target[:, 1:3] = 1
    right = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float() * 40
    assert float(level_loss(right, target)) == pytest.approx(0, abs=1e-3)
    assert float(level_loss(right.flip(1), target)) > 10


def test_coarse_targets_are_every_second_voxel() -> None:
    """A prediction that is right at half resolution costs nothing there."""
    target = torch.arange(4).repeat(1, 4, 4, 1) % 3
    coarse = torch.nn.functional.one_hot(target[:, ::2, ::2, ::2], 3).movedim(-1, 1).float() * 40
    full = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float() * 40
    assert float(total_loss([full, coarse], target)) == pytest.approx(0, abs=1e-2)


def test_quick_norms_give_the_same_numbers() -> None:
    """The quick form of the network answers as the plain one does."""
    torch.manual_seed(1)
    network = build(deep_supervision=False)
    image = torch.randn(1, 1, 8, 32, 32)
    with torch.no_grad():
        plain = network(image)
        assert torch.allclose(quicken(network)(image), plain, atol=1e-4)


def test_rate_rises_and_falls() -> None:
    """A warm-up from nearly nothing, a top, and a hundredth of it in the end."""
    plan = Plan(1000, rate=1.0, warm_up=100)
    rates = [plan.rate_at(step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(rates[100])
    assert rates[1000] == pytest.approx(0.01, abs=1e-3)


def _tiny() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Linear(3, 2)


def _advance(run: object, plan: Plan, steps: int) -> None:
    for _ in range(steps):
        rng = np.random.default_rng(run.step)
        inputs = torch.from_numpy(rng.normal(size=(5, 3)).astype(np.float32))
        move(run, plan, run.network(inputs).square().mean())


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    """Six steps at once, or three, a checkpoint, and three more: the same weights and averages."""
    plan = Plan(6, warm_up=1)
    whole = start(_tiny(), plan, tmp_path / "none.pt")
    _advance(whole, plan, 6)
    first = start(_tiny(), plan, tmp_path / "part.pt")
    _advance(first, plan, 3)
    keep(first, tmp_path / "part.pt")
    second = start(_tiny(), plan, tmp_path / "part.pt")
    assert second.step == 3
    _advance(second, plan, 3)
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[key])
        assert torch.allclose(whole.average[key], second.average[key])


def test_a_second_run_begins_with_the_averaged_weights_of_the_first(tmp_path: Path) -> None:
    """Not with its last ones, at step 0, and a checkpoint of another architecture is refused by name."""
    plan = Plan(6, warm_up=1)
    first = start(_tiny(), plan, tmp_path / "none.pt")
    _advance(first, plan, 6)
    keep(first, tmp_path / "first.pt")
    second = start(averaged(tmp_path / "first.pt", _tiny()), plan, tmp_path / "second.pt")
    assert second.step == 0
    assert all(torch.equal(v, first.average[k]) for k, v in second.network.named_parameters())
    with pytest.raises(ValueError, match=r"first\.pt was made by another architecture"):
        averaged(tmp_path / "first.pt", torch.nn.Conv3d(1, 1, 1))


def test_an_infinite_gradient_is_skipped(tmp_path: Path) -> None:
    """The step counts, the weights stay."""
    plan = Plan(6)
    run = start(_tiny(), plan, tmp_path / "none.pt")
    before = {k: v.clone() for k, v in run.network.state_dict().items()}
    assert math.isnan(move(run, plan, run.network(torch.full((1, 3), math.inf)).sum()))
    assert (run.step, run.skipped) == (1, 1)
    assert all(torch.equal(v, before[k]) for k, v in run.network.state_dict().items())


def test_shared_tensors_stay_shared() -> None:
    """nnU-Net's repeated names cost no second storage in half precision."""
    state = build(deep_supervision=True).state_dict()
    small = halved(state)
    assert len({v.data_ptr() for v in small.values()}) == len({v.data_ptr() for v in state.values()})
    assert {v.dtype for v in small.values()} == {torch.float16}


def test_written_folders_load_as_published_ones_do(tmp_path: Path) -> None:
    """A semantic and an instance checkpoint become folders that the engines open, marked as demonstration."""
    from spineps_pacs.engines.unet3d import Unet3D
    from training.recipe import CUTOUT_CHANNELS, CUTOUT_DIM, CUTOUT_PIR

    plan = Plan(1)
    keep(start(build(deep_supervision=True), plan, tmp_path / "none.pt"), tmp_path / "semantic.pt")
    keep(start(Unet3D(CUTOUT_DIM, CUTOUT_CHANNELS), plan, tmp_path / "none.pt"), tmp_path / "instance.pt")
    write_semantic(tmp_path / "semantic.pt", tmp_path / "models" / "semantic")
    write_instance(tmp_path / "instance.pt", tmp_path / "models" / "instance")
    engines = load_engines(tmp_path / "models" / "semantic", tmp_path / "models" / "instance")
    assert engines.semantic.info.demonstration
    assert engines.vertebra is not None
    assert engines.vertebra.plan.size_pir == CUTOUT_PIR
    kept = torch.load(tmp_path / "models/semantic/fold_0/checkpoint_final.pth", weights_only=True)
    assert kept["trainer_name"] == "nnUNetTrainer"
    sizes = [p.stat().st_size for p in (tmp_path / "models").rglob("*") if p.suffix in {".pth", ".ckpt"}]
    assert max(sizes) < 6e6
    assert sum(sizes) < 10e6
