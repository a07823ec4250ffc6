"""Cleaning removes what is small or astray and fills holes, and touches nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spineps_pacs.analysis import semantic_cleaning as cleaning
from spineps_pacs.analysis.semantic_cleaning import Cleaning

REFERENCE = (0.75, 0.75, 1.65)
COARSE = (3.0, 3.0, 3.0)


def empty() -> np.ndarray:
    return np.zeros((24, 60, 20), np.uint8)


@pytest.mark.parametrize(
    ("label", "removed"), [(41, True), (49, True), (61, True), (100, True), (60, False), (26, False), (62, False)]
)
def test_small_pieces_go_by_label(label: int, removed: bool) -> None:
    """29 voxels of the reference size go, 30 stay; cord, sacrum, endplates are left alone; faces join, edges do not."""
    labels = empty()
    labels[1, 1:30, 1] = label
    labels[5, 1:31, 1] = label
    labels[6, 31, 1] = label
    got = cleaning.without_small_pieces(labels, REFERENCE)
    assert (got[1, 1:30, 1] == 0).all() == removed
    assert (got[5, 1:31, 1] == label).all()
    assert (got[6, 31, 1] == 0) == removed


def test_different_labels_do_not_hold_each_other() -> None:
    """A small piece of one label that lies against a large one of another is still small."""
    labels = empty()
    labels[2:10, 2:10, 2:10] = 49
    labels[10, 2:5, 2:5] = 41
    got = cleaning.without_small_pieces(labels, REFERENCE)
    assert (got[10] == 0).all()
    assert np.count_nonzero(got == 49) == 512


def test_a_threshold_below_one_voxel_removes_nothing() -> None:
    """With voxels larger than the threshold a single voxel stays."""
    labels = empty()
    labels[3, 3, 3] = 49
    np.testing.assert_array_equal(cleaning.without_small_pieces(labels, (4.0, 4.0, 4.0)), labels)


def test_pieces_are_reached_from_box_to_box() -> None:
    """A piece near the largest stays, one near that one too, one far away goes, with nothing else cut off."""
    labels = empty()
    labels[2:12, 2:22, 2:10] = 49
    labels[4:10, 25:35, 3:9] = 100
    labels[4:10, 38:44, 3:9] = 41
    labels[18:22, 50:58, 14:18] = 41
    got = cleaning.without_stray_pieces(labels, COARSE)
    wanted = labels.copy()
    wanted[18:22, 50:58, 14:18] = 0
    np.testing.assert_array_equal(got, wanted)


def test_boxes_reach_further_downwards_than_sideways() -> None:
    """Grown by 3 mm each way, touching counts; along the spine another 3 mm are allowed."""
    for gap, axis, kept in ((2, 0, True), (3, 0, False), (3, 1, True), (4, 1, False), (2, 2, True), (3, 2, False)):
        labels = empty()
        labels[2:10, 2:20, 2:10] = 49
        small = [slice(3, 5)] * 3
        small[axis] = slice((10, 20, 10)[axis] + gap, (10, 20, 10)[axis] + gap + 2)
        labels[tuple(small)] = 41
        got = cleaning.without_stray_pieces(labels, COARSE)
        assert (got[tuple(small)] == 41).all() == kept


def test_far_from_the_canal_only_the_sacrum_stays() -> None:
    """64 mm above and below canal and cord everything else goes; without a canal nothing does."""
    labels = empty()
    labels[:, ::6, 5] = 49
    labels[:, 57, 7] = 26
    np.testing.assert_array_equal(cleaning.without_beyond_canal(labels, (3.0, 4.0, 3.0)), labels)
    labels[3, 30, 3], labels[3, 33, 3] = 61, 60
    got = cleaning.without_beyond_canal(labels, (3.0, 4.0, 3.0))
    rows = np.flatnonzero((got == 49).any(axis=(0, 2)))
    assert rows.tolist() == [18, 24, 30, 36, 42, 48]
    assert (got[:, 57, 7] == 26).all()


def test_one_sacrum_is_let_stand_below_the_bodies() -> None:
    """Of the pieces of sacrum the largest below the bodies stays, with its crumbs; what lies higher or alone goes."""
    labels = np.zeros((30, 120, 20), dtype=np.uint8)
    for row in range(20, 80, 15):
        labels[5:15, row : row + 10, 5:15] = 49
    labels[16:20, 2:18, 4:16] = 26  # behind the skull: larger than the one that is right
    labels[10:20, 85:100, 8:12] = 26
    labels[21, 90, 9] = 26  # a crumb of it
    labels[2, 110, 2] = 26  # far away
    found = cleaning.with_one_sacrum(labels, (2.0, 1.0, 1.0))
    expected = np.zeros(labels.shape, dtype=bool)
    expected[10:20, 85:100, 8:12] = expected[21, 90, 9] = True
    assert np.array_equal(found == 26, expected)
    assert np.array_equal(found[~(labels == 26)], labels[~(labels == 26)])


def test_too_small_a_sacrum_is_none() -> None:
    """Less than a thousand cubic millimetres below the bodies is taken for noise."""
    labels = np.zeros((12, 40, 12), dtype=np.uint8)
    labels[2:10, 2:12, 2:10] = 49
    labels[2:10, 20:30, 2:10] = 26
    assert (cleaning.with_one_sacrum(labels, (1.0, 1.0, 1.0)) == 26).sum() == 0
    assert np.array_equal(cleaning.with_one_sacrum(labels, (2.0, 1.0, 1.0)), labels)


def test_holes_take_the_label_around_them() -> None:
    """Background inside a corpus is filled, another label inside it stays, an open bay stays open."""
    labels = empty()
    labels[2:12, 2:12, 2:12] = 49
    labels[4:6, 4:6, 4:6] = 0
    labels[8, 8, 8] = 41
    labels[2:5, 9, 9] = 0
    got = cleaning.filled(labels)
    assert (got[4:6, 4:6, 4:6] == 49).all()
    assert got[8, 8, 8] == 41
    assert (got[2:5, 9, 9] == 0).all()


def test_only_four_labels_are_filled_and_the_first_one_wins() -> None:
    """An arch keeps its hole; a hole in a corpus within a disc belongs to the corpus."""
    labels = empty()
    labels[2:9, 2:9, 2:9] = 41
    labels[5, 5, 5] = 0
    np.testing.assert_array_equal(cleaning.filled(labels), labels)
    labels[2:9, 2:9, 2:9] = 100
    labels[4:7, 4:7, 4:7] = 49
    labels[5, 5, 5] = 0
    assert cleaning.filled(labels)[5, 5, 5] == 49


def test_every_step_can_be_switched_off() -> None:
    """Without steps the labels stay; each step alone changes its own thing."""
    labels = empty()
    labels[2:12, 2:22, 2:10] = 49
    labels[5, 5, 5] = 0
    labels[18:22, 50:58, 14:18] = 41
    labels[20, 2, 2] = 41
    none = Cleaning(False, False, False, False)
    np.testing.assert_array_equal(cleaning.clean(labels, REFERENCE, none), labels)
    assert (
        cleaning.clean(labels, REFERENCE, Cleaning(holes=True, small_pieces=False, stray_pieces=False))[5, 5, 5] == 49
    )
    assert cleaning.clean(labels, REFERENCE, Cleaning(holes=False, stray_pieces=False))[20, 2, 2] == 0
    assert not (cleaning.clean(labels, REFERENCE, Cleaning(holes=False)) == 41).any()


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint8, (6, 9, 5), elements=st.sampled_from([0, 0, 0, 26, 41, 49, 60, 61, 62, 100])))
def test_cleaning_invents_and_moves_nothing(labels: np.ndarray) -> None:
    """Voxels only become background, then background only is filled; each step done twice is done once."""
    zoom = (2.0, 2.0, 2.0)
    got = cleaning.clean(labels, zoom, Cleaning(holes=False))
    assert (got[got != labels] == 0).all()
    whole = cleaning.clean(labels, zoom, Cleaning())
    assert (got[whole != got] == 0).all()
    assert np.isin(whole[whole != got], cleaning.FILLED).all()
    pieces = cleaning.without_small_pieces(labels, zoom)
    np.testing.assert_array_equal(cleaning.without_small_pieces(pieces, zoom), pieces)
    np.testing.assert_array_equal(cleaning.filled(cleaning.filled(labels)), cleaning.filled(labels))
