"""Numbers of phantom spines against their truth: a short form of scripts/measurement_table.py."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.measurement_table import Row, compare, draw_case

SEEDS = (2000, 2007, 2009)
"""Small fields of view of chest, neck and lumbar spine."""


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    return compare(draw_case(seed, coarse=True) for seed in SEEDS)


def of(rows: dict[str, Row], *beginnings: str) -> np.ndarray:
    """Error, truth and uncertainty of all numbers of these kinds (n, 3)."""
    return np.array([found for kind, row in rows.items() if kind.startswith(beginnings) for found in row.found])


def test_nearly_all_that_the_field_of_view_allows_is_measured(rows: dict[str, Row]) -> None:
    """At least 95 % of the numbers that are true within the field of view are given."""
    assert sum(row.possible for row in rows.values()) > 200
    assert sum(len(row.found) for row in rows.values()) >= 0.95 * sum(row.possible for row in rows.values())


@pytest.mark.parametrize(
    ("kinds", "limit"),
    [
        (("body_height_anterior", "body_height_middle", "body_height_posterior"), 1.0),
        (("disc_height",), 1.0),
        (("slip", "canal_ap_diameter"), 1.0),
        (("lordosis", "kyphosis"), 3.0),
    ],
)
def test_lengths_and_angles_are_near_the_truth(rows: dict[str, Row], kinds: tuple[str, ...], limit: float) -> None:
    """The median error is at most 1 mm for lengths and 3 degrees for angles."""
    assert np.median(np.abs(of(rows, *kinds)[:, 0])) <= limit


@pytest.mark.parametrize("kind", ["canal_area", "cord_area"])
def test_areas_are_near_the_truth(rows: dict[str, Row], kind: str) -> None:
    """The median error is at most a tenth of the area."""
    error, truth, _ = of(rows, kind).T
    assert np.median(np.abs(error) / truth) <= 0.1


def test_uncertainties_hold(rows: dict[str, Row]) -> None:
    """At least 95 % of all numbers but voxel counts lie within their uncertainty of the truth, which is not idle."""
    error, truth, wide = of(rows, "body", "disc_height", "canal", "cord", "slip", "lordosis", "kyphosis").T
    assert (np.abs(error) <= wide).mean() >= 0.95
    heights = of(rows, "body_height_middle")
    assert np.median(heights[:, 2] / heights[:, 1]) < 0.1
    assert truth.size > 200


def test_voxel_counts_are_exact(rows: dict[str, Row]) -> None:
    """Volumes of what lies wholly in view are the voxels of the truth."""
    error, truth, _ = of(rows, "volume", "disc_volume").T
    assert np.abs(error / truth).max() < 1e-4
