"""The training of the second labeller: what it learns from, and that the file written is the network trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from spineps_pacs.analysis.small_fov_fit import NAMES, SACRUM
from spineps_pacs.analysis.small_fov_input import PIXEL_MM
from spineps_pacs.domain.ports import unwatched
from spineps_pacs.engines.weights import embedded_folder
from training import holdout, pool


def test_the_file_gives_what_the_network_gives(tmp_path: Path) -> None:
    """Folded norms and our own writer change no score by more than rounding, in either network."""
    import onnxruntime

    from spineps_pacs.engines.small_fov import OnnxNetwork
    from training.small_fov_export import onnx
    from training.small_fov_network import CLASSES, SmallFov

    torch.manual_seed(3)
    slices = np.random.default_rng(3).random((1, 3, 320, 896), dtype=np.float32)
    for part, classes in CLASSES.items():
        network = SmallFov(part)
        with torch.no_grad():
            network.train()(torch.from_numpy(slices[..., :256]))  # statistics that are not 0 and 1
            wanted = network.eval()(torch.from_numpy(slices)).numpy()
        path = tmp_path / f"{part}.onnx"
        path.write_bytes(onnx(network))
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = session.run(None, {"image": slices})[0]
        assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()
        loaded = OnnxNetwork(path, "cpu")
        assert loaded.classes == classes
        assert (loaded(slices, unwatched) == wanted.argmax(axis=1)).mean() > 0.999


def test_the_two_labellers_share_no_spine() -> None:
    """Seeds of the second labeller's pool lie apart from the first's training and from the hold-out."""
    from training import small_fov_pool

    assert small_fov_pool.SEED >= pool.TRAINING_SEED + 1_000_000
    assert holdout.SEED + holdout.SIZE < pool.TRAINING_SEED


def test_truth_and_crops_of_a_whole_spine(tmp_path: Path) -> None:
    """A rendered spine shows C2 to S1 from the top down; crops hold it scaled, centred, at the superior end."""
    from training.small_fov_crops import draw, open_pool
    from training.small_fov_pool import UNNAMED, render

    render(4, tmp_path / "spine-00004.npz")
    spines = open_pool(tmp_path)
    named = spines[0].named
    present = [int(n) for n in np.unique(named) if n not in {0, UNNAMED}]
    assert {1, SACRUM} <= set(present)
    assert len(present) >= len(NAMES) - 4
    heights = [np.argwhere(named == n)[:, 2].mean() for n in present]
    assert heights == sorted(heights, reverse=True)
    assert ((named > 0) <= (spines[0].classes == 1)).all()
    batch = draw(spines, np.random.default_rng(5))
    assert batch.slices.shape[1:3] == (3, 320)
    assert batch.slices.min() >= 0
    assert batch.slices.max() <= 1
    assert batch.slices.shape[0] == len(batch.named)
    assert (batch.named > 0).any(axis=(1, 2)).all()
    assert batch.slices[:, :, :, -1].any()


def test_the_embedded_networks_open_and_say_what_they_are() -> None:
    """Both files load in the published form, are small, and mark what they name as a demonstration."""
    from spineps_pacs.engines.small_fov import open_small_fov

    folder = (embedded_folder() or Path()) / "small-fov"
    engine = open_small_fov(folder, "cpu")
    assert (engine.names, engine.pixel_mm, engine.info.demonstration) == (SACRUM, PIXEL_MM, True)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4e6
