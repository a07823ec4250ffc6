"""Tests of analysis/plane_split.py: vertebrae told apart along their discs."""

from __future__ import annotations

import numpy as np

from spineps_pacs.analysis import plane_split


def test_a_crumb_of_disc_divides_no_body() -> None:
    """A piece of disc that is far smaller than those around it makes no plane."""
    structures = np.zeros((20, 130, 20), dtype=np.uint8)
    for row in range(0, 130, 26):
        structures[:, row : row + 20] = 49
        structures[:, row + 20 : row + 26] = 100
    assert plane_split.count(structures, (1.0, 1.0, 1.0)) == 5
    structures[:6, 36:40, :6] = 100
    assert plane_split.count(structures, (1.0, 1.0, 1.0)) == 5
