"""The instance network: a 3-D residual U-Net whose parameter names are those of the published checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from spineps_pacs.engines.cutout_field import Field, first_layer
from spineps_pacs.engines.memory import give_back

MULTIPLIERS = (1, 2, 4, 8)
GROUPS = 8
SLOPE = 0.01
DIVISOR = 2 ** (len(MULTIPLIERS) - 1)
"""Every side of a cutout must be a multiple of this."""
_SCALE = 9
"""A network of one channel reads the class as a share of this."""


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
        for number in range(len(self.downs)):
            x = self._down(number, x)
            skips.append(x)
            x = self._shrunk(number, x)
        x = self._raised(x, skips)
        return self.final_conv(self.final_res_block(torch.cat((x, first), dim=1)))

    def of_classes(self, classes: Tensor) -> Tensor:
        """The scores of one cutout of classes (1, P, I, R), on a CPU: as by `forward`, with less work.

        Layers that see little more than the structures are computed around these only (`cutout_field.py`).
        """
        given = channels_of(classes, self.channels).contiguous(memory_format=torch.channels_last_3d)
        give_back()
        first = first_layer(classes, self.init_conv, given, channels_of(classes.new_zeros((1, 1, 1, 1)), self.channels))
        if first is None:
            return self(given)
        del given
        field = first
        for block in list(self.downs[0].children())[:2]:
            field = _field_block(block, field)
        x = field.whole()
        del field
        give_back()
        skips = [x]
        x = self._shrunk(0, x)
        for number in range(1, len(self.downs)):
            x = self._down(number, x)
            skips.append(x)
            x = self._shrunk(number, x)
        x = self._raised(x, skips)
        give_back()
        return self._ended(x, first)

    def _down(self, number: int, x: Tensor) -> Tensor:
        one, two, _ = self.downs[number].children()
        return two(one(x))

    def _shrunk(self, number: int, x: Tensor) -> Tensor:
        return list(self.downs[number].children())[2](x)

    def _raised(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        x = self.mid_block2(self.mid_block1(x))
        for up in self.ups:
            one, two, grow = up.children()
            x = grow(two(one(0.5 * (x + skips.pop()))))
        return x

    def _ended(self, x: Tensor, first: Field) -> Tensor:
        """The last block over x and the first layer side by side: each has its own half of the weights."""
        end, width = self.final_res_block, x.shape[1]
        one, way = end.block1.proj, end.res_conv
        y = functional.conv3d(x, one.weight[:, :width], one.bias, padding=1)
        y += first.convolved(one, one.weight[:, width:]).whole()
        y = end.block2(end.block1.act(end.block1.norm(y)))
        y += pointwise(x, way.weight[:, :width], way.bias)
        y += first.convolved(way, way.weight[:, width:]).whole()
        return pointwise(y, self.final_conv.weight, self.final_conv.bias).contiguous()


def _field_block(block: nn.Module, field: Field) -> Field:
    """A ResBlock of equal widths over a field."""
    found = field
    for part in (block.block1, block.block2):
        found = found.convolved(part.proj).normed(part.norm, SLOPE)
    return found.plus(field)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 1 x 1 x 1 convolution as one product of matrices: channels are next to each other in memory."""
    rows = x.permute(0, 2, 3, 4, 1)
    return functional.linear(rows, weight.flatten(1), bias).permute(0, 4, 1, 2, 3)


def channels_of(classes: Tensor, channels: int) -> Tensor:
    """Classes (n, P, I, R) as the network's input (n, channels, P, I, R): one channel a class, too high ones are 0."""
    if channels == 1:
        return classes[:, None].float().div_(_SCALE)
    kept = classes.masked_fill(classes >= channels, 0)
    out = torch.empty((len(kept), channels, *kept.shape[1:]), device=kept.device)
    for number in range(channels):
        out[:, number] = kept == number
    return out


def layout(weights: Mapping[str, Tensor]) -> tuple[int, int, int]:
    """(dim, channels, out) of a checkpoint, read from the shapes of its first and last convolution."""
    dim, channels = weights["init_conv.weight"].shape[:2]
    return int(dim), int(channels), int(weights["final_conv.weight"].shape[0])
