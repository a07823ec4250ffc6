"""The second labeller's two networks: encoder and decoder whose steps all have a plain form in ONNX."""

from __future__ import annotations

import torch
from torch import nn

from spineps_pacs.analysis.small_fov_fit import SACRUM

WIDTHS = (16, 32, 48, 64, 64)
"""Channels at a half, a quarter, ... of the image; multiples of 16 are quick on a CPU."""
SEGMENTATION, NAMING = "segmentation", "naming"
CLASSES = {SEGMENTATION: 3, NAMING: SACRUM + 1}
FINEST = {SEGMENTATION: 0, NAMING: 2}
"""Where the decoder ends: the classes of voxels at a half of the image, names at an eighth."""
CONTEXT = (1, 2, 4)
"""Dilations of the convolutions at the coarsest step: together they see over the length of a region."""


class Step(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Convolution, batch norm, ReLU: one convolution once the norm is folded in."""

    def __init__(self, before: int, after: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride, dilation, dilation, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.norm(self.conv(image)))


class SmallFov(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Slices (n, 3, rows, columns) to scores (n, classes, rows, columns); rows and columns are multiples of 32."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.finest = FINEST[part]
        before = (3, *WIDTHS)
        self.down = nn.ModuleList(
            nn.Sequential(Step(a, b, stride=2), Step(b, b)) for a, b in zip(before, WIDTHS, strict=False)
        )
        self.context = nn.Sequential(*(Step(WIDTHS[-1], WIDTHS[-1], dilation=d) for d in CONTEXT))
        steps = range(len(WIDTHS) - 2, self.finest - 1, -1)
        self.narrow = nn.ModuleList(nn.Conv2d(WIDTHS[k + 1], WIDTHS[k], 1) for k in steps)
        self.up = nn.ModuleList(Step(WIDTHS[k], WIDTHS[k]) for k in steps)
        self.head = nn.Conv2d(WIDTHS[self.finest], CLASSES[part], 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return larger(self.coarse(image), 2 ** (self.finest + 1))

    def coarse(self, image: torch.Tensor) -> torch.Tensor:
        """Scores before they are brought to the size of the image."""
        seen = []
        for down in self.down:
            image = down(image)
            seen.append(image)
        image = self.context(image)
        for narrow, up, beside in zip(self.narrow, self.up, reversed(seen[self.finest : -1]), strict=True):
            image = up(larger(narrow(image), 2) + beside)
        return torch.as_tensor(self.head(image))


def larger(image: torch.Tensor, times: int) -> torch.Tensor:
    """Linear interpolation between the centres of voxels."""
    return nn.functional.interpolate(image, scale_factor=float(times), mode="bilinear", align_corners=False)
