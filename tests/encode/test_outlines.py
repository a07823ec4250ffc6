"""Tests of outlines: they enclose exactly the mask."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spineps_pacs.encode.outlines import outlines

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def area(polygon: np.ndarray) -> float:
    """Signed area by the shoelace formula; outlines and holes run in opposite directions."""
    rows, columns = polygon.T
    return float(np.sum(rows * np.roll(columns, 1) - np.roll(rows, 1) * columns)) / 2


@settings(deadline=None)
@given(MASKS)
def test_the_enclosed_area_is_the_number_of_pixels(mask: np.ndarray) -> None:
    """Outer polygons less their holes cover as much as the mask has pixels."""
    assert sum(area(p) for p in outlines(mask)) == mask.sum()


@settings(deadline=None)
@given(MASKS)
def test_inside_is_inside(mask: np.ndarray) -> None:
    """A pixel centre lies within an odd number of polygons exactly where the mask is set."""
    polygons = outlines(mask)
    for row, column in np.ndindex(mask.shape):
        crossings = sum(_crossings(p, row, column) for p in polygons)
        assert crossings % 2 == mask[row, column]


def _crossings(polygon: np.ndarray, row: int, column: int) -> int:
    ahead = np.roll(polygon, -1, axis=0)
    between = (polygon[:, 0] > row) != (ahead[:, 0] > row)  # edges run along rows and columns
    return int((between & (polygon[:, 1] > column)).sum())


def test_a_square_has_four_corners() -> None:
    """Points on a straight edge are left out; corners lie half a pixel outside."""
    mask = np.zeros((6, 6), dtype=bool)
    mask[1:4, 2:5] = True
    (polygon,) = outlines(mask)
    assert sorted(map(tuple, polygon)) == [(0.5, 1.5), (0.5, 4.5), (3.5, 1.5), (3.5, 4.5)]


def test_nothing_has_no_outline() -> None:
    """An empty mask gives no polygon."""
    assert outlines(np.zeros((3, 3), dtype=bool)) == []
