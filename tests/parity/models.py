"""Seeded model folders of all three kinds, fitted to the parity phantoms so that a whole run finds a whole spine.

    python -m tests.parity.models FOLDER

The phantoms' images show each structure in a grey value of its own, so that a small network learns them in a minute;
the point is the arithmetic around and in the networks, not what they know.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spineps_pacs.analysis.corpora import corpus_centres
from spineps_pacs.analysis.cutouts import classes, cut, places
from spineps_pacs.analysis.geometry import nearest
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.semantic import SemanticSettings, prepare
from spineps_pacs.domain.ports import SemanticGrid
from spineps_pacs.domain.volume import Volume
from spineps_pacs.engines.densenet import Classifier, DenseNet
from spineps_pacs.engines.unet3d import Unet3D
from spineps_pacs.engines.vertebra import channels_of
from tests.engines import folders
from tests.parity import cases, stages

GRID = (1.5, 1.5, 2.4)
INPUT = (1.0, 1.0, 3.3)
CUTOUT = (80, 96, 32)
PATCH = (16, 96, 64)
LABELS = (0, 26, 41, 42, 43, 44, 45, 46, 47, 48, 49, 60, 61, 62, 100)
FITTED_ON = (("plain", 1), ("scoliosis", 2))
HEADS = stages.HEADS
SEMANTIC_STEPS, INSTANCE_STEPS = 260, 420


def coloured(spine: cases.Truth, seed: int) -> NDArray[np.int16]:
    """An image in which every structure has a grey value of its own, with noise and a smooth bias."""
    rng = np.random.default_rng(seed)
    values = np.zeros(256)
    values[list(LABELS)] = np.linspace(80, 1400, len(LABELS))
    ramp = np.linspace(0.97, 1.03, spine.structures.shape[1])[None, :, None]
    image = values[spine.structures] * ramp + rng.normal(0, 8, spine.structures.shape)
    return np.clip(np.round(image), 0, 1500).astype(np.int16)


Pairs = Iterator[tuple[torch.Tensor, torch.Tensor]]


def _fit(network: torch.nn.Module, samples: Pairs, steps: int, rate: float) -> float:
    """Adam on cross-entropy, classes of a sample weighed alike; gives the last loss."""
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps)
    loss = torch.tensor(0.0)
    for _, (given, wanted) in zip(range(steps), samples, strict=False):
        scores = network(given)
        counts = torch.bincount(wanted.ravel(), minlength=scores.shape[1]).float()
        weights = torch.where(counts > 0, 1 / (counts + 200), 0.0)
        loss = torch.nn.functional.cross_entropy(scores, wanted, weights / weights.sum() * scores.shape[1])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    return float(loss.detach())


def semantic(folder: Path) -> float:
    """A small nnU-Net, fitted to whole spines on the model's grid."""
    ready = []
    for name, seed in FITTED_ON:
        spine = cases.truth(name, seed, INPUT)
        image = prepare(Volume(coloured(spine, seed), spine.geometry), SemanticGrid(GRID), SemanticSettings()).image
        truth = nearest(spine.structures, spine.geometry, image.geometry)
        values = image.voxels.astype(np.float32)
        ready.append(((values - values.mean()) / values.std(), np.searchsorted(LABELS, truth)))
    rng = np.random.default_rng(0)

    def samples() -> Pairs:
        while True:
            image, truth = ready[int(rng.integers(len(ready)))]
            p, i, r = (int(rng.integers(0, max(n - s, 0) + 1)) for n, s in zip(image.shape, PATCH[::-1], strict=True))
            part = (slice(p, p + PATCH[2]), slice(i, i + PATCH[1]), slice(r, r + PATCH[0]))
            given = np.ascontiguousarray(image[part].transpose(2, 1, 0))
            wanted = np.ascontiguousarray(truth[part].transpose(2, 1, 0))
            yield torch.from_numpy(given)[None, None], torch.from_numpy(wanted)[None].long()

    features = [16, 24, 32]
    network = _unet(features)
    loss = _fit(network, samples(), SEMANTIC_STEPS, 1e-2)
    names = {f"c{n}": n for n in range(1, len(LABELS))}
    config = {
        "resolution_range": list(GRID), "labels": {str(n): label for n, label in enumerate(LABELS) if n},
        "inference_augmentation": True,
    }  # fmt: skip
    changes: dict[str, Any] = {"patch_size": list(PATCH), "spacing": list(GRID[::-1])}
    folders.semantic_folder(folder, labels={"background": 0, **names}, config=config, changes=changes)
    plan = folders.plans(False, **changes)
    plan["configurations"]["base"]["architecture"]["arch_kwargs"]["features_per_stage"] = features
    folders.write(folder / "plans.json", plan)
    folders.save_fold(folder, "0", network.state_dict())
    return loss


