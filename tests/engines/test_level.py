"""The labelling engine: the published names, one soft-max per head, all vertebrae at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.ports import Cutouts, ModelInfo, unwatched
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.engines.densenet import Classifier, DenseNet, ResNet, build_classifier
from spineps_pacs.engines.level import DenseLevelEngine
from spineps_pacs.engines.nnunet import load_weights
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.weights import open_model
from tests.engines import folders

INFO = ModelInfo("labeling", "tiny", "", "0" * 64)
SIZE = (16, 24, 8)
ALL_HEADS = {name: (832, count) for name, count in folders.HEADS.items()}


def engine(folder: Path) -> DenseLevelEngine:
    return DenseLevelEngine(open_model(folder), INFO, EngineOptions(device="cpu"))


def patches(count: int = 4) -> Cutouts:
    arrays = np.random.default_rng(1).normal(size=(count, *SIZE)).astype(np.float32)
    return Cutouts(arrays, (Geometry(np.eye(4), SIZE),) * count)


def test_names_and_size_are_those_of_the_published_checkpoint() -> None:
    """DenseNet169 with all heads: the names of the published weights, about 27 million values."""
    weights = Classifier(DenseNet((6, 12, 32, 32)), ALL_HEADS).state_dict()
    wanted = {
        "net.features.conv0.weight", "net.features.norm0.running_mean", "net.features.norm5.weight",
        "net.features.denseblock1.denselayer1.layers.norm1.weight",
        "net.features.denseblock4.denselayer32.layers.conv2.weight", "net.features.transition3.conv.weight",
        "net.features.transition1.norm.bias", "classification_heads.VERT.0.weight",
        "classification_heads.VT13.2.bias",
    }  # fmt: skip
    assert wanted <= set(weights)
    assert weights["classification_heads.VERT.0.weight"].shape == (832, 1664)
    assert sum(w.numel() for w in weights.values()) / 1e6 == pytest.approx(27, abs=4.5)


@pytest.mark.parametrize(
    "net", [DenseNet((2, 1), channels=2, first=16, growth=8), ResNet((1, 1)), ResNet((1, 2), deep=True)]
)
def test_a_network_is_rebuilt_from_its_weights_alone(net: torch.nn.Module) -> None:
    """Layout, widths and heads are read from names and shapes, for either backbone."""
    torch.manual_seed(3)
    made = Classifier(net, {"A": (5, 3), "B": (2,)}).eval()
    again = build_classifier(made.state_dict()).eval()
    load_weights(again, made.state_dict(), Path("x"))
    assert set(again.state_dict()) == set(made.state_dict())
    x = torch.rand(2, 2 if isinstance(net, DenseNet) else 1, 32, 32, 16)
    with torch.inference_mode():
        assert torch.equal(again(x), made(x))


def test_each_head_gives_probabilities_for_every_patch(tmp_path: Path) -> None:
    """All heads by name, classes as counted, rows that sum to one; the same for a patch alone."""
    made = engine(folders.labeling_folder(tmp_path / "m"))
    scores = made.predict(patches(), unwatched)
    assert dict(made.plan.heads) == folders.HEADS
    assert {name: array.shape for name, array in scores.items()} == {n: (4, c) for n, c in folders.HEADS.items()}
    for name, array in scores.items():
        np.testing.assert_allclose(array.sum(axis=1), 1, atol=1e-5)
        alone = made.predict(Cutouts(patches().arrays[2:3], patches().geometries[:1]), unwatched)
        np.testing.assert_allclose(alone[name][0], array[2], atol=1e-5)
    assert made.predict(Cutouts(np.empty((0, *SIZE), np.float32), ()), unwatched)["VERT"].shape == (0, 24)


def test_options_of_the_checkpoint_decide_size_and_turning(tmp_path: Path) -> None:
    """The patch size is the checkpoint's; patches are turned only where the training set's were."""
    assert engine(folders.labeling_folder(tmp_path / "a")).plan.rotate is False
    turned = engine(folders.labeling_folder(tmp_path / "b", opt={"ds_name": "sagittal_v4corpus_npz"}))
    assert (turned.plan.rotate, turned.plan.size_pir) == (True, SIZE)
    with pytest.raises(ModelError, match="patch size"):
        engine(folders.labeling_folder(tmp_path / "c", opt={"final_size": 7}))


def test_the_last_checkpoint_is_taken_and_wrong_ones_are_named(tmp_path: Path) -> None:
    """Several checkpoints: the last by name. None, or one that holds something else: a sentence."""
    folder = folders.labeling_folder(tmp_path / "m", {"VERT": 24})
    (folders.labeling_folder(tmp_path / "n", {"VT13": 2}) / "epoch=3-val_f1=0.90valf1-weights.ckpt").rename(
        folder / "epoch=4-val_f1=0.80valf1-weights.ckpt"
    )
    assert engine(folder).plan.heads == (("VT13", 2),)
    for path in folder.glob("*.ckpt"):
        torch.save({"state_dict": {"net.conv1.weight": torch.ones(2, 1, 1, 1, 1)}}, path)
    with pytest.raises(ModelError, match="holds no labelling network"):
        engine(folder)
    for path in folder.glob("*.ckpt"):
        path.unlink()
    with pytest.raises(ModelError, match="holds no file"):
        engine(folder)
