"""The instance network: a 3-D residual U-Net whose parameter names are those of the published checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

MULTIPLIERS = (1, 2, 4, 8)
GROUPS = 8
SLOPE = 0.01
DIVISOR = 2 ** (len(MULTIPLIERS) - 1)
"""Every side of a cutout must be a multiple of this."""


class Block(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Convolution, group norm, leaky ReLU."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(width_in, width_out, 3, padding=1)
        self.norm = nn.GroupNorm(GROUPS, width_out)
        self.act = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.proj(x)))


class ResBlock(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Two blocks and a way past them."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.block1 = Block(width_in, width_out)
        self.block2 = Block(width_out, width_out)
        self.res_conv = nn.Conv3d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.block2(self.block1(x)) + self.res_conv(x)


class Unet3D(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """(n, channels, P, I, R) to scores (n, out, P, I, R); every side a multiple of 8.

    Group norm sees the whole cutout, its zero border included: another cutout size is another result.
    """

    def __init__(self, dim: int, channels: int, out: int = 4) -> None:
        super().__init__()
        self.channels = channels
        self.init_conv = nn.Conv3d(channels, dim, 7, padding=3)
        steps = list(pairwise([dim, *(dim * m for m in MULTIPLIERS)]))
        self.downs = nn.ModuleList(
            nn.ModuleList([ResBlock(a, b), ResBlock(b, b), nn.Conv3d(b, b, 4, 2, 1) if n < 3 else nn.Identity()])
            for n, (a, b) in enumerate(steps)
        )
        self.mid_block1 = ResBlock(steps[-1][1], steps[-1][1])
        self.mid_block2 = ResBlock(steps[-1][1], steps[-1][1])
        self.ups = nn.ModuleList(
            nn.ModuleList(
                [ResBlock(b, a), ResBlock(a, a), nn.ConvTranspose3d(a, a, 4, 2, 1) if n < 3 else nn.Identity()]
            )
            for n, (a, b) in enumerate(reversed(steps))
        )
        self.final_res_block = ResBlock(2 * dim, dim)
        self.final_conv = nn.Conv3d(dim, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.init_conv(x)
        first, skips = x, []
        for down in self.downs:
            one, two, shrink = down.children()
            x = two(one(x))
            skips.append(x)
            x = shrink(x)
        x = self.mid_block2(self.mid_block1(x))
        for up in self.ups:
            one, two, grow = up.children()
            x = grow(two(one(0.5 * (x + skips.pop()))))
        return self.final_conv(self.final_res_block(torch.cat((x, first), dim=1)))


def layout(weights: Mapping[str, Tensor]) -> tuple[int, int, int]:
    """(dim, channels, out) of a checkpoint, read from the shapes of its first and last convolution."""
    dim, channels = weights["init_conv.weight"].shape[:2]
    return int(dim), int(channels), int(weights["final_conv.weight"].shape[0])
