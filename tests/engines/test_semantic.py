"""The semantic engine answers as nnU-Net's own predictor does, for every layout of model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spineps_pacs.domain.errors import Cancelled, ModelError, Unusable
from spineps_pacs.domain.ports import ModelInfo, unwatched
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.engines import window as window_module
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.semantic import NnUnetEngine, files_used, lookup, regions
from spineps_pacs.engines.weights import open_model
from spineps_pacs.engines.window import Window, accumulate, gaussian, slide, tiles
from tests.engines import folders

INFO = ModelInfo("semantic", "tiny", "v1", "0" * 64)


def volume(shape: tuple[int, int, int] = (34, 27, 13), spacing: tuple[float, ...] = (0.75, 0.75, 1.65)) -> Volume:
    voxels = np.random.default_rng(3).integers(0, 1200, shape).astype(np.uint16)
    voxels[:3], voxels[:, -2:] = 0, 0
    return Volume(voxels, Geometry(np.diag([*spacing, 1.0]), shape))


def engine(folder: Path, **options: Any) -> NnUnetEngine:
    return NnUnetEngine(open_model(folder), INFO, EngineOptions(device="cpu", **options))


def nnunet_labels(folder: Path, image: Volume, folds: tuple[int, ...], mirroring: bool) -> np.ndarray:
    """What nnunetv2 itself makes of the image, handed over as the reference hands it over."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=mirroring, perform_everything_on_device=False, device=torch.device("cpu"))
    predictor.allow_tqdm = False
    predictor.initialize_from_trained_model_folder(str(folder), folds)
    array = image.voxels.astype(np.float32).transpose(2, 1, 0)[None]
    spacing = [float(z) for z in image.geometry.spacing[::-1]]
    labels = predictor.predict_single_npy_array(array, {"spacing": spacing}, None, None, False)
    return np.asarray(labels).transpose(2, 1, 0)


@pytest.fixture
def rounded_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile's weights as nnunetv2 has them; SPINEPS rounds them before they are scaled."""

    def late(patch: tuple[int, int, int], kind: torch.dtype, peak: float) -> torch.Tensor:
        weight = gaussian(patch, torch.float64, peak).to(kind)
        return weight.masked_fill(weight == 0, float(weight[weight > 0].min()))

    monkeypatch.setattr(window_module, "gaussian", late)


