"""The instance engine reads both published layouts and answers every cutout for itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spineps_pacs.domain.errors import Cancelled, ModelError
from spineps_pacs.domain.ports import Cutouts, ModelInfo, unwatched
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.unet3d import Unet3D
from spineps_pacs.engines.vertebra import UnetVertebraEngine, channels_of
from spineps_pacs.engines.weights import open_model
from tests.engines import folders

INFO = ModelInfo("instance", "tiny", "", "0" * 64)
SIZE = (16, 24, 8)


def engine(folder: Path, **options: Any) -> UnetVertebraEngine:
    return UnetVertebraEngine(open_model(folder), INFO, EngineOptions(device="cpu", **options))


def cutouts(count: int = 3) -> Cutouts:
    arrays = np.random.default_rng(1).integers(0, 12, (count, *SIZE)).astype(np.uint8)
    return Cutouts(arrays, (Geometry(np.eye(4), SIZE),) * count)


@pytest.mark.parametrize(("dim", "channels"), [(16, 10), (8, 11)])
def test_both_layouts_give_the_networks_highest_score(tmp_path: Path, dim: int, channels: int) -> None:
    """One-hot classes go in, the most likely part of each voxel comes out; the plan names the folder's numbers."""
    made = engine(folders.instance_folder(tmp_path / "m", dim, channels))
    assert (made.plan.channels, made.plan.size_pir, made.plan.spacing_pir) == (channels, SIZE, (0.75, 0.75, 1.65))
    assert made.plan.corpus_size_mm3 == pytest.approx(92.8125)
    assert made.plan.room is None
    torch.manual_seed(dim + channels)
    network = Unet3D(dim, channels).eval()
    classes = torch.from_numpy(cutouts().arrays.astype(np.int64))
    hot = torch.nn.functional.one_hot(classes.where(classes < channels, 0), channels).movedim(-1, 1).float()
    with torch.inference_mode():
        wanted = network(hot).argmax(1).numpy()
    got = made.predict(cutouts(), unwatched)
    assert got.dtype == np.uint8
    assert np.count_nonzero(got != wanted) <= 2
    assert len(np.unique(wanted)) > 1


def test_a_network_of_one_channel_reads_a_share() -> None:
    """Without a channel per class the class number goes in, divided by nine."""
    classes = torch.arange(10, dtype=torch.uint8).reshape(1, 10, 1, 1)
    torch.testing.assert_close(channels_of(classes, 1).flatten(), torch.arange(10) / 9)


def test_the_plan_tells_how_much_room_a_cutout_needs(tmp_path: Path) -> None:
    """In step with width and size: the published network's cutout is reckoned at 2.5 GB."""
    config = {"cutout_size": [248, 304, 64]}
    room = engine(folders.instance_folder(tmp_path / "m", 16, 10, config), max_memory_gb=3.0).plan.room
    assert room is not None
    assert (room.allowed, round(room.in_any_case / 1e9, 1)) == (3e9, 2.5)


def test_cutouts_do_not_touch_each_other(tmp_path: Path) -> None:
    """All at once or one by one: the same parts; and progress counts cutouts."""
    folder = folders.instance_folder(tmp_path / "m", 8, 10)
    told: list[tuple[int, int]] = []
    many = engine(folder, batch=3).predict(cutouts(), lambda done, total: told.append((done, total)))
    ones = engine(folder, batch=1).predict(cutouts(), unwatched)
    assert np.count_nonzero(many != ones) <= 2
    assert told == [(0, 3), (3, 3)]
    assert engine(folder).predict(Cutouts(np.empty((0, *SIZE), np.uint8), ()), unwatched).shape == (0, *SIZE)


def test_cancelling_passes_through(tmp_path: Path) -> None:
    """What the watch raises comes out."""

    def stop(done: int, total: int) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        engine(folders.instance_folder(tmp_path / "m", 8, 10)).predict(cutouts(), stop)


def test_a_wrong_folder_is_named(tmp_path: Path) -> None:
    """No checkpoint, two of them, and one that holds something else: a sentence each."""
    folder = folders.instance_folder(tmp_path / "m", 8, 10)
    path = next(folder.glob("**/*.ckpt"))
    torch.save({"state_dict": {"other.weight": torch.ones(2)}}, path)
    with pytest.raises(ModelError, match=r"weights\.ckpt holds no instance network"):
        engine(folder)
    torch.save({"epoch": 3}, path)
    with pytest.raises(ModelError, match="no state_dict"):
        engine(folder)
    (folder / "more-weights.ckpt").write_bytes(b"")
    with pytest.raises(ModelError, match="holds 2 files"):
        engine(folder)


class Hungry(torch.nn.Module):
    """A network whose memory ends beyond two items, and on one device."""

    def __init__(self, fits: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.fits = fits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return x * 2


def test_memory_running_out_is_answered_with_smaller_batches() -> None:
    """A batch that does not fit is halved until it does; what never fits is a sentence, other errors pass."""
    from spineps_pacs.domain.errors import TryAgain
    from spineps_pacs.engines.device import Runner

    x = torch.arange(7.0).reshape(7, 1)
    assert torch.equal(Runner(Hungry(2), torch.device("cpu"), False)(x), x * 2)
    with pytest.raises(TryAgain, match="not enough memory"):
        Runner(Hungry(0), torch.device("cpu"), False)(x)
    with pytest.raises(RuntimeError, match=r"size mismatch|shape"):
        Runner(torch.nn.Linear(3, 1), torch.device("cpu"), False)(x)


class Anywhere(torch.Tensor):
    """A tensor that lies on every device."""

    def to(self, *_: object, **__: object) -> torch.Tensor:
        return self


class Away(Hungry):
    """A network that knows where it was taken, and for which the GPU has no room."""

    at = "cpu"

    def to(self, device: object) -> torch.nn.Module:  # type: ignore[override]
        self.at = str(device)
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Hungry(0 if self.at == "cuda" else 9).forward(x)


def test_one_item_that_does_not_fit_the_gpu_goes_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the CPU's, the rest of the series stays there, and the next one starts on the GPU again."""
    from spineps_pacs.engines.device import Runner

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    network = Away(9)
    runner = Runner(network, torch.device("cuda"), False)
    x = torch.arange(3.0).reshape(3, 1)
    assert torch.equal(torch.Tensor(runner(x.as_subclass(Anywhere))), x * 2)
    assert network.at == "cpu"
    runner.go_home()
    assert network.at == "cuda"
