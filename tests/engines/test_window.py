"""Tiles cover the volume, weights are nowhere zero, and mirroring and choosing do what they say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spineps_pacs.engines.window import (
    Window,
    accumulate,
    gaussian,
    mirrored,
    slide,
    starts,
    strongest,
    tiles,
    widened,
)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 200), st.floats(0.05, 1.0))
def test_tiles_reach_from_end_to_end_and_no_further_apart_than_asked(extra: int, patch: int, step: float) -> None:
    """The first begins at 0, the last ends at the end, neighbours are at most one step (rounded) apart."""
    size = patch + extra - 1
    places = starts(size, patch, step)
    assert places[0] == 0
    assert places[-1] == size - patch
    assert all(b - a <= np.ceil(patch * step) for a, b in pairwise(places))
    assert len(places) == int(np.ceil((size - patch) / (patch * step))) + 1


def test_tiles_are_ordered_with_the_last_axis_fastest() -> None:
    """Half-precision sums depend on the order: it is the reference's."""
    order = [tuple(s.start for s in box) for box in tiles((5, 4, 6), Window((4, 4, 4), 0.5))]
    assert order == [(0, 0, 0), (0, 0, 2), (1, 0, 0), (1, 0, 2)]


@pytest.mark.parametrize("kind", [torch.float16, torch.float32])
def test_the_gaussian_peaks_in_the_middle_and_is_nowhere_zero(kind: torch.dtype) -> None:
    """Largest at the centre with the value asked for, falling outwards, above zero at every corner."""
    weight = gaussian((8, 16, 24), kind, 1000.0)
    assert weight.dtype == kind
    assert weight[4, 8, 12] == weight.max() == 1000
    assert (weight > 0).all()
    assert weight[4, 8, 12] > weight[4, 8, 18] > weight[4, 8, 23]


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.integers(1, 9)] * 3))
def test_small_volumes_are_widened_to_one_patch(shape: tuple[int, int, int]) -> None:
    """Zeros around, the smaller half before; the box given is the volume itself."""
    data = torch.rand(1, *shape) + 1
    wide, box = widened(data, (4, 5, 6))
    assert all(n >= p for n, p in zip(wide.shape[1:], (4, 5, 6), strict=True))
    assert torch.equal(wide[(slice(None), *box)], data)
    assert wide.count_nonzero() == data.numel()
    assert all(s.start == max(p - n, 0) // 2 for s, n, p in zip(box, shape, (4, 5, 6), strict=True))


@pytest.mark.parametrize("half", [True, False])
def test_a_network_that_repeats_its_input_gives_the_volume_back(half: bool) -> None:
    """Weighted means over overlapping tiles of the identity are the identity; every tile is counted."""
    data = torch.rand(1, 9, 14, 11)
    window, told = Window((4, 6, 5), 0.5, half=half), []
    sums = accumulate(slide(torch.clone, data, window, 3, told.append), data.shape[1:], 1, window, data.device)
    apart = ((sums.scores / sums.weights).float() - data).abs()
    assert (apart <= (5e-3 if half else 1e-5)).float().mean() >= (0.99 if half else 1)
    assert sum(told) == len(tiles((9, 14, 11), window))


def test_mirror_images_are_turned_back_and_averaged() -> None:
    """A network that adds a ramp gives a flat mean over both directions; a symmetric one is not changed."""
    ramp = torch.arange(4.0).reshape(1, 1, 4, 1, 1)
    x = torch.rand(2, 1, 4, 3, 2)
    seen: list[torch.Tensor] = []

    def network(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch)
        return batch + ramp

    torch.testing.assert_close(mirrored(network, x, (0,)), x + 1.5)
    assert len(seen) == 2
    torch.testing.assert_close(mirrored(lambda b: b * 2, x, (0, 1, 2)), x * 2)
    seen.clear()
    mirrored(network, x, (0, 1, 2))
    assert len(seen) == 8


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31 - 1), st.sampled_from([torch.float16, torch.float32]), st.integers(1, 15))
def test_the_strongest_is_the_first_of_the_highest(seed: int, kind: torch.dtype, heads: int) -> None:
    """The same numbers as argmax, ties included, in uint8."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 3, (heads, 19, 3, 2), generator=generator).to(kind)
    best = strongest(scores)
    assert best.dtype == torch.uint8
    np.testing.assert_array_equal(best.numpy(), scores.numpy().argmax(0))


def test_overflow_in_half_precision_is_seen_as_the_reference_sees_it() -> None:
    """A score that became no number wins, as in argmax."""
    scores = torch.tensor([[1.0, 2.0], [float("nan"), 1.0]], dtype=torch.float16)[:, :, None, None]
    assert strongest(scores).flatten().tolist() == [1, 0]