CASES: dict[str, dict[str, Any]] = {
    "new": {},
    "old": {"old": True},
    "residual": {"name": "ResidualEncoderUNet"},
    "folds": {"folds": ("0", "1", "2")},
    "mirrored": {"config": {"inference_augmentation": True}},
    "masked": {"changes": {"use_mask_for_norm": [True]}},
    "ct": {"changes": {"normalization_schemes": ["CTNormalization"]}},
    "finer": {"changes": {"spacing": [1.2, 0.6, 0.7]}},
    "slices": {"changes": {"spacing": [3.3, 0.8, 0.7]}},
    "regions": {"labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "tip": 3}},
    "ignored": {"labels": {"background": 0, "a": 1, "b": 2, "c": 3, "d": 4, "ignore": 5}},
}


@pytest.mark.filterwarnings("ignore:Detected old nnU-Net plans format:UserWarning")
@pytest.mark.filterwarnings("ignore:.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("rounded_late")
def test_labels_are_those_of_nnunet(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Same folder, same image: the labels agree with nnunetv2 but for voxels that its half precision decides."""
    options = CASES[case]
    plain = {str(n): n for n in range(5)}
    config = {"labels": plain} | options.get("config", {})
    folder = folders.semantic_folder(tmp_path / "m", **options | {"config": config})
    image = volume()
    wanted = nnunet_labels(folder, image, tuple(range(len(options.get("folds", "0")))), case == "mirrored")
    for mode in ("corrected", "upstream"):
        got = engine(folder, mode=mode).predict(image, unwatched).labels
        assert got.shape == image.voxels.shape
        assert np.count_nonzero(got != wanted) <= 0.004 * got.size
    assert len(np.unique(wanted)) > 1


@pytest.mark.usefixtures("rounded_late")
def test_scores_are_those_of_nnunet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the labels are chosen, the weighted means of all tiles agree to single precision."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    folder = folders.semantic_folder(tmp_path / "m")
    predictor = nnUNetPredictor(use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"))
    predictor.allow_tqdm = False
    predictor.initialize_from_trained_model_folder(str(folder), (0,))
    data = torch.rand(1, 13, 33, 40, generator=torch.Generator().manual_seed(2))
    wanted = predictor.predict_sliding_window_return_logits(data)
    network = engine(folder)._runners[0]
    for half, peak, batch in ((True, 10.0, 1), (False, 1000.0, 3)):
        window = Window(folders.PATCH, 0.5, half=half, peak=peak)
        with torch.inference_mode():
            sums = accumulate(
                slide(network, data, window, batch, lambda _: None), data.shape[1:], 4, window, data.device
            )
        got = sums.scores / sums.weights
        if half:
            torch.testing.assert_close(got, wanted, rtol=0, atol=0)
        else:
            heavy = sums.weights > peak / 1000
            assert heavy.float().mean() > 0.7
            span = float(wanted.float().abs().max())
            torch.testing.assert_close(got[:, heavy], wanted[:, heavy].float(), rtol=0, atol=4e-3 * span)


def test_every_fold_is_heard(tmp_path: Path) -> None:
    """Three folds give three label arrays, each that of the fold alone, and a mean that is none of them."""
    together = folders.semantic_folder(tmp_path / "m", folds=("0", "1", "all"))
    image = volume()
    answer = engine(together).predict(image, unwatched)
    assert len(answer.folds) == 3
    for fold, labels in zip(("0", "1", "all"), answer.folds, strict=True):
        folders.write(together / "inference_config.json", folders.SEMANTIC | {"available_folds": fold})
        np.testing.assert_array_equal(engine(together).predict(image, unwatched).labels, labels)
    assert any((answer.labels != labels).any() for labels in answer.folds)


def test_a_number_of_folds_a_name_and_a_list_say_the_same(tmp_path: Path) -> None:
    """2, ["0", "1"] and [0, 1] are two folds; one fold gives no fold arrays."""
    folder = folders.semantic_folder(tmp_path / "m", folds=("0", "1"))
    for folds in (2, ["0", "1"], [0, 1]):
        folders.write(folder / "inference_config.json", folders.SEMANTIC | {"available_folds": folds})
        assert [p.parent.name for p in files_used(open_model(folder))[3:]] == ["fold_0", "fold_1"]
    folders.write(folder / "inference_config.json", folders.SEMANTIC | {"available_folds": 1})
    assert engine(folder).predict(volume(), unwatched).folds == ()


def test_best_checkpoints_and_fold_all_stand_in(tmp_path: Path) -> None:
    """Without final checkpoints the best ones are taken, without the folds asked for, fold `all`; else a sentence."""
    folder = folders.semantic_folder(tmp_path / "m", folds=("0",))
    (folder / "fold_0" / "checkpoint_final.pth").rename(folder / "fold_0" / "checkpoint_best.pth")
    assert files_used(open_model(folder))[-1].name == "checkpoint_best.pth"
    (folder / "fold_0").rename(folder / "fold_all")
    assert files_used(open_model(folder))[-1].parent.name == "fold_all"
    (folder / "fold_all").rename(folder / "elsewhere")
    with pytest.raises(ModelError, match=r"fold_0/checkpoint_final\.pth"):
        engine(folder)


def test_names_in_a_checkpoint_may_be_doubled_or_more(tmp_path: Path) -> None:
    """Other names for the same tensor, a wrapper's prefix and unknown extras change nothing; a missing one is named."""
    folder = folders.semantic_folder(tmp_path / "m")
    wanted = engine(folder).predict(volume(), unwatched).labels
    whole = folders.network(0).state_dict()
    assert any(name.startswith("decoder.encoder.") for name in whole)
    slim = {n: t for n, t in whole.items() if not n.startswith("decoder.encoder.") and ".all_modules." not in n}
    for weights in (slim, {f"module.{n}": t for n, t in slim.items()}, whole | {"loss.extra": torch.ones(3)}):
        folders.save_fold(folder, "0", weights)
        np.testing.assert_array_equal(engine(folder).predict(volume(), unwatched).labels, wanted)
    del slim["encoder.stages.1.0.convs.0.conv.weight"]
    folders.save_fold(folder, "0", slim)
    with pytest.raises(ModelError, match=r"lacks the weights encoder\.stages\.1\.0\.convs\.0"):
        engine(folder)
    folders.save_fold(folder, "0", {n: t[:1] for n, t in whole.items()})
    with pytest.raises(ModelError, match="the network has"):
        engine(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"network_class_name": "os.system"}, "system"),
        ({"network_class_name": "dynamic_network_architectures.architectures.primus.Primus"}, "Primus"),
        ({"_kw_requires_import": ["conv_op", "norm_op", "nonlin", "norm_op_kwargs"]}, "norm_op_kwargs"),
    ],
)
def test_a_plan_cannot_name_what_it_likes(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    """Networks and their parts come from a short list; nothing is imported by a name out of a file."""
    folder = folders.semantic_folder(tmp_path / "m")
    content = folders.plans(False)
    content["configurations"]["base"]["architecture"] |= change
    folders.write(folder / "plans.json", content)
    with pytest.raises(ModelError, match=sentence):
        engine(folder)


def test_a_small_image_is_padded_and_a_range_is_offered(tmp_path: Path) -> None:
    """An image smaller than a patch is answered in its own shape; a resolution range stands in the grid."""
    folder = folders.semantic_folder(tmp_path / "m", config={"resolution_range": [[0.5, 0.5, 1.0], [1.0, 1.0, 4.0]]})
    small = Volume(np.full((5, 7, 3), 9, np.int16), Geometry(np.diag([0.75, 0.75, 1.65, 1]), (5, 7, 3)))
    made = engine(folder)
    assert made.predict(small, unwatched).labels.shape == (5, 7, 3)
    assert (made.grid.spacing_pir, made.grid.largest_pir) == ((0.5, 0.5, 1.0), (1.0, 1.0, 4.0))


def test_an_empty_image_is_a_sentence(tmp_path: Path) -> None:
    """No voxel other than zero: nothing to do, said so."""
    empty = Volume(np.zeros((5, 7, 3), np.int16), Geometry(np.eye(4), (5, 7, 3)))
    with pytest.raises(Unusable, match="empty"):
        engine(folders.semantic_folder(tmp_path / "m")).predict(empty, unwatched)


def test_progress_counts_tiles_and_cancelling_passes_through(tmp_path: Path) -> None:
    """Told from nothing to all tiles of all folds, in order; what the watch raises comes out."""
    made = engine(folders.semantic_folder(tmp_path / "m", folds=("0", "1")), batch=2)
    told: list[tuple[int, int]] = []
    made.predict(volume(), lambda done, total: told.append((done, total)))
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1] == 2 * len(tiles((13, 27, 34), made.window))
    assert [done for done, _ in told] == sorted(done for done, _ in told)

    def stop(done: int, total: int) -> None:
        if done:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        made.predict(volume(), stop)


