"""Eleven and thirteen thoracic vertebrae, read from the table of votes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spineps_pacs.analysis.small_fov_fit import NAMES, SACRUM, fit
from spineps_pacs.analysis.small_fov_unusual import T13, level_of, rows_of, unusual
from spineps_pacs.domain.anatomy import VERTEBRAE


def _said(*names: str) -> np.ndarray:
    table = np.zeros((len(names), SACRUM), np.int64)
    for row, name in zip(table, names, strict=True):
        row[NAMES.index(name)] = 100
    return table


def _read(*names: str) -> tuple[tuple[str, ...], bool]:
    said = _said(*names)
    found = unusual(said, fit(said).positions)
    assert found is not None
    return tuple(VERTEBRAE[level_of(at)].name for at in found.positions), found.believed


def test_t12_absent() -> None:
    """T11 above L1 is a spine with eleven thoracic vertebrae."""
    assert _read("T9", "T10", "T11", "L1", "L2", "L3") == (("T9", "T10", "T11", "L1", "L2", "L3"), True)


@pytest.mark.parametrize("called", ["T12", "L1"])
def test_t13_present(called: str) -> None:
    """The thirteenth is called by one of its neighbours' names, and found all the same."""
    wanted = ("T10", "T11", "T12", "T13", "L1", "L2", "L3")
    assert _read("T10", "T11", "T12", called, "L1", "L2", "L3") == (wanted, True)


def test_five_six_and_four_lumbar_vertebrae_below() -> None:
    """An unusual back and an unusual lumbar spine go together."""
    assert _read("T10", "T11", "L1", "L2", "L3", "L4", "S1")[1]
    assert _read("T11", "L1", "L2", "L3", "L4", "L5", "L6", "S1") == (
        ("T11", "L1", "L2", "L3", "L4", "L5", "L6", "S1"), True,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.integers(1, SACRUM), st.integers(1, 14))
def test_a_usual_row_is_never_unusual(start: int, count: int) -> None:
    """What the published rows explain wholly stays as it is."""
    true = NAMES[start - 1 : start - 1 + count]
    said = _said(*true)
    found = unusual(said, fit(said).positions)
    assert found is None or not found.believed


def test_one_misnamed_vertebra_is_not_enough() -> None:
    """A single vertebra called by the next name in a long row does not make an anomaly of its own."""
    said = _said("T8", "T9", "T10", "T11", "T12", "L1", "L2", "L3", "L5", "L5", "S1")
    found = unusual(said, fit(said).positions)
    assert found is not None
    assert not found.believed


def test_rows() -> None:
    """Two vertebrae can only lack T12 between them; nothing runs beyond S1; no row comes twice."""
    assert list(rows_of(1)) == []
    assert list(rows_of(2)) == [(17, 19)]
    for count in range(2, 28):
        rows = list(rows_of(count))
        assert len(rows) == len(set(rows))
        assert all(len(row) == count and min(row) >= 1 and max(row) <= T13 for row in rows)
