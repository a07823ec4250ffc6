"""Cross entropy and soft Dice over the classes that are present, at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

LEVEL_WEIGHTS = (1.0, 0.4, 0.2)
"""Weights of full, half and quarter resolution; coarser outputs are not asked."""


def level_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy plus one minus the mean soft Dice; logits (1, c, ...), target (1, ...) of class numbers."""
    logits = logits.float()
    entropy = functional.cross_entropy(logits, target)
    chances = logits.softmax(1)[0].flatten(1)
    truth = functional.one_hot(target[0].flatten(), logits.shape[1]).T.to(chances.dtype)
    overlap, sizes = (chances * truth).sum(1), (chances.sum(1) + truth.sum(1))
    present = truth.sum(1) > 0
    present[0] = False
    if not present.any():
        return entropy
    dice = (2 * overlap[present] + 1) / (sizes[present] + 1)
    return entropy + 1 - dice.mean()


def total_loss(outputs: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
    """The weighted sum over resolutions, finest first; coarse targets are every n-th voxel."""
    total = torch.zeros(())
    for weight, logits in zip(LEVEL_WEIGHTS, outputs, strict=False):
        steps = [full // small for full, small in zip(target.shape[1:], logits.shape[2:], strict=True)]
        total = total + weight * level_loss(logits, target[:, :: steps[0], :: steps[1], :: steps[2]])
    return total
