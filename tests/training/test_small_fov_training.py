"""The training of the second labeller: what it learns from, and that the file written is the network trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from spineps_pacs.analysis.geometry import nearest
from spineps_pacs.analysis.small_fov_fit import NAMES, SACRUM
from spineps_pacs.analysis.small_fov_input import PIXEL_MM, prepare
from spineps_pacs.analysis.small_fov_split import DISC, VERTEBRA
from spineps_pacs.domain.anatomy import DISC_OFFSET, ENDPLATE_OFFSET, LEVEL_IDS, SACRUM_ID
from spineps_pacs.domain.ports import ModelInfo, Watch, unwatched
from spineps_pacs.engines.weights import embedded_folder
from training import holdout, pool
from training.small_fov_both import Once, both, first_report, soiled
from training.small_fov_examine import Scan, examined, scan_of


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
    """Seeds of the second labeller's pool lie apart from the first's training, the hold-out and its own examination."""
    from training import small_fov_examine, small_fov_pool

    assert small_fov_pool.SEED >= pool.TRAINING_SEED + 1_000_000
    assert holdout.SEED + holdout.SIZE < pool.TRAINING_SEED
    assert pool.TRAINING_SEED + 1_000_000 <= small_fov_examine.SEED <= small_fov_pool.SEED - 1_000_000


class Knowing:
    """Networks that know what is true of one scan: its bodies and discs on their grid, and names from C2 on."""

    info, pixel_mm, names = ModelInfo("small-fov", "twin", "", "0" * 64), PIXEL_MM, SACRUM

    def __init__(self, seen: Scan) -> None:
        grid = prepare(seen.image).geometry
        ids = nearest(seen.truth.astype(np.uint8), seen.image.geometry, grid)
        soft = (ids > DISC_OFFSET) & (ids < ENDPLATE_OFFSET)
        self.classes = np.where(soft, DISC, np.where(ids > 0, VERTEBRA, 0)).astype(np.uint8)
        table = np.zeros(256, dtype=np.uint8)
        table[2:25] = np.arange(1, 24)
        self.said = table[ids]

    def segment(self, slices: np.ndarray, watch: Watch) -> np.ndarray:
        return self.classes

    def name(self, slices: np.ndarray, watch: Watch) -> np.ndarray:
        return self.said


def test_a_spine_beside_the_slices_is_no_scan() -> None:
    """So bent that nothing of what was asked for lies in the few slices around the middle."""
    assert scan_of(2000)[1] is None


def test_both_labellers_on_one_phantom() -> None:
    """The first counts from the dens, or names nothing without an anchor; a second that knows the truth agrees."""
    for number, anchor in ((9100, False), (9125, True)):
        visible, seen = scan_of(number)
        assert visible == 5
        assert seen is not None
        bones = [int(n) for n in np.unique(seen.truth) if 0 < n < SACRUM_ID]
        engine = Once(Knowing(seen))
        told = examined(engine, seen)
        assert told["called"] == told["true"]
        assert told["dice"] > 0.9
        joined = both(seen.image, seen.structures, seen.truth, engine, np.random.default_rng(1))
        assert anchor == (bones[0] == LEVEL_IDS["C2"])
        assert joined["first"]["names"] == (bones if anchor else [])
        assert joined["both"] == {"names": bones, "flagged": not anchor}
        assert joined["verdict"] == ("agree" if anchor else "only one could name")
    places = soiled(seen.truth.shape, np.random.default_rng(1))
    moved = (seen.truth != seen.truth[places]) & (seen.truth > 0)
    assert 0.02 < moved.sum() / (seen.truth > 0).sum() < 0.3
    report = first_report(seen.image, seen.structures, np.where(seen.truth == bones[-1], 0, seen.truth))
    assert len(report.levels.choices) == len(bones) - 1


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
