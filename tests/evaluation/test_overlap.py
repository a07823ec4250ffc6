"""Measures of two masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spineps_pacs.evaluation.overlap import assd, dice, iou

MASKS = arrays(bool, (3, 4, 5))


def _block(low: int, high: int) -> np.ndarray:
    mask = np.zeros((6, 6, 12), bool)
    mask[1:5, 1:5, low:high] = True
    return mask


def test_dice_and_iou_of_blocks() -> None:
    """Two blocks of 4 voxels' length that share 3: Dice 2*3/8, IoU 3/5."""
    assert dice(_block(2, 6), _block(3, 7)) == pytest.approx(0.75)
    assert iou(_block(2, 6), _block(3, 7)) == pytest.approx(0.6)


def test_nothing_to_compare_is_no_number() -> None:
    """Two empty masks have no Dice; one empty mask has a Dice of 0 and no distance."""
    empty = np.zeros((3, 3, 3), bool)
    full = np.ones((3, 3, 3), bool)
    assert math.isnan(dice(empty, empty))
    assert math.isnan(iou(empty, empty))
    assert dice(full, empty) == 0
    assert math.isnan(assd(full, empty, (1, 1, 1)))


def test_distance_of_single_voxels() -> None:
    """Two single voxels two columns apart, 1.5 mm each, are 3 mm apart."""
    one, other = np.zeros((2, 3, 3, 5), bool)
    one[1, 1, 1] = other[1, 1, 3] = True
    assert assd(one, other, (4.0, 1.0, 1.5)) == pytest.approx(3.0)


def test_distance_of_plates() -> None:
    """Two plates of one voxel's thickness are their spacing apart, from either side."""
    one, other = np.zeros((2, 8, 6, 6), bool)
    one[2], other[4] = True, True
    assert assd(one, other, (3.3, 1.0, 1.0)) == pytest.approx(6.6)


def test_distance_weighs_both_surfaces() -> None:
    """A voxel against a row of three: distances 0 one way, 0, 1 and 2 the other, over four surface voxels."""
    one, other = np.zeros((2, 3, 3, 5), bool)
    one[1, 1, 1] = True
    other[1, 1, 1:4] = True
    assert assd(one, other, (1.0, 1.0, 1.0)) == pytest.approx(3 / 4)


@given(MASKS, MASKS)
def test_measures_do_not_care_which_is_first(one: np.ndarray, other: np.ndarray) -> None:
    """Swapping the masks changes nothing, and Dice is IoU in another coat."""
    for measure in (dice, iou):
        assert measure(one, other) == pytest.approx(measure(other, one), nan_ok=True)
    share = iou(one, other)
    assert dice(one, other) == pytest.approx(2 * share / (1 + share), nan_ok=True)
    there, back = assd(one, other, (2.0, 1.0, 1.0)), assd(other, one, (2.0, 1.0, 1.0))
    assert there == pytest.approx(back, nan_ok=True)


@given(MASKS, st.integers(1, 3))
def test_a_mask_is_no_distance_from_itself(mask: np.ndarray, step: int) -> None:
    """Equal masks have Dice 1 and distance 0, whatever the spacing."""
    if mask.any():
        assert dice(mask, mask) == 1
        assert assd(mask, mask, (step, 1.0, 1.0)) == 0
