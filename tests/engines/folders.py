"""Model folders as SPINEPS lays them out, with tiny seeded networks."""

from __future__ import annotations

import argparse
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

PATCH = (8, 16, 24)
SPACING = (1.65, 0.75, 0.75)
KERNELS = [[1, 3, 3], [3, 3, 3], [3, 3, 3]]
STRIDES = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]
LABELS = {"background": 0, "corpus": 1, "disc": 2, "canal": 3}
NAMES = {"1": "Vertebra_Corpus_border", "2": "Vertebra_Disc", "3": 61}

SEMANTIC: dict[str, Any] = {
    "log_name": "tiny", "modality": "T2w", "acquisition": "sag", "modeltype": "nnunet",
    "model_expected_orientation": ["P", "I", "R"], "available_folds": 1, "inference_augmentation": False,
    "resolution_range": [0.75, 0.75, 1.65], "default_step_size": 0.5, "labels": NAMES,
}  # fmt: skip
INSTANCE = SEMANTIC | {"modality": "SEG", "modeltype": "unet", "labels": {}, "expected_inputs": ["seg"],
                       "cutout_size": [16, 24, 8]}  # fmt: skip
LABELING = SEMANTIC | {"modeltype": "classifier", "labels": {}}


def architecture(name: str = "PlainConvUNet") -> dict[str, Any]:
    """The block of a new-style plan."""
    blocks = "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage"
    home = "torch.nn.modules"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": 3, "features_per_stage": [4, 6, 8], "conv_op": f"{home}.conv.Conv3d", "kernel_sizes": KERNELS,
            "strides": STRIDES, blocks: [1, 1, 1], "n_conv_per_stage_decoder": [1, 1], "conv_bias": True,
            "norm_op": f"{home}.instancenorm.InstanceNorm3d", "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }  # fmt: skip


def resampling(order: int, segmentation: bool = False) -> dict[str, Any]:
    """Options of nnU-Net's resampler."""
    return {"is_seg": segmentation, "order": order, "order_z": 0, "force_separate_z": None}


def plans(old: bool, name: str = "PlainConvUNet", **changes: Any) -> dict[str, Any]:
    """`plans.json` in either style, its configuration inherited from another."""
    configuration: dict[str, Any] = {
        "data_identifier": "tiny", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": list(PATCH), "median_image_size_in_voxels": [20, 40, 40], "spacing": list(SPACING),
        "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False], "batch_dice": False,
        "resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_data_kwargs": resampling(3),
        "resampling_fn_seg": "resample_data_or_seg_to_shape", "resampling_fn_seg_kwargs": resampling(1, True),
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling(1),
    }  # fmt: skip
    if old:
        configuration |= {
            "UNet_class_name": name, "UNet_base_num_features": 4, "unet_max_num_features": 8,
            "n_conv_per_stage_encoder": [1, 1, 1], "n_conv_per_stage_decoder": [1, 1], "num_pool_per_axis": [1, 2, 2],
            "pool_op_kernel_sizes": STRIDES, "conv_kernel_sizes": KERNELS,
        }  # fmt: skip
    else:
        configuration["architecture"] = architecture(name)
    return {
        "dataset_name": "Dataset001_tiny", "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
        "original_median_spacing_after_transp": list(SPACING), "original_median_shape_after_transp": [20, 40, 40],
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "label_manager": "LabelManager",
        "experiment_planner_used": "ExperimentPlanner",
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": 500.0, "std": 200.0, "percentile_00_5": 20.0, "percentile_99_5": 1200.0, "max": 1500.0,
                  "min": 0.0, "median": 480.0}
        },
        "configurations": {"base": configuration, "3d_fullres": {"inherits_from": "base", **changes}},
    }  # fmt: skip