def _unet(features: list[int]) -> torch.nn.Module:
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    torch.manual_seed(7)
    bricks = {"conv_op": torch.nn.Conv3d, "norm_op": torch.nn.InstanceNorm3d, "nonlin": torch.nn.LeakyReLU}
    kwargs = dict(folders.architecture()["arch_kwargs"]) | bricks | {"features_per_stage": features}
    return PlainConvUNet(input_channels=1, num_classes=len(LABELS), deep_supervision=False, **kwargs)


def instance(folder: Path) -> float:
    """A small instance network of the new layout, fitted to cutouts of true structures."""
    volume = float(np.prod(GRID))
    plan = stages.CutoutPlan(GRID, CUTOUT, 11, stages.CLASSES, 20 * volume, 100 * volume)
    shown: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for name, seed in FITTED_ON:
        spine = cases.truth(name, seed, GRID)
        known = classes(spine.structures, plan)
        found = corpus_centres(spine.structures, GRID[1], 11, Mode.CORRECTED)
        wanted = places(found, known, plan)
        arrays = cut(known, spine.geometry, wanted).arrays
        shown += [(a, _parts(spine.vertebrae, p, a.shape)) for a, p in zip(arrays, wanted, strict=True)]
    rng = np.random.default_rng(1)

    def samples() -> Pairs:
        while True:
            given, truth = shown[int(rng.integers(len(shown)))]
            yield channels_of(torch.from_numpy(given)[None], 11).float(), torch.from_numpy(truth)[None].long()

    torch.manual_seed(3)
    network = Unet3D(8, 11)
    loss = _fit(network, samples(), INSTANCE_STEPS, 3e-3)
    config = {
        "cutout_size": list(CUTOUT), "resolution_range": list(GRID), "corpus_size_cleaning": 20,
        "vert_size_threshold": 100,
    }  # fmt: skip
    folders.instance_folder(folder, dim=8, channels=11, config=config)
    path = next(folder.glob("**/*weights*.ckpt"))
    content = torch.load(path, weights_only=False)
    content["state_dict"] = {f"network.{n}": t for n, t in network.state_dict().items()}
    torch.save(content, path)
    return loss


def _parts(vertebrae: NDArray[np.uint16], place: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """1 above, 2 centre, 3 below: the vertebra in the middle of a cutout and its neighbours."""
    part = vertebrae[place.box]
    at = tuple(n // 2 - s.start for n, s in zip(shape, place.inner, strict=True))
    near = part[max(at[0] - 6, 0) : at[0] + 6, max(at[1] - 3, 0) : at[1] + 3, max(at[2] - 3, 0) : at[2] + 3]
    votes = np.bincount(near[near > 0]) if (near > 0).any() else np.array([0])
    order = [n for n in np.unique(vertebrae) if n]
    middle = order.index(int(np.argmax(votes))) if votes.any() else -9
    out = np.zeros(shape, dtype=np.uint8)
    for step, number in ((-1, 1), (0, 2), (1, 3)):
        if 0 <= middle + step < len(order) and middle >= 0:
            out[place.inner][part == order[middle + step]] = number
    return out


def labeling(folder: Path) -> None:
    """A DenseNet121 with seeded weights; whatever it says, a whole spine has one numbering only."""
    torch.manual_seed(11)
    made = Classifier(DenseNet((6, 12, 24, 16)), {name: (512, n) for name, n in HEADS.items()})
    options = argparse.Namespace(
        backbone="DENSENET121", num_classes=24, in_channel=1, final_size=(64, 72, 24), ds_name="v4corpus",
        classification_conv=False, classification_linear=True, n_epoch=1, lr=1e-4, l2_regularization_w=1e-6,
        scheduler_endfactor=1e-3, not_pretrained=True, mse_weighting=0.0, dropout=0.05, weight_decay=0,
        n_channel_p_group=None,
    )  # fmt: skip
    content = {
        "state_dict": made.state_dict(), "pytorch-lightning_version": "2.6.6",
        "hyper_parameters": {"opt": options, "group_2_n_channel": dict(HEADS)},
    }  # fmt: skip
    folders.write(folder / "inference_config.json", folders.LABELING | {"resolution_range": [1.5, 1.5, 3.3]})
    torch.save(content, folder / "epoch=3-val_f1=0.90valf1-weights.ckpt")


def main(root: Path) -> int:
    """All three, one after the other."""
    torch.set_num_threads(2)
    for name, make in (("labeling", labeling), ("instance", instance), ("semantic", semantic)):
        (root / name).mkdir(parents=True, exist_ok=True)
        loss = make(root / name)
        sys.stdout.write(f"{name}: {'seeded' if loss is None else f'loss {loss:.3f}'}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
