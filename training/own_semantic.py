"""Trains a semantic network on a user's own cases with nnU-Net: raw data, plan, preprocessing, folds, model folder."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spineps_pacs.domain.errors import Unusable
from training.export import semantic_config
from training.own_cases import Spacing, find_cases, prepared_cases, write_image
from training.recipe import CLASSES, class_table

NUMBER, NAME, CONFIGURATION = 501, "Dataset501_OwnSpines", "3d_fullres"
TRAINER = "nnUNetTrainerNoMirroring"
"""Left and right are classes of their own, so images may not be mirrored."""


@dataclass(frozen=True)
class Settings:
    """The paper's settings (Appendix A). Spacing and patch are P, I, R; `spacing` None leaves the grid to nnU-Net."""

    spacing: Spacing | None = (0.75, 0.75, 1.65)
    patch: tuple[int, int, int] | None = (256, 256, 64)
    batch: int = 2
    epochs: int = 1000
    folds: int = 3
    iterations: int = 250
    device: str = "cuda"
    processes: int = 4


def train_semantic(cases: Path, work: Path, out: Path, settings: Settings) -> None:
    """Everything from the user's folder to a finished model folder; folds that are finished are not trained again."""
    _say_where(work, settings)
    write_raw(cases, work / "raw" / NAME, settings)
    plans = _planned(work / "preprocessed" / NAME, settings)
    _split([files.name for files in find_cases(cases)], work / "preprocessed" / NAME / "splits_final.json", settings)
    for fold in range(settings.folds):
        _train_fold(fold, work, settings)
    collect(work / "results" / NAME / f"{TRAINER}__nnUNetPlans__{CONFIGURATION}", out, plans, settings)


def _say_where(work: Path, settings: Settings) -> None:
    """nnU-Net takes its folders from the environment, and reads it once, when it is imported."""
    if (known := sys.modules.get("nnunetv2.paths")) is not None and known.nnUNet_raw != str(work / "raw"):
        raise Unusable(
            "nnU-Net was imported before it was told its folders; begin the training in a process of its own"
        )
    os.environ |= {
        "nnUNet_raw": str(work / "raw"),
        "nnUNet_preprocessed": str(work / "preprocessed"),
        "nnUNet_results": str(work / "results"),
        "nnUNet_n_proc_DA": str(settings.processes),
    }


def write_raw(cases: Path, folder: Path, settings: Settings) -> None:
    """nnU-Net's raw data set: images in one orientation and grid, labels as network classes."""
    (folder / "imagesTr").mkdir(parents=True, exist_ok=True)
    (folder / "labelsTr").mkdir(exist_ok=True)
    table, count = np.array(class_table(), dtype=np.uint8), 0
    for case in prepared_cases(cases, settings.spacing):
        write_image(folder / "imagesTr" / f"{case.name}_0000.nii.gz", case.image, case.geometry)
        write_image(folder / "labelsTr" / f"{case.name}.nii.gz", table[case.structures], case.geometry)
        count += 1
    labels = {"background": 0} | {f"spineps_{identity}": n for n, identity in enumerate(CLASSES, start=1)}
    content = {"channel_names": {"0": "T2w"}, "labels": labels, "numTraining": count, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(content, indent=2))


def _planned(folder: Path, settings: Settings) -> dict[str, Any]:
    """nnU-Net's fingerprint and plan with the wanted patch, and the preprocessed cases."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    extract_fingerprints([NUMBER], num_processes=settings.processes, check_dataset_integrity=True)
    wanted = tuple(reversed(settings.spacing)) if settings.spacing else None
    plan_experiments([NUMBER], overwrite_target_spacing=wanted)
    path = folder / "nnUNetPlans.json"
    plans: dict[str, Any] = json.loads(path.read_text())
    configuration = plans["configurations"][CONFIGURATION]
    if settings.patch:
        with_patch(configuration, settings.patch[::-1], plans["transpose_forward"])
    configuration["batch_size"] = settings.batch
    path.write_text(json.dumps(plans, indent=2))
    preprocess([NUMBER], configurations=(CONFIGURATION,), num_processes=(settings.processes,))
    return plans


def with_patch(configuration: dict[str, Any], patch_rip: Sequence[int], forward: Sequence[int]) -> None:
    """Gives a planned configuration another patch, and the network the depth that nnU-Net derives from it."""
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

    turned = [patch_rip[axis] for axis in forward]
    _, strides, kernels, patch, _ = get_pool_and_conv_props(configuration["spacing"], turned, 4, 999999)
    stages = len(strides)
    configuration["patch_size"] = [int(n) for n in patch]
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": stages,
        "features_per_stage": [min(32 * 2**stage, 320) for stage in range(stages)],
        "kernel_sizes": [list(k) for k in kernels],
        "strides": [list(s) for s in strides],
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }


def _split(names: Sequence[str], path: Path, settings: Settings) -> None:
    """As many folds as are trained; every case validates once."""
    if len(names) <= settings.folds:
        raise ValueError(f"{settings.folds} folds need more than {settings.folds} cases, not {len(names)}")
    order = [str(n) for n in np.random.default_rng(12345).permutation(sorted(names))]
    parts = [order[fold :: settings.folds] for fold in range(settings.folds)]
    folds = [{"train": sorted(set(order) - set(part)), "val": sorted(part)} for part in parts]
    path.write_text(json.dumps(folds, indent=2))


def _train_fold(fold: int, work: Path, settings: Settings) -> None:
    import torch
    from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import (
        nnUNetTrainerNoMirroring,
    )

    folder = work / "results" / NAME / f"{TRAINER}__nnUNetPlans__{CONFIGURATION}" / f"fold_{fold}"
    if (folder / "checkpoint_final.pth").exists():
        return
    prepared, latest = work / "preprocessed" / NAME, folder / "checkpoint_latest.pth"
    plans = json.loads((prepared / "nnUNetPlans.json").read_text())
    trainer = nnUNetTrainerNoMirroring(
        plans=plans | {"continue_training": latest.exists()},
        configuration=CONFIGURATION,
        fold=fold,
        dataset_json=json.loads((prepared / "dataset.json").read_text()),
        device=torch.device(settings.device),
    )
    trainer.num_epochs = settings.epochs
    trainer.num_iterations_per_epoch = settings.iterations
    trainer.num_val_iterations_per_epoch = max(1, settings.iterations // 5)
    trainer.save_every = min(50, max(1, settings.epochs // 20))
    if latest.exists():
        trainer.load_checkpoint(str(latest))
    trainer.run_training()


def collect(trained: Path, out: Path, plans: dict[str, Any], settings: Settings) -> None:
    """The model folder: nnU-Net's own files and inference_config.json."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("plans.json", "dataset.json"):
        shutil.copyfile(trained / name, out / name)
    for fold in range(settings.folds):
        (out / f"fold_{fold}").mkdir(exist_ok=True)
        shutil.copyfile(
            trained / f"fold_{fold}" / "checkpoint_final.pth", out / f"fold_{fold}" / "checkpoint_final.pth"
        )
    spacing = plans["configurations"][CONFIGURATION]["spacing"]
    backward = plans["transpose_backward"]
    config = semantic_config() | {
        "log_name": out.name,
        "demonstration": False,
        "available_folds": settings.folds,
        "default_step_size": 0.5,
        "resolution_range": list(settings.spacing or [spacing[axis] for axis in backward][::-1]),
    }
    (out / "inference_config.json").write_text(json.dumps(config, indent=2) + "\n")
