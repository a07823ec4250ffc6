"""The sliding fit on tables of votes: variants of the lumbar end, margins, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spineps_pacs.analysis.small_fov_fit import NAMES, SACRUM, fit, mismatch, namings
from spineps_pacs.domain.errors import Unusable


def _said(*positions: int, voxels: int = 100) -> np.ndarray:
    """Each vertebra wholly named as one position."""
    table = np.zeros((len(positions), SACRUM), np.int64)
    table[np.arange(len(positions)), np.array(positions) - 1] = voxels
    return table


def test_the_names() -> None:
    """There are 25 names, from C2 to S1, with L6."""
    assert len(NAMES) == 25
    assert (NAMES[0], NAMES[5], NAMES[6], NAMES[17], NAMES[23], NAMES[24]) == ("C2", "C7", "T1", "T12", "L6", "S1")


def test_every_start_is_tried_once() -> None:
    """One vertebra has 25 places, two have 24 and two that end in S1 with a gap; nothing is tried twice."""
    assert len(list(namings(1))) == 25
    assert len(list(namings(2))) == 24 + 2
    assert set(namings(2)) >= {(22, 25), (23, 25), (24, 25)}
    assert len(set(namings(4))) == len(list(namings(4)))


def test_mismatch_is_the_difference_of_ids_and_one_more() -> None:
    """A voxel called by the next name costs 3, by the one after that 5; a right one nothing."""
    assert mismatch((5,), _said(5)) == 0
    assert mismatch((5,), _said(6)) == 3
    assert mismatch((5, 6), _said(5, 8)) == 2.5


def test_a_vertebra_misnamed_in_the_middle_is_outvoted() -> None:
    """One wrong name among five does not move the row, and its share tells which one it was."""
    found = fit(_said(19, 20, 24, 22, 23))
    assert found.positions == (19, 20, 21, 22, 23)
    assert found.shares == (1, 1, 0, 1, 1)
    assert 0 < found.margin < 1


def test_margin_is_small_where_the_network_wavers() -> None:
    """Half of the voxels named one further down: two starts cost the same, and the margin says so."""
    found = fit(_said(10, 11, 12) + _said(11, 12, 13))
    assert found.margin == pytest.approx(0)
    assert found.confidence == 0
    assert set(found.doubled) == set(found.positions)


@pytest.mark.parametrize("last", [23, 25])
def test_the_last_vertebra_has_its_own_margin(last: int) -> None:
    """Below L4 may follow L5, or S1 where L5 is absent: the margin between them is told."""
    found = fit(_said(20, 21, 22, last))
    assert found.positions == (20, 21, 22, last)
    assert found.end_margin == pytest.approx(5 / 12)  # a quarter of the voxels, two names away: 5 of 3 a shift


def test_what_cannot_be_fitted_is_said() -> None:
    """No vertebra, more than there are names, and no named voxel: a sentence each."""
    with pytest.raises(Unusable, match="0 vertebrae"):
        fit(np.zeros((0, SACRUM), np.int64))
    with pytest.raises(Unusable, match="26 vertebrae were told apart, which 25 names"):
        fit(np.ones((26, SACRUM), np.int64))
    with pytest.raises(Unusable, match="named no voxel"):
        fit(np.zeros((3, SACRUM), np.int64))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 25), st.integers(1, 12), st.integers(1, 500))
def test_a_row_without_error_is_found_whatever_its_size(start: int, count: int, voxels: int) -> None:
    """Any run of names is found with no mismatch, and the curve is least there."""
    true = tuple(range(start, min(start + count, SACRUM + 1)))
    found = fit(_said(*true, voxels=voxels))
    assert found.positions == true
    assert found.curve.index(min(found.curve)) == start - 1
