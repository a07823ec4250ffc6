"""Builds the semantic network from the recipe, in nnU-Net's own classes, and makes its norms quick on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from training.recipe import ARCHITECTURE, CLASSES


def build(deep_supervision: bool) -> nn.Module:
    """The untrained network, one channel in, background and 14 classes out."""
    arguments: dict[str, Any] = dict(ARCHITECTURE["arch_kwargs"])
    arguments |= {"conv_op": nn.Conv3d, "norm_op": nn.InstanceNorm3d, "nonlin": nn.LeakyReLU}
    network: nn.Module = PlainConvUNet(
        input_channels=1, num_classes=len(CLASSES) + 1, deep_supervision=deep_supervision, **arguments
    )
    return network.to(memory_format=torch.channels_last_3d)


class _SingleCaseNorm(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Instance norm of a batch of one: the same numbers, without the copy into another memory layout."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return nn.functional.batch_norm(image, None, None, self.weight, self.bias, True, 0.0, self.eps)


def quicken(network: nn.Module) -> nn.Module:
    """Swaps norms of single channels for their single-case form; keys and numbers of the state stay."""
    for module in network.modules():
        single = type(module) is nn.GroupNorm and module.num_groups == module.num_channels
        if single or type(module) is nn.InstanceNorm3d:
            module.__class__ = _SingleCaseNorm
    return network
