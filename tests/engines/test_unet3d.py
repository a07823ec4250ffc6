"""The instance network has the published layout and forgets nothing on its way down."""

from __future__ import annotations

import pytest
import torch

from spineps_pacs.engines.unet3d import Unet3D, layout


@pytest.mark.parametrize(("dim", "channels", "millions"), [(16, 10, 5.375), (8, 11, 1.36)])
def test_sizes_are_those_of_the_published_checkpoints(dim: int, channels: int, millions: float) -> None:
    """Legacy: 182 keys and 5.375 M parameters; new: 1.36 M; the layout can be read back from the weights."""
    network = Unet3D(dim, channels)
    weights = network.state_dict()
    assert len(weights) == 182
    assert sum(w.numel() for w in weights.values()) / 1e6 == pytest.approx(millions, rel=5e-3)
    assert layout(weights) == (dim, channels, 4)


def test_names_are_those_of_the_published_checkpoints() -> None:
    """A checkpoint is loaded by name; these are the names that it holds."""
    names = set(Unet3D(8, 10).state_dict())
    wanted = ("init_conv", "downs.0.0.block1.proj", "downs.1.0.res_conv", "downs.2.2", "mid_block2.block2.norm",
              "ups.0.0.res_conv", "ups.2.2", "final_res_block.res_conv", "final_conv")  # fmt: skip
    assert {f"{name}.weight" for name in wanted} <= names
    assert not {name for name in names if name.startswith(("downs.3.2", "ups.3.2", "downs.0.0.res_conv"))}


def test_one_score_per_voxel_and_class_that_depends_on_the_whole_cutout() -> None:
    """Scores have the cutout's shape, and a voxel in one corner changes those in the other (group norm)."""
    torch.manual_seed(1)
    network = Unet3D(8, 3, out=4).eval()
    x = torch.rand(2, 3, 16, 24, 8)
    other = x.clone()
    other[1, :, 0, 0, 0] += 5
    with torch.inference_mode():
        first, second = network(x), network(other)
    assert first.shape == (2, 4, 16, 24, 8)
    assert torch.equal(first[0], second[0])
    assert (first[1, :, -1, -1, -1] != second[1, :, -1, -1, -1]).any()
