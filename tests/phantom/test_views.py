"""Tests of phantom/views.py: where series lie."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.views import AXES, NAMES, Orientation, Raster, place, reach_of
from spineps_pacs.phantom.wishes import Wishes

EVERY = ["".join(c) for pairs in permutations(("LR", "AP", "HF")) for c in product(*pairs)]
RASTER = Raster(5, 8, 6, 4.0, 3.6, 0.8)


@pytest.mark.parametrize("letters", EVERY)
def test_indices_run_as_the_letters_say(letters: str) -> None:
    """Rows and columns run to their sides; slices along the image's normal, which numbers follow or run against."""
    orientation = Orientation(letters)
    grid = place(np.zeros(3), RASTER, orientation, "")
    assert np.allclose(grid.directions[:, 1], AXES[letters[1]])
    assert np.allclose(grid.directions[:, 2], AXES[letters[2]])
    numbers = -grid.directions[:, 0] if orientation.descending else grid.directions[:, 0]
    assert np.allclose(numbers, AXES[letters[0]])
    assert np.linalg.det(np.column_stack([grid.directions[:, 2], grid.directions[:, 1], grid.directions[:, 0]])) > 0.99
    assert np.allclose(grid.to_world(np.array([2, 3.5, 2.5])), 0, atol=1e-5)


def test_names_are_different_orientations() -> None:
    """Each name is one orientation, all sagittal."""
    assert len(set(NAMES.values())) == len(NAMES) >= 8
    assert all(letters[0] in "LR" for letters in NAMES.values())
    assert Orientation.named("lip") == Orientation.named("sagittal") == Orientation("LFP")


def test_oblique_slices_are_turned_by_their_angles() -> None:
    """The normal turns with both angles and all axes stay at right angles."""
    grid = place(np.zeros(3), RASTER, Orientation("LFP", 10, -5), "")
    assert np.allclose(grid.directions.T @ grid.directions, np.eye(3), atol=1e-6)
    angle = np.degrees(np.arccos(abs(grid.directions[0, 0])))
    assert angle == pytest.approx(np.hypot(10, 5), abs=0.2)


@pytest.mark.parametrize("letters", ["LLP", "LF", "XYZ", "LFPA"])
def test_letters_that_are_no_orientation_are_refused(letters: str) -> None:
    """The sentence repeats them."""
    with pytest.raises(ValueError, match=letters):
        Orientation(letters)


def test_a_cut_field_of_view_is_shorter() -> None:
    """Cropping takes its part from the head and from the tail."""
    spine = draw_spine(1, Wishes())
    whole, less = reach_of(spine, "C2-S1"), reach_of(spine, "C2-S1", (0.2, 0.1))
    assert less.height == pytest.approx(0.7 * whole.height)
    assert less.top < whole.top
    assert less.bottom > whole.bottom
    lumbar = reach_of(spine, "L1-L5")
    assert lumbar.top > spine.vertebra("L1").placed.origin[2] > spine.vertebra("L5").placed.origin[2] > lumbar.bottom