def network(seed: int, heads: int = 4, name: str = "PlainConvUNet", old: bool = False) -> torch.nn.Module:
    """A seeded network of the tiny plan."""
    from dynamic_network_architectures.architectures import unet

    kwargs = dict(architecture(name)["arch_kwargs"])
    features = [4, 8, 8] if old else [4, 6, 8]
    bricks = {"conv_op": torch.nn.Conv3d, "norm_op": torch.nn.InstanceNorm3d, "nonlin": torch.nn.LeakyReLU}
    torch.manual_seed(seed)
    made = getattr(unet, name)(
        input_channels=1,
        num_classes=heads,
        deep_supervision=False,
        **kwargs | bricks | {"features_per_stage": features},
    )
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def save_fold(folder: Path, fold: str, weights: Mapping[str, torch.Tensor], file: str = "checkpoint_final.pth") -> None:
    """A checkpoint as nnU-Net's trainer writes it, with what it also holds."""
    (folder / f"fold_{fold}").mkdir(parents=True, exist_ok=True)
    content = {
        "network_weights": OrderedDict(weights), "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None, "logging": {"mean_fg_dice": [np.float64(0.5)], "ema_fg_dice": [np.float32(0.4)]},
        "_best_ema": np.float64(0.5), "current_epoch": 3,
        "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer", "inference_allowed_mirroring_axes": (0, 1, 2),
    }  # fmt: skip
    torch.save(content, folder / f"fold_{fold}" / file)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def semantic_folder(
    folder: Path,
    *,
    old: bool = False,
    folds: Sequence[str] = ("0",),
    labels: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    name: str = "PlainConvUNet",
) -> Path:
    """A whole semantic model folder; every fold has other weights."""
    dataset: dict[str, Any] = {
        "channel_names": {"0": "MRI"}, "labels": dict(labels or LABELS), "numTraining": 1, "file_ending": ".nii.gz",
    }  # fmt: skip
    ignored = len([n for n in dataset["labels"] if n == "ignore"])
    heads = len(dataset["labels"]) - ignored
    if any(isinstance(v, list) for v in dataset["labels"].values()):
        dataset["regions_class_order"] = list(range(1, heads))
        heads -= 1
    write(folder / "inference_config.json", SEMANTIC | {"available_folds": list(folds)} | dict(config or {}))
    write(folder / "plans.json", plans(old, name, **dict(changes or {})))
    write(folder / "dataset.json", dataset)
    for seed, fold in enumerate(folds):
        save_fold(folder, fold, network(seed, heads, name, old).state_dict())
    return folder


def instance_folder(folder: Path, dim: int = 16, channels: int = 10, config: Mapping[str, Any] | None = None) -> Path:
    """An instance model folder: a Lightning checkpoint, legacy or new layout."""
    from spineps_pacs.engines.unet3d import Unet3D

    torch.manual_seed(dim + channels)
    weights = {f"network.{name}": tensor for name, tensor in Unet3D(dim, channels).state_dict().items()}
    opt = argparse.Namespace(
        channelwise=channels > 1, n_epoch=1, lr=1e-4, lr_end_factor=0.01, l2_reg_w=1e-6, dsc_loss_w=1.0
    )
    write(folder / "inference_config.json", INSTANCE | dict(config or {}))
    content = {"state_dict": weights, "hyper_parameters": {"opt": opt, "do2D": False},
               "pytorch-lightning_version": "2.0.0", "epoch": 1}  # fmt: skip
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / "logs" / "epoch=1-weights.ckpt")
    return folder


HEADS = {"REGION": 3, "VERT": 24, "VERTEX": 26, "VT13": 2, "VERTREL": 6, "VERTGRP": 12, "FULLYVISIBLE": 2}


def labeling_folder(folder: Path, heads: Mapping[str, int] | None = None, opt: Mapping[str, Any] | None = None) -> Path:
    """A labelling model folder: a small DenseNet of the published names, its options pickled as an object."""
    from spineps_pacs.engines.densenet import Classifier, DenseNet

    counts = dict(heads or HEADS)
    torch.manual_seed(11)
    made = Classifier(DenseNet((1, 2), first=8, growth=4), {name: (4, n) for name, n in counts.items()})
    for name, tensor in made.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    options = {"backbone": "DENSENET169", "num_classes": 24, "in_channel": 1, "final_size": (16, 24, 8)}
    content = {
        "state_dict": made.state_dict(),
        "hyper_parameters": {"opt": argparse.Namespace(**options | dict(opt or {})), "group_2_n_channel": counts},
    }
    write(folder / "inference_config.json", LABELING)
    torch.save(content, folder / "epoch=3-val_f1=0.90valf1-weights.ckpt")
    return folder
