"""The labelling network behind the socket LevelEngine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.ports import Cutouts, ModelInfo, PatchPlan, Watch
from spineps_pacs.engines.densenet import Classifier, build_classifier, soft_max
from spineps_pacs.engines.device import Runner, batch_for, choose_device, in_bfloat16
from spineps_pacs.engines.lightning import Checkpoint, labeling_checkpoint, read_lightning
from spineps_pacs.engines.nnunet import load_weights
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.weights import Model

_SIZE = (152, 168, 32)
"""The patch (P, I, R) where a checkpoint states none."""
_TURNED = "v4corpus"
"""Training sets with this in their name held patches that were turned upright."""
_BATCH, _CPU_BATCH = 32, 4
"""On a CPU four patches at once take a seventh less time each; more gain nothing."""
_BYTES_PER_VOXEL = 600
"""Device memory that a patch is reckoned at, per voxel; a wrong guess costs a retry."""


class DenseLevelEngine:
    """Patches of image to soft-max scores per head."""

    def __init__(self, model: Model, info: ModelInfo, options: EngineOptions) -> None:
        self.info, self._options = info, options
        checkpoint = read_lightning(labeling_checkpoint(model.folder))
        network = _network(checkpoint)
        self.plan = PatchPlan(
            spacing_pir=model.config.spacing,
            size_pir=_size(checkpoint),
            rotate=_TURNED in str(checkpoint.options.get("ds_name") or ""),
            heads=network.heads,
        )
        device = choose_device(options.device)
        self._runner = Runner(network, device, False, in_bfloat16(options, info))

    def predict(self, patches: Cutouts, watch: Watch) -> dict[str, NDArray[np.float32]]:
        """Head to (n, classes)."""
        arrays = torch.from_numpy(np.array(patches.arrays, dtype=np.float32))[:, None]
        self._runner.go_home()
        item = int(np.prod(arrays.shape[2:])) * _BYTES_PER_VOXEL
        least = _CPU_BATCH if self._runner.device.type == "cpu" else 1
        step = self._options.batch or max(least, batch_for(self._runner.device, item, _BATCH))
        parts = []
        watch(0, len(arrays))
        with torch.inference_mode():
            for first in range(0, len(arrays), step):
                parts.append(self._runner(arrays[first : first + step]).float().cpu())
                watch(min(first + step, len(arrays)), len(arrays))
            width = sum(n for _, n in self.plan.heads)
            scores = torch.cat(parts) if parts else torch.empty((0, width))
            return {score.head: score.values.numpy() for score in soft_max(scores, self.plan.heads)}


def _network(checkpoint: Checkpoint) -> Classifier:
    try:
        network = build_classifier(checkpoint.weights)
    except (KeyError, IndexError) as error:
        raise ModelError(f"{checkpoint.path} holds no labelling network: {error} is missing") from error
    load_weights(network, checkpoint.weights, checkpoint.path)
    stated = _stated_heads(checkpoint.options)
    if stated and stated != dict(network.heads):
        raise ModelError(f"{checkpoint.path} states the heads {stated} and holds {dict(network.heads)}")
    return network


def _stated_heads(options: Mapping[str, Any]) -> dict[str, int]:
    table = options.get("group_2_n_channel")
    return {str(k): int(v) for k, v in table.items()} if isinstance(table, dict) else {}


def _size(checkpoint: Checkpoint) -> tuple[int, int, int]:
    stated = checkpoint.options.get("final_size", _SIZE)
    try:
        a, b, c = (int(n) for n in stated)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{checkpoint.path} states the patch size {stated!r}, not three numbers") from error
    return (a, b, c)
