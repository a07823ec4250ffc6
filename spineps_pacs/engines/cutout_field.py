"""A cutout that is mostly background, computed where it is not: a box around the structures, and an empty cutout.

Far from every structure the first layers of the instance network see background only. What they answer there depends on
the distance to the cutout's faces (beyond which convolutions see zeros) and on nothing else: an empty cutout of few
voxels answers the same, its middle stretched. So a layer is computed in a box around the structures and on that small
empty cutout, and group norm, which sees the whole, weighs both. Apart from rounding the result is that of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

REACH = 8
"""What a 7 x 7 x 7 convolution and four of 3 x 3 x 3 spread by, and one voxel more: the box's faces are background."""
SMALL = 16
"""Voxels of the empty cutout along each axis: more than twice what five convolutions see of a face."""
SLAB = 38
"""Height along I of the slabs in which the first convolution looks for structures."""
_SPACE = (2, 3, 4)

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Field:
    """(1, width, P, I, R) as `inside` a box, and `around` it as in an empty cutout (1, width, 16, 16, 16)."""

    inside: Tensor
    around: Tensor
    box: Box
    shape: tuple[int, int, int]

    def convolved(self, convolution: nn.Conv3d, weight: Tensor | None = None) -> Field:
        """After a convolution that keeps the size; `weight` takes the place of its own, and then it adds no bias."""
        kernel = convolution.weight if weight is None else weight
        bias = convolution.bias if weight is None else None
        pad = kernel.shape[-1] // 2
        around = functional.conv3d(self.around, kernel, bias, padding=pad)
        inside = functional.conv3d(self.inside, kernel, bias, padding=pad)
        if pad:
            self._mend(inside, around)
        return replace(self, inside=inside, around=around)

    def normed(self, norm: nn.GroupNorm, slope: float) -> Field:
        """After group norm over the whole cutout and the leaky ReLU."""
        mean, variance = self._moments(norm.num_groups)

        def done(part: Tensor) -> Tensor:
            args = (mean.to(part.device), variance, norm.weight, norm.bias, False, 0.0, norm.eps)
            return functional.leaky_relu_(functional.batch_norm(part, *args), slope)

        return replace(self, inside=done(self.inside), around=done(self.around))

    def plus(self, other: Field) -> Field:
        """The sum with another field of the same box."""
        return replace(self, inside=self.inside + other.inside, around=self.around + other.around)

    def whole(self) -> Tensor:
        """The tensor of the whole cutout."""
        full = self._stretched((slice(None),) * 3)
        full[(slice(None), slice(None), *self.box)] = self.inside
        return full

    def _moments(self, groups: int) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel's group over the whole cutout."""
        near = self._copies((slice(None),) * 3) - self._copies(self.box)
        edge = self.around.double()
        total = (edge * near).sum(_SPACE) + self.inside.sum(_SPACE, dtype=torch.float32).double()
        squares = (edge.square() * near).sum(_SPACE) + _squares(self.inside)
        width = self.around.shape[1]
        count = self.shape[0] * self.shape[1] * self.shape[2] * (width // groups)
        mean = total.view(groups, -1).sum(1) / count
        variance = squares.view(groups, -1).sum(1) / count - mean.square()
        return tuple(v.float().repeat_interleave(width // groups) for v in (mean, variance))

    def _copies(self, part: Box) -> Tensor:
        """How many voxels of a part of the cutout each voxel of the empty one stands for."""
        counts = [
            torch.bincount(_nearest(n)[s], minlength=SMALL).double() for n, s in zip(self.shape, part, strict=True)
        ]
        return counts[0][:, None, None] * counts[1][:, None] * counts[2]

    def _stretched(self, part: Box) -> Tensor:
        """A part of the cutout as it is when the cutout is empty."""
        out = self.around
        for axis, (n, s) in enumerate(zip(self.shape, part, strict=True)):
            out = out.index_select(axis + 2, _nearest(n)[s])
        return out

    def _mend(self, inside: Tensor, around: Tensor) -> None:
        """The box's own faces are background; a convolution took the voxels beyond them for zeros."""
        empty = replace(self, around=around)
        for axis, (s, n) in enumerate(zip(self.box, self.shape, strict=True)):
            for at, cut in ((s.start, s.start == 0), (s.stop - 1, s.stop == n)):
                if not cut:
                    face = list(self.box)
                    face[axis] = slice(at, at + 1)
                    inside.narrow(axis + 2, at - s.start, 1).copy_(empty._stretched((face[0], face[1], face[2])))


def first_layer(classes: Tensor, convolution: nn.Conv3d, given: Tensor, empty: Tensor) -> Field | None:
    """The first convolution over one cutout (1, P, I, R) of classes.

    `given` is the network's input (1, channels, P, I, R), `empty` that of a single voxel of background. None where the
    cutout is too small, or holds no structure, so that nothing could be saved.
    """
    shape = (classes.shape[1], classes.shape[2], classes.shape[3])
    box = _grown(classes[0] != 0, REACH)
    if box is None or min(shape) < SMALL:
        return None
    around = functional.conv3d(empty.expand(-1, -1, *(SMALL,) * 3), convolution.weight, convolution.bias, padding=3)
    around = around.contiguous(memory_format=torch.channels_last_3d)
    blank = Field(torch.empty(0), around, box, shape)
    inside = blank._stretched(box)
    for part in _slabs(classes[0] != 0, convolution.padding[0]):
        _add(inside, box, _convolved_part(given, empty, convolution, part), part)
    return replace(blank, inside=inside)


def _slabs(seen: Tensor, reach: int) -> list[Box]:
    """Boxes one below the other that hold all voxels which structures reach."""
    found = []
    for top in range(0, seen.shape[1], SLAB):
        bottom = min(top + SLAB, seen.shape[1])
        rows = slice(max(top - reach, 0), bottom + reach)
        part = _grown(seen[:, rows], reach)
        if part is not None:
            found.append((part[0], slice(top, bottom), part[2]))
    return found


def _convolved_part(given: Tensor, empty: Tensor, convolution: nn.Conv3d, part: Box) -> Tensor:
    """What the structures add in one part of the cutout; beyond the cutout nothing does."""
    reach = convolution.padding[0]
    taken, pads = [], []
    for s, n in zip(part, given.shape[2:], strict=True):
        low, high = max(s.start - reach, 0), min(s.stop + reach, n)
        taken.append(slice(low, high))
        pads.append((reach - (s.start - low), reach - (high - s.stop)))
    difference = given[(slice(None), slice(None), *taken)] - empty
    flat = [width for pair in reversed(pads) for width in pair]
    return functional.conv3d(functional.pad(difference, flat), convolution.weight)


def _add(inside: Tensor, box: Box, addition: Tensor, part: Box) -> None:
    """Adds what belongs to a part of the cutout to a box of it."""
    to, of = [], []
    for b, p in zip(box, part, strict=True):
        low, high = max(b.start, p.start), min(b.stop, p.stop)
        to.append(slice(low - b.start, high - b.start))
        of.append(slice(low - p.start, high - p.start))
    inside[(slice(None), slice(None), *to)] += addition[(slice(None), slice(None), *of)]


def _grown(seen: Tensor, reach: int) -> Box | None:
    """The box around all true voxels, grown within the array."""
    sides = []
    for axis in range(3):
        others = [n for n in range(3) if n != axis]
        hit = torch.nonzero(seen.any(others[1]).any(others[0]))
        if not len(hit):
            return None
        sides.append(slice(max(int(hit[0]) - reach, 0), min(int(hit[-1]) + 1 + reach, seen.shape[axis])))
    return (sides[0], sides[1], sides[2])


def _nearest(size: int) -> Tensor:
    """For each voxel along an axis the voxel of the empty cutout that is as far from the faces."""
    at = torch.arange(size)
    half = SMALL // 2
    return torch.where(at < half, at, torch.where(at >= size - half, at - size + SMALL, half))


def _squares(values: Tensor) -> Tensor:
    """The sum of squares of each channel (1, width, ...)."""
    flat = values.permute(0, 2, 3, 4, 1).reshape(-1, values.shape[1])
    return (
        torch.stack([(part.float().t() @ part.float()).diagonal() for part in flat.split(1 << 16)])
        .double()
        .sum(0)[None]
    )