def test_batches_change_nothing(tmp_path: Path) -> None:
    """Tiles one by one or many at once: the same labels."""
    folder = folders.semantic_folder(tmp_path / "m")
    one, many = (engine(folder, batch=n).predict(volume(), unwatched).labels for n in (1, 5))
    assert np.count_nonzero(one != many) <= 2


def test_labels_are_named_and_regions_overwrite() -> None:
    """Classes become SPINEPS ids, unknown ones stay; a later region lies over an earlier one."""
    table = lookup(((1, 49), (2, 100)))
    np.testing.assert_array_equal(table[np.array([0, 1, 2, 3])], [0, 49, 100, 3])
    scores = torch.tensor([[1.0, 1.0, -1.0, 0.0], [-1.0, 2.0, -2.0, 0.0]])[:, :, None, None]
    assert regions(scores, (7, 9)).flatten().tolist() == [7, 9, 0, 0]


def test_several_images_are_refused(tmp_path: Path) -> None:
    """A model that wants more than the one image is refused by name."""
    folder = folders.semantic_folder(tmp_path / "m", config={"expected_inputs": ["water", "fat"]})
    with pytest.raises(ModelError, match="water"):
        engine(folder)


def test_what_needs_more_memory_than_is_allowed_is_refused_with_its_numbers(tmp_path: Path) -> None:
    """Before anything is computed; several folds need more, half precision less, a larger volume more."""
    one = folders.semantic_folder(tmp_path / "one")
    many = folders.semantic_folder(tmp_path / "many", folds=("0", "1"))
    shape = (48, 968, 349)
    plain = engine(one).needed_bytes(shape)
    assert engine(one, mode="upstream").needed_bytes(shape) < plain < engine(many).needed_bytes(shape)
    assert plain > 4 * 4 * 48 * 968 * 349
    told: list[tuple[int, int]] = []
    with pytest.raises(Unusable, match=r"13 x 25 x 31 voxels need 0\.0 GB.*1e-06 GB are allowed"):
        engine(one, max_memory_gb=1e-6).predict(volume(), lambda *counts: told.append(counts))
    assert told == []
    engine(one, max_memory_gb=1.0).predict(volume(), unwatched)


def test_the_grid_tells_how_much_room_there_is(tmp_path: Path) -> None:
    """What is allowed and what a volume needs, none without a ceiling; and the folder's ids of sacrum and metal."""
    one = folders.semantic_folder(tmp_path / "m", config={"sacrum_ids": [26, 29], "metal": 81, "has_c1": True})
    assert engine(one).grid.room is None
    assert (engine(one).grid.sacrum_ids, engine(one).grid.metal_ids, engine(one).grid.has_c1) == ((26, 29), (81,), True)
    limited = engine(one, max_memory_gb=2.0)
    room = limited.grid.room
    assert room is not None
    assert room.allowed == 2e9
    assert room.in_any_case + 1000 * room.each_voxel == limited.needed_bytes((10, 10, 10))
