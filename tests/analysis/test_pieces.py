"""Growing a mask is what scipy's dilation is."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.analysis.pieces import Neighbours, grown, structure


def mask(seed: int, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """A few voxels here and there, also on the faces."""
    return np.random.default_rng(seed).random(shape) < 0.05


@given(st.integers(0, 10_000), st.tuples(*[st.integers(1, 9)] * 3), st.sampled_from(get_args(Neighbours)))
def test_a_mask_grows_as_by_dilation(seed: int, shape: tuple[int, int, int], neighbours: Neighbours) -> None:
    """For every neighbourhood and shape, one voxel thick ones included; the mask itself stays as it was."""
    given_mask = mask(seed, shape)
    before = given_mask.copy()
    assert np.array_equal(grown(given_mask, neighbours), ndimage.binary_dilation(given_mask, structure(neighbours)))
    assert np.array_equal(given_mask, before)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_labels_grow_as_a_mask(kind: type) -> None:
    """Whatever is not zero counts."""
    labels = (mask(3, (7, 8, 9)) * 5).astype(kind)
    assert np.array_equal(grown(labels), ndimage.binary_dilation(labels > 0, structure(26)))
