"""Writes trained networks as model folders: the semantic one as nnU-Net v2 does, the instance one as Lightning does.

python -m training.export --semantic CHECKPOINT --instance CHECKPOINT [--out spineps_pacs/engines/defaults]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from spineps_pacs.engines.unet3d import Unet3D
from training.network import build
from training.recipe import (
    ARCHITECTURE,
    CLASSES,
    CUTOUT_CHANNELS,
    CUTOUT_DIM,
    CUTOUT_PIR,
    CUTOUT_SPACING_PIR,
    GRID_RANGE_PIR,
    MAPPING,
    PATCH_RIP,
    SPACING_RIP,
)
from training.running import averaged

LOG_NAME = "spineps-pacs embedded demonstration model"
VERSION = "1"
STEP_SIZE = 0.6
DATASET = "Dataset001_SyntheticSpine"
_NO_INTENSITIES = dict.fromkeys(("max", "mean", "median", "min", "percentile_00_5", "percentile_99_5", "std"), 0.0)

Json = dict[str, Any]


def semantic_config() -> Json:
    """inference_config.json of the semantic model, every field."""
    return {
        "log_name": LOG_NAME,
        "version": VERSION,
        "demonstration": True,
        "modality": ["T2w"],
        "acquisition": "sag",
        "modeltype": "nnunet",
        "model_expected_orientation": ["P", "I", "R"],
        "available_folds": 1,
        "inference_augmentation": False,
        "resolution_range": [list(spacing) for spacing in GRID_RANGE_PIR],
        "default_step_size": STEP_SIZE,
        "labels": {str(number): identity for number, identity in enumerate(CLASSES, start=1)},
        "expected_inputs": ["img"],
        "has_c1": False,
        "needs_corp": False,
        "sacrum_ids": [26],
        "metal": [],
    }


def plans() -> Json:
    """plans.json of a single 3-D configuration, in nnU-Net's axis order (R, I, P) of a PIR file."""
    kwargs = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": False}
    resampling = "resample_data_or_seg_to_shape"
    configuration: Json = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 1,
        "patch_size": list(PATCH_RIP),
        "median_image_size_in_voxels": [26, 300, 180],
        "spacing": list(SPACING_RIP),
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": resampling,
        "resampling_fn_seg": resampling,
        "resampling_fn_data_kwargs": kwargs,
        "resampling_fn_seg_kwargs": kwargs | {"is_seg": True, "order": 1},
        "resampling_fn_probabilities": resampling,
        "resampling_fn_probabilities_kwargs": kwargs | {"order": 1},
        "architecture": ARCHITECTURE,
        "batch_dice": False,
    }
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(SPACING_RIP),
        "original_median_shape_after_transp": [26, 300, 180],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": _NO_INTENSITIES},
    }


def dataset() -> Json:
    """dataset.json: one channel, background and 14 classes named by their SPINEPS ids."""
    names = {"background": 0} | {f"spineps_{identity}": number for number, identity in enumerate(CLASSES, start=1)}
    return {
        "channel_names": {"0": "T2w"},
        "labels": names,
        "numTraining": 1,
        "file_ending": ".nii.gz",
        "name": DATASET,
        "description": "synthetic spines only; no patient",
        "licence": "Apache-2.0",
    }


def halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Half precision, and one storage for all keys that shared one before."""
    made: dict[int, torch.Tensor] = {}
    return {key: made.setdefault(value.data_ptr(), value.detach().half().contiguous()) for key, value in state.items()}


def write_semantic(checkpoint: Path, folder: Path) -> None:
    """The semantic model folder."""
    network = averaged(checkpoint, build(deep_supervision=True))
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    for name, content in (("inference_config", semantic_config()), ("plans", plans()), ("dataset", dataset())):
        _write_json(folder / f"{name}.json", content)
    content = {
        "network_weights": halved(network.state_dict()),
        "init_args": {"plans": plans(), "configuration": "3d_fullres", "fold": 0, "dataset_json": dataset()},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(content, folder / "fold_0" / "checkpoint_final.pth")


def instance_config() -> Json:
    """inference_config.json of the instance model, every field."""
    return {
        "log_name": LOG_NAME,
        "version": VERSION,
        "demonstration": True,
        "modality": ["SEG"],
        "acquisition": "sag",
        "modeltype": "unet",
        "model_expected_orientation": ["P", "I", "R"],
        "available_folds": 1,
        "inference_augmentation": False,
        "resolution_range": list(CUTOUT_SPACING_PIR),
        "default_step_size": 0.5,
        "labels": {"1": 1, "2": 2, "3": 3},
        "expected_inputs": ["seg"],
        "cutout_size": list(CUTOUT_PIR),
        "corpus_size_cleaning": 15,
        "corpus_border_threshold": 10,
        "vert_size_threshold": 77,
        "mapping": {str(identity): number for identity, number in MAPPING.items()} | {"26": 0},
        "sacrum_ids": [26],
        "metal": [],
    }


def write_instance(checkpoint: Path, folder: Path) -> None:
    """The instance model folder: a Lightning checkpoint of the new layout, dim and channels in its hyper-parameters."""
    network = averaged(checkpoint, Unet3D(CUTOUT_DIM, CUTOUT_CHANNELS))
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "inference_config.json", instance_config())
    state = {f"network.{key}": value for key, value in halved(network.state_dict()).items()}
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": state,
        "hyper_parameters": instance_parameters(CUTOUT_CHANNELS, CUTOUT_DIM),
    }
    torch.save(content, folder / "synthetic-spine-weights.ckpt")


def instance_parameters(channels: int, dim: int) -> Json:
    """Hyper-parameters without which SPINEPS does not load an instance checkpoint; only shape and channels matter."""
    options = argparse.Namespace(
        channelwise=True,
        n_epoch=0,
        lr=0.0,
        lr_end_factor=0.0,
        l2_reg_w=0.0,
        dsc_loss_w=0.0,
        num_channels=channels,
        dim=dim,
    )
    return {"opt": options, "do2D": False, "num_channels": channels, "dim": dim}


def _write_json(path: Path, content: Json) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    """Reads the command line and writes the folders that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--semantic", type=Path)
    parser.add_argument("--instance", type=Path)
    parser.add_argument("--out", type=Path, default=Path("spineps_pacs/engines/defaults"))
    given = parser.parse_args()
    if given.semantic:
        write_semantic(given.semantic, given.out / "semantic")
    if given.instance:
        write_instance(given.instance, given.out / "instance")


if __name__ == "__main__":
    main()
