"""The instance network behind the socket VertebraEngine."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.ports import CutoutPlan, Cutouts, ModelInfo, Room, Watch
from spineps_pacs.engines.device import Runner, batch_for, choose_device, in_bfloat16
from spineps_pacs.engines.lightning import Checkpoint, instance_checkpoint, read_lightning
from spineps_pacs.engines.nnunet import load_weights
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.unet3d import Unet3D, channels_of, layout
from spineps_pacs.engines.weights import Model
from spineps_pacs.engines.window import strongest

_BATCH = 8
_BYTES_PER_FEATURE = 32
"""What a cutout takes, per voxel and feature of the first stage: 2.5 GB for 248 x 304 x 64 and 16 (measured, CPU)."""


class UnetVertebraEngine:
    """Cutouts of classes to parts: 0 none, 1 the vertebra above, 2 the centre one, 3 below."""

    def __init__(self, model: Model, info: ModelInfo, options: EngineOptions) -> None:
        self.info, self._options = info, options
        checkpoint = read_lightning(instance_checkpoint(model.folder))
        network = _network(checkpoint)
        self._dim = int(network.init_conv.out_channels)
        config = model.config
        self.plan = CutoutPlan(
            spacing_pir=config.spacing,
            size_pir=config.cutout_size,
            channels=network.channels,
            classes=config.classes,
            corpus_size_mm3=config.corpus_size_mm3,
            vertebra_size_mm3=config.vertebra_size_mm3,
            checked_by_discs=info.demonstration,
            room=Room(allowed, 0, self._cutout_bytes(config.cutout_size))
            if (allowed := options.max_memory_gb * 1e9)
            else None,
        )
        device = choose_device(options.device)
        self._runner = Runner(_FromClasses(network), device, False, in_bfloat16(options, info))

    def _cutout_bytes(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) * self._dim * _BYTES_PER_FEATURE

    def predict(self, cutouts: Cutouts, watch: Watch) -> NDArray[np.uint8]:
        """The most likely part of each voxel, (n, P, I, R)."""
        arrays = np.asarray(cutouts.arrays, dtype=np.uint8)
        out = np.empty(arrays.shape, dtype=np.uint8)
        self._runner.go_home()
        item = self._cutout_bytes(arrays.shape[1:])
        step = self._options.batch or batch_for(self._runner.device, item, _BATCH)
        watch(0, len(arrays))
        for first in range(0, len(arrays), step):
            chunk = torch.from_numpy(arrays[first : first + step])
            with torch.inference_mode():
                scores = self._runner(chunk)
                out[first : first + step] = strongest(scores.transpose(0, 1)).cpu().numpy()
            watch(min(first + step, len(arrays)), len(arrays))
        return out


class _FromClasses(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The network with its input made on the spot, so that memory for it counts as the network's."""

    def __init__(self, network: Unet3D) -> None:
        super().__init__()
        self.network = network

    def forward(self, classes: Tensor) -> Tensor:
        if classes.device.type == "cpu":
            return torch.cat([self.network.of_classes(one) for one in classes.split(1)])
        return self.network(channels_of(classes, self.network.channels))


def _network(checkpoint: Checkpoint) -> Unet3D:
    """The network of a checkpoint, of whatever width: both published layouts differ in width and channels only."""
    weights = checkpoint.below("network.")
    try:
        network = Unet3D(*layout(weights))
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"{checkpoint.path} holds no instance network: {error} is missing or odd") from error
    load_weights(network, weights, checkpoint.path)
    return network
