"""Model folders of all three kinds for whole runs: the embedded networks, and a classifier fitted to phantoms.

The embedded networks lie in the layout that SPINEPS publishes and find a whole spine in a phantom's image. The
classifier's heads are fitted when the folders are made (`fitted.py`). One with seeded heads is for single patches.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import shutil
from pathlib import Path

import torch

from spineps_pacs.engines.densenet import Classifier, DenseNet
from tests.engines import folders
from tests.parity import fitted

EMBEDDED = Path(__file__).parents[2] / "spineps_pacs" / "engines" / "defaults"
STEP = 0.9
"""Tiles lie further apart than the embedded model wants, to save half of the time."""
SURE = 30.0
"""What the last weights of the seeded classifier are multiplied by."""
PATCH = (48, 56, 32)
SEEDED, FITTED = "epoch=3-val_f1=0.00valf1-weights.ckpt", "epoch=9-val_f1=0.50valf1-weights.ckpt"
"""Of several the reference takes the last by name."""
BLOCKS = (6, 12, 24, 16)
"""DenseNet121."""
HIDDEN = 512
"""Width of the heads' inner layer: half of the features, or the reference does not load it."""


def main(root: Path) -> None:
    """All three below one folder."""
    for kind in ("semantic", "instance"):
        shutil.copytree(EMBEDDED / kind, root / kind, dirs_exist_ok=True)
    path = root / "semantic" / "inference_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"default_step_size": STEP}), encoding="utf-8")
    write(fitted.fitted(BLOCKS, dict(folders.HEADS), HIDDEN, PATCH), root / "labeling" / FITTED)


def stale(root: Path) -> bool:
    """True where the folders are not there, or were made of other embedded networks."""
    weights = ("semantic/fold_0/checkpoint_final.pth", "instance/synthetic-spine-weights.ckpt")
    same = all((root / w).is_file() and filecmp.cmp(root / w, EMBEDDED / w, False) for w in weights)
    return not (same and (root / "labeling" / FITTED).is_file())


def labeling(folder: Path) -> None:
    """A DenseNet121 with seeded weights behind all heads that are published; its scores are far apart."""
    torch.manual_seed(11)
    made = Classifier(DenseNet(BLOCKS), {name: (HIDDEN, n) for name, n in folders.HEADS.items()})
    for layers in made.classification_heads.values():
        layers[2].weight.data.mul_(SURE)
    write(made, folder / SEEDED)


def write(made: Classifier, file: Path) -> None:
    """A classifier as Lightning writes it, with the options that the reference asks for."""
    options = argparse.Namespace(
        backbone="DENSENET121", num_classes=24, in_channel=1, final_size=PATCH, ds_name="v4corpus",
        classification_conv=False, classification_linear=True, n_epoch=1, lr=1e-4, l2_regularization_w=1e-6,
        scheduler_endfactor=1e-3, not_pretrained=True, mse_weighting=0.0, dropout=0.05, weight_decay=0,
        n_channel_p_group=None,
    )  # fmt: skip
    content = {
        "state_dict": made.state_dict(), "pytorch-lightning_version": "2.6.6",
        "hyper_parameters": {"opt": options, "group_2_n_channel": dict(folders.HEADS)},
    }  # fmt: skip
    folders.write(file.parent / "inference_config.json", folders.LABELING | {"resolution_range": [1.5, 1.5, 3.3]})
    torch.save(content, file)
