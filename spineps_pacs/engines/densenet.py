"""The labelling network: a 3-D DenseNet or ResNet with one head per question, by the names of the checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BOTTLENECK = 4
"""A dense layer's inner width, in growths; a ResNet's outer width, in inner ones."""


class DenseLayer(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Norm, 1 x 1 x 1 convolution, norm, 3 x 3 x 3 convolution; what it finds is put beside its input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        self.layers.add_module("norm1", nn.BatchNorm3d(width))
        self.layers.add_module("relu1", nn.ReLU(inplace=True))
        self.layers.add_module("conv1", nn.Conv3d(width, BOTTLENECK * growth, 1, bias=False))
        self.layers.add_module("norm2", nn.BatchNorm3d(BOTTLENECK * growth))
        self.layers.add_module("relu2", nn.ReLU(inplace=True))
        self.layers.add_module("conv2", nn.Conv3d(BOTTLENECK * growth, growth, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], 1)


class DenseNet(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Patches (n, channels, P, I, R) to features (n, width). `blocks`: layers per dense block."""

    def __init__(self, blocks: Sequence[int], channels: int = 1, first: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv3d(channels, first, 7, stride=2, padding=3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm3d(first))
        self.features.add_module("relu0", nn.ReLU(inplace=True))
        self.features.add_module("pool0", nn.MaxPool3d(3, stride=2, padding=1))
        width = first
        for number, layers in enumerate(blocks, start=1):
            block = nn.Sequential()
            for layer in range(layers):
                block.add_module(f"denselayer{layer + 1}", DenseLayer(width + layer * growth, growth))
            self.features.add_module(f"denseblock{number}", block)
            width += layers * growth
            if number == len(blocks):
                self.features.add_module("norm5", nn.BatchNorm3d(width))
            else:
                self.features.add_module(f"transition{number}", _transition(width, width // 2))
                width //= 2
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.features(x)).mean(dim=(2, 3, 4))


def _transition(width: int, narrowed: int) -> nn.Sequential:
    step = nn.Sequential()
    step.add_module("norm", nn.BatchNorm3d(width))
    step.add_module("relu", nn.ReLU(inplace=True))
    step.add_module("conv", nn.Conv3d(width, narrowed, 1, bias=False))
    step.add_module("pool", nn.AvgPool3d(2, stride=2))
    return step


class Residual(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A ResNet's block: two 3 x 3 x 3 convolutions, or one between two of 1 x 1 x 1."""

    def __init__(self, width: int, inner: int, stride: int, deep: bool, bias: bool) -> None:
        super().__init__()
        outer = inner * BOTTLENECK if deep else inner
        kernels = (1, 3, 1) if deep else (3, 3)
        widths = (width, inner, inner, outer) if deep else (width, inner, outer)
        strided = 1 if deep else 0
        self.steps = len(kernels)
        for n, kernel in enumerate(kernels):
            step = stride if n == strided else 1
            conv = nn.Conv3d(widths[n], widths[n + 1], kernel, stride=step, padding=kernel // 2, bias=False)
            self.add_module(f"conv{n + 1}", conv)
            self.add_module(f"bn{n + 1}", nn.BatchNorm3d(widths[n + 1]))
        self.downsample = None
        if stride != 1 or width != outer:
            shrink = nn.Conv3d(width, outer, 1, stride=stride, bias=bias)
            self.downsample = nn.Sequential(shrink, nn.BatchNorm3d(outer))

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for n in range(1, self.steps + 1):
            out = self.get_submodule(f"bn{n}")(self.get_submodule(f"conv{n}")(out))
            if n < self.steps:
                out = torch.relu(out)
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Patches (n, channels, P, I, R) to features (n, width). `deep`: blocks of three convolutions."""

    def __init__(self, blocks: Sequence[int], channels: int = 1, deep: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, 64, 7, stride=1, padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        width, self.count = 64, len(blocks)
        for number, count in enumerate(blocks):
            inner, row = 64 * 2**number, []
            for n in range(count):
                row.append(Residual(width, inner, 2 if n == 0 and number else 1, deep, bias))
                width = inner * BOTTLENECK if deep else inner
            self.add_module(f"layer{number + 1}", nn.Sequential(*row))
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for number in range(1, self.count + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(dim=(2, 3, 4))


class Classifier(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A backbone and its heads. The answer holds all heads' scores side by side, in the order of `heads`."""

    def __init__(self, net: nn.Module, heads: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.net = net
        self.heads = tuple((name, widths[-1]) for name, widths in heads.items())
        self.classification_heads = nn.ModuleDict({name: _head(net.width, widths) for name, widths in heads.items()})

    def forward(self, x: Tensor) -> Tensor:
        features = self.net(x)
        return torch.cat([head(features) for head in self.classification_heads.values()], dim=1)


def _head(width: int, widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with a ReLU between two."""
    steps: list[nn.Module] = []
    for wide in widths:
        steps += [nn.ReLU()] if steps else []
        steps.append(nn.Linear(width, wide))
        width = wide
    return nn.Sequential(*steps)


def build_classifier(weights: Mapping[str, Tensor]) -> Classifier:
    """The network whose weights these are; its layout is read from their names and shapes. KeyError if it is none."""
    heads = {name: [n for _, n in sorted(widths)] for name, widths in _head_widths(weights).items()}
    if not heads:
        raise KeyError("classification_heads")
    if "net.features.conv0.weight" in weights:
        first, channels = weights["net.features.conv0.weight"].shape[:2]
        growth = weights["net.features.denseblock1.denselayer1.layers.conv2.weight"].shape[0]
        blocks = _counts(weights, r"net\.features\.denseblock(\d+)\.denselayer(\d+)\.", start=1)
        return Classifier(DenseNet(blocks, int(channels), int(first), int(growth)), heads)
    channels = int(weights["net.conv1.weight"].shape[1])
    blocks = _counts(weights, r"net\.layer(\d+)\.(\d+)\.", start=0)
    deep = "net.layer1.0.conv3.weight" in weights
    return Classifier(ResNet(blocks, channels, deep, "net.layer2.0.downsample.0.bias" in weights), heads)


def _counts(weights: Mapping[str, Tensor], pattern: str, start: int) -> list[int]:
    """How many layers each block has, from the numbers in the names."""
    found: dict[int, int] = {}
    for name in weights:
        if match := re.match(pattern, name):
            block, layer = int(match[1]), int(match[2]) + 1 - start
            found[block] = max(found.get(block, 0), layer)
    return [found[block] for block in sorted(found)]


def _head_widths(weights: Mapping[str, Tensor]) -> dict[str, list[tuple[int, int]]]:
    """Head to (place, width) of its linear layers."""
    found: dict[str, list[tuple[int, int]]] = {}
    for name, tensor in weights.items():
        if match := re.fullmatch(r"classification_heads\.(.+)\.(\d+)\.bias", name):
            found.setdefault(match[1], []).append((int(match[2]), int(tensor.shape[0])))
    return found


@dataclass(frozen=True)
class Score:
    """One head's soft-max over its classes, (n, classes)."""

    head: str
    values: Tensor


def soft_max(scores: Tensor, heads: Sequence[tuple[str, int]]) -> Iterator[Score]:
    """Takes the scores of all heads apart; each head's classes sum to one."""
    for (name, _), part in zip(heads, scores.float().split([n for _, n in heads], dim=1), strict=True):
        yield Score(name, torch.softmax(part, dim=1))
