"""Writes the second labeller's trained networks as ONNX files of the published form, norms folded into convolutions.

python -m training.small_fov_export segmentation.pt naming.pt --out spineps_pacs/engines/defaults/small-fov
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spineps_pacs.analysis.small_fov_input import PIXEL_MM
from spineps_pacs.engines.small_fov import DESCRIPTION, INPUT
from training.onnx_file import model, node, tensor, value
from training.small_fov_crops import Whole, draw, open_pool
from training.small_fov_network import CLASSES, NAMING, SEGMENTATION, SmallFov, Step

FILES = {SEGMENTATION: "synthetic-spine-seg3.onnx", NAMING: "synthetic-spine-seg26.onnx"}
NAME, VERSION = "spineps-pacs embedded demonstration model (small-fov)", "3"
SETTLING = 60
"""Batches from which the norms' statistics are taken anew for the averaged weights."""


@dataclass
class Graph:
    """Operations in their order, and their constants."""

    nodes: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)

    def put(self, kind: str, inputs: tuple[str, ...], **attributes: int | str | tuple[int, ...]) -> str:
        """Adds an operation; gives the name of what it makes."""
        made = f"v{len(self.nodes)}"
        self.nodes.append(node(kind, inputs, made, **attributes))
        return made

    def constant(self, values: np.ndarray) -> str:
        """Adds a constant; gives its name."""
        self.tensors.append(tensor(name := f"c{len(self.tensors)}", values.astype(np.float32)))
        return name

    def convolve(self, conv: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor, image: str) -> str:
        """A convolution with the weights given."""
        pad, side, step, wide = conv.padding[0], conv.kernel_size[0], conv.stride[0], conv.dilation[0]
        inputs = (image, self.constant(weight.numpy()), self.constant(bias.numpy()))
        return self.put(
            "Conv", inputs, kernel_shape=(side, side), strides=(step, step), dilations=(wide, wide), pads=(pad,) * 4
        )

    def step(self, module: Step, image: str) -> str:
        """Convolution and ReLU; the norm is a scale and an offset of the convolution."""
        norm = module.norm
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = module.conv.weight * scale[:, None, None, None]
        return self.put("Relu", (self.convolve(module.conv, weight, norm.bias - norm.running_mean * scale, image),))

    def larger(self, image: str, times: int) -> str:
        """Linear interpolation between the centres of voxels."""
        scales = self.constant(np.array([1, 1, times, times]))
        return self.put("Resize", (image, "", scales), mode="linear", coordinate_transformation_mode="half_pixel")


def onnx(network: SmallFov) -> bytes:
    """The network as an ONNX file that takes any number of slices."""
    with torch.no_grad():
        return _onnx(network)


def _onnx(network: SmallFov) -> bytes:
    graph, image, seen = Graph(), "image", []
    for down in network.down:
        for module in down:
            image = graph.step(module, image)
        seen.append(image)
    for module in network.context:
        image = graph.step(module, image)
    for narrow, up, beside in zip(network.narrow, network.up, reversed(seen[network.finest : -1]), strict=True):
        fine = graph.larger(graph.convolve(narrow, narrow.weight, narrow.bias, image), 2)
        image = graph.step(up, graph.put("Add", (fine, beside)))
    image = graph.convolve(network.head, network.head.weight, network.head.bias, image)
    made = graph.larger(image, 2 ** (network.finest + 1))
    outlet = value(made, ("slices", network.head.out_channels, *INPUT[1:]))
    return model(graph.nodes, graph.tensors, value("image", ("slices", *INPUT)), outlet)


def settled(checkpoint: Path, part: str, pool: list[Whole]) -> SmallFov:
    """The averaged weights of a run, with the norms' statistics taken anew on the pool."""
    network, kept = SmallFov(part), torch.load(checkpoint, weights_only=True)
    network.load_state_dict({**kept["network"], **kept["average"]})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    rng = np.random.default_rng([len(part), 1])
    with torch.no_grad():
        for _ in range(SETTLING):
            network.coarse(torch.from_numpy(draw(pool, rng).slices))
    network.eval()
    return network


def main() -> None:
    """Reads the command line and writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("segmentation", type=Path)
    parser.add_argument("naming", type=Path)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pool = open_pool(given.pool)
    for part, checkpoint in ((SEGMENTATION, given.segmentation), (NAMING, given.naming)):
        network = settled(checkpoint, part, pool)
        if network.head.out_channels != CLASSES[part]:
            raise ValueError(f"{checkpoint} has {network.head.out_channels} classes, {part} has {CLASSES[part]}")
        (given.out / FILES[part]).write_bytes(onnx(network))
    said = {"name": NAME, "version": VERSION, "pixel_mm": PIXEL_MM, "demonstration": True}
    (given.out / DESCRIPTION).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
