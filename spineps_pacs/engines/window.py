"""The sliding window: tiles over a volume, each weighted by a Gaussian, mirrored if asked, summed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

Box = tuple[slice, slice, slice]
Network = Callable[[Tensor], Tensor]

_SIGMA = 1 / 8
"""Standard deviation of the Gaussian, as a share of the patch."""


@dataclass(frozen=True)
class Window:
    """`half`: sums and weights in half precision, as the reference has them. `peak` is the Gaussian's largest value."""

    patch: tuple[int, int, int]
    step: float
    mirror_axes: tuple[int, ...] = ()
    half: bool = False
    peak: float = 1000.0

    @property
    def kind(self) -> torch.dtype:
        """What sums and weights are kept in."""
        return torch.float16 if self.half else torch.float32


@dataclass(frozen=True)
class Sums:
    """Weighted sums of scores (heads, x, y, z), and of the weights (x, y, z)."""

    scores: Tensor
    weights: Tensor


def starts(size: int, patch: int, step: float) -> list[int]:
    """Where tiles begin along one axis: evenly spread, no further apart than `step` patches."""
    most = size - patch
    count = int(np.ceil(most / (patch * step))) + 1
    return [int(np.round(most / max(count - 1, 1) * n)) for n in range(count)]


def tiles(shape: Sequence[int], window: Window) -> list[Box]:
    """All tiles, the last axis fastest. `shape` is at least the patch."""
    each = [starts(n, p, window.step) for n, p in zip(shape, window.patch, strict=True)]
    i, j, k = window.patch
    return [(slice(x, x + i), slice(y, y + j), slice(z, z + k)) for x, y, z in product(*each)]


@lru_cache(maxsize=4)
def gaussian(patch: tuple[int, int, int], kind: torch.dtype, peak: float) -> Tensor:
    """The weight of each voxel of a tile; nowhere zero. In half precision it is rounded before it is scaled, too."""
    point = np.zeros(patch)
    point[tuple(n // 2 for n in patch)] = 1
    bell = gaussian_filter(point, [n * _SIGMA for n in patch], order=0, mode="constant", cval=0)
    if kind == torch.float16:
        small = torch.from_numpy(bell).to(kind)
        weight = small / small.max() * peak
    else:
        weight = torch.from_numpy(bell / (bell.max() / peak)).to(kind)
    weight[weight == 0] = weight[weight > 0].min()
    return weight


def widened(data: Tensor, patch: Sequence[int]) -> tuple[Tensor, Box]:
    """The volume (channels, x, y, z) padded with zeros to at least one patch, and the box that it fills."""
    lack = [max(p - n, 0) for n, p in zip(data.shape[1:], patch, strict=True)]
    pads = [(n // 2, n - n // 2) for n in lack]
    inner = [slice(low, low + n) for (low, _), n in zip(pads, data.shape[1:], strict=True)]
    flat = [width for pair in reversed(pads) for width in pair]
    return torch.nn.functional.pad(data, flat), (inner[0], inner[1], inner[2])


def mirrored(network: Network, batch: Tensor, axes: Sequence[int]) -> Tensor:
    """The mean over the plain tile and its mirror images along all combinations of the axes."""
    total = network(batch)
    flips = [dims for count in range(1, len(axes) + 1) for dims in combinations([a + 2 for a in axes], count)]
    for dims in flips:
        total += torch.flip(network(torch.flip(batch, dims)).to(total.device), dims)
    return total.div_(len(flips) + 1) if flips else total


def slide(
    network: Network, data: Tensor, window: Window, batch: int, progress: Callable[[int], None]
) -> Iterator[tuple[Box, Tensor]]:
    """The scores of each tile. `data` is (channels, x, y, z); `progress` is told after how many tiles."""
    boxes = tiles(data.shape[1:], window)
    for first in range(0, len(boxes), batch):
        chosen = boxes[first : first + batch]
        stack = torch.stack([data[(slice(None), *box)] for box in chosen])
        if stack.device.type == "cpu":
            stack = stack.float()
        yield from zip(chosen, mirrored(network, stack, window.mirror_axes), strict=True)
        progress(len(chosen))


def accumulate(
    answers: Iterator[tuple[Box, Tensor]], shape: Sequence[int], heads: int, window: Window, device: torch.device
) -> Sums:
    """Sums up weighted tiles; in half precision with the reference's roundings."""
    weight = gaussian(window.patch, window.kind, window.peak).to(device)
    wide = weight.float()
    scores = torch.zeros((heads, *shape), dtype=window.kind, device=device)
    weights = torch.zeros(tuple(shape), dtype=window.kind, device=device)
    for box, answer in answers:
        place = scores[(slice(None), *box)]
        if not window.half:
            place.addcmul_(answer.to(device).float(), weight)
        elif answer.dtype == torch.float32:  # what `+=` would give, at two thirds of its time
            place.copy_(place.float().add_(answer.to(device) * wide))
        else:
            place += answer.to(device) * weight
        weights[box] += weight
    return Sums(scores, weights)


def strongest(scores: Tensor) -> Tensor:
    """The number of the highest score of each voxel (x, y, z), uint8; of equals the first."""
    if scores.dtype == torch.float16 and bool(torch.isnan(scores).any()):
        return scores.argmax(0).to(torch.uint8)
    best = torch.zeros(scores.shape[1:], dtype=torch.uint8, device=scores.device)
    for low in range(0, scores.shape[1], 16):
        part = scores[:, low : low + 16]
        highest = part[0].clone()
        for number in range(1, len(part)):
            better = part[number] > highest
            best[low : low + 16].masked_fill_(better, number)
            torch.maximum(highest, part[number], out=highest)
    return best
