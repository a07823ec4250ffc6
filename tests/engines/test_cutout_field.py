"""A cutout computed around its structures is the cutout computed whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spineps_pacs.engines.cutout_field import SMALL, first_layer
from spineps_pacs.engines.unet3d import Unet3D, channels_of

Spans = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def network(channels: int) -> Unet3D:
    """Seeded weights."""
    torch.manual_seed(channels)
    return Unet3D(8, channels).eval().requires_grad_(False)


def cutout(shape: tuple[int, int, int], spans: Spans, seed: int) -> torch.Tensor:
    """Background with one box of random classes, some of them beyond the network's channels."""
    classes = torch.zeros((1, *shape), dtype=torch.uint8)
    part = classes[(0, *(slice(a, b) for a, b in spans))]
    part.copy_(torch.randint(0, 12, part.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8))
    return classes


@st.composite
def cutouts(draw: st.DrawFn) -> torch.Tensor:
    """Structures anywhere in a cutout: in its middle, on a face, in a corner, or all over."""
    shape = draw(st.sampled_from([(40, 48, 16), (16, 64, 24), (24, 40, 24)]))
    edges = [draw(st.tuples(st.integers(0, n - 1), st.integers(1, n))) for n in shape]
    spans = tuple((min(a, b - 1), max(a + 1, b)) for a, b in edges)
    return cutout(shape, spans, draw(st.integers(0, 99)))  # type: ignore[arg-type]


@settings(max_examples=5)
@given(cutouts(), st.sampled_from([1, 10, 11]))
def test_the_scores_are_those_of_the_whole_cutout(classes: torch.Tensor, channels: int) -> None:
    """Wherever structures lie, scores differ by rounding; one voxel of reach less gives a fifth of their spread."""
    made = network(channels)
    with torch.inference_mode():
        whole, around = made(channels_of(classes, channels)), made.of_classes(classes)
    assert around.shape == whole.shape
    assert float((around - whole).abs().max()) < 5e-3 * float(whole.std())


@pytest.mark.parametrize(
    ("shape", "spans"),
    [((16, 24, 8), ((0, 4), (0, 4), (0, 4))), ((24, 24, 24), ((0, 0), (0, 0), (0, 0)))],
    ids=["smaller than the empty cutout", "nothing in it"],
)
def test_where_nothing_is_saved_the_whole_is_computed(shape: tuple[int, int, int], spans: Spans) -> None:
    """A cutout without structures, or too small to have a background of its own, goes the plain way."""
    classes, made = cutout(shape, spans, 1), network(10)
    given_to, empty = channels_of(classes, 10), channels_of(classes.new_zeros((1, 1, 1, 1)), 10)
    with torch.inference_mode():
        assert first_layer(classes, made.init_conv, given_to, empty) is None
        assert torch.equal(made.of_classes(classes), made(given_to))
    assert SMALL == 16
