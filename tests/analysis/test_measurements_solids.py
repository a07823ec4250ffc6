"""Numbers of exact solids: right on every grid, and indifferent to where the patient lies and how the grid runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.volume import Geometry
from tests.analysis.solids import Column, Masks, grid, measured, moved, named, paint, values

SIZE = (66.0, 140.0, 100.0)
LEVELS = named((21, 22, 23))
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
FINE, THICK, COARSE = (2.0, 0.8, 0.8), (4.0, 0.8, 0.8), (4.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def masks() -> Masks:
    return paint(Column(levels=(21, 22)), grid(COARSE, (66.0, 100.0, 86.0)))


def far(column: Column, found: dict, step: tuple[float, float, float]) -> list[str]:
    """Numbers that are missing, or further off than a pixel, a tenth of the canal's or a fifth of the cord's area."""
    wrong = []
    for key, truth in column.truth().items():
        part = {"canal_area": 0.1, "cord_area": 0.2}.get(key[0])
        limit = part * truth if part else 1.1 * step[1]
        if key not in found or found[key].value is None or abs(found[key].value - truth) > limit:
            wrong.append(f"{key}: {found.get(key)} instead of {truth:.2f}")
    return wrong


@pytest.mark.parametrize("step", [FINE, THICK, (5.0, 1.0, 1.0), (3.3, 0.6, 0.6)])
def test_sizes_are_found_at_every_resolution(step: tuple[float, float, float]) -> None:
    """Heights, discs, areas, depth and slip of known solids come out right to a pixel, on thin and on thick slices."""
    column = Column()
    assert far(column, measured(paint(column, grid(step, SIZE)), LEVELS), step) == []


@settings(max_examples=6, deadline=None, phases=NO_SHRINKING)
@given(
    st.floats(-12, 12),
    st.floats(-12, 12),
    st.floats(-40, 40),
    st.floats(0, 14),
    st.floats(22, 30),
)
def test_an_oblique_patient_has_the_same_sizes(
    aside: float, about: float, ahead: float, wedge: float, height: float
) -> None:
    """A patient who leans in any direction on an oblique stack of thick slices is measured as one who lies straight."""
    column = Column(wedge=wedge, height=height, pose=Rotation.from_euler("xyz", (ahead, aside, about), degrees=True))
    turn = Rotation.from_euler("x", ahead / 2, degrees=True)
    assert far(column, measured(paint(column, grid(COARSE, (84.0, 150.0, 130.0), turn)), LEVELS), COARSE) == []


@pytest.mark.parametrize("slip", [-7.0, 4.0, 11.0])
def test_a_slip_is_found_with_its_sign(slip: float) -> None:
    """A body that stands in front of the next has a positive slip of that many mm, one behind a negative one."""
    column = Column(slip=slip)
    found = measured(paint(column, grid(THICK, SIZE)), LEVELS)["slip", 21]
    assert found.value == pytest.approx(column.truth()["slip", 21], abs=1.0)
    assert found.other == 22


def test_an_angle_is_the_angle_between_the_named_endplates() -> None:
    """From the upper endplate of T4 to the lower one of T12, each leaning by half a wedge, it is one wedge."""
    levels = tuple(range(11, 20))
    column = Column(levels, width=28, depth=24, height=16, disc=6, wedge=-12, canal=(17, 15), cord=(9, 7))
    found = measured(paint(column, grid((4.0, 0.7, 0.7), (44.0, 220.0, 60.0))), named(levels))
    assert found["kyphosis_thoracic", 0].value == pytest.approx(12.0, abs=1.0)
    assert (found["kyphosis_thoracic", 0].subject, found["kyphosis_thoracic", 0].other) == (11, 19)
    assert found["lordosis_lumbar", 0].value is None


@settings(max_examples=6, deadline=None, phases=NO_SHRINKING)
@given(st.integers(0, 2**32 - 1))
def test_a_turned_grid_changes_no_number(masks: Masks, seed: int) -> None:
    """When patient and grid are turned and moved together, every number stays what it was.

    By up to 40 degrees about any axis, so that the slices still follow one another from left to right.
    """
    rng = np.random.default_rng(seed)
    affine, axis = np.eye(4), rng.normal(size=3)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * rng.uniform(0, 40), degrees=True)
    affine[:3, :3] = turn.as_matrix()
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    assert_same(values(moved(masks, affine), LEVELS), values(masks, LEVELS))


@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("swap", [False, True])
def test_the_order_of_voxels_changes_no_number(masks: Masks, flips: tuple[int, ...], swap: bool) -> None:
    """Slices, rows or columns that run the other way, or rows and columns exchanged, give the same numbers."""
    assert_same(values(tuple(reordered(m, flips, swap) for m in masks), LEVELS), values(masks, LEVELS))


def reordered(mask: SemanticMask | InstanceMask, flips: tuple[int, ...], swap: bool) -> SemanticMask | InstanceMask:
    """The same mask with its voxels in another order, and the affine that says so."""
    labels, affine = np.flip(mask.labels, flips), mask.geometry.affine.copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (mask.geometry.shape[axis] - 1)
        affine[:3, axis] *= -1
    if swap:
        labels, affine = labels.swapaxes(1, 2), affine[:, [0, 2, 1, 3]]
    return type(mask)(np.ascontiguousarray(labels), Geometry(affine, labels.shape))


def test_left_and_right_mirrored_is_the_same(masks: Masks) -> None:
    """A mirrored patient has the same numbers."""
    assert_same(values(moved(masks, np.diag([-1.0, 1.0, 1.0, 1.0])), LEVELS), values(masks, LEVELS))


@settings(max_examples=5, deadline=None, phases=NO_SHRINKING)
@given(st.floats(0.8, 1.25))
def test_a_larger_patient_has_larger_numbers(masks: Masks, scale: float) -> None:
    """Scaling patient and grid scales lengths, areas and volumes by its first, second and third power."""
    before, after = values(masks, LEVELS), values(moved(masks, np.diag([scale] * 3 + [1.0])), LEVELS)
    assert before.keys() == after.keys()
    for (kind, subject), value in before.items():
        power = 3 if kind.endswith("volume") else 2 if kind.endswith("area") else 0 if kind.endswith("ratio") else 1
        tolerance = 0.25 if kind == "slip" else 0.02 * abs(value * scale**power)
        assert after[kind, subject] == pytest.approx(value * scale**power, abs=tolerance), kind


def test_volumes_are_voxels(masks: Masks) -> None:
    """The volume of a vertebra or disc is the number of its voxels times the volume of one."""
    found, instances = values(masks, LEVELS), masks[1]
    for kind, i in (("volume", 22), ("disc_volume", 121)):
        assert found[kind, i] == pytest.approx((instances.labels == i).sum() * instances.geometry.voxel_volume)


def test_a_height_is_as_long_as_its_line(masks: Masks) -> None:
    """The two points of a height, of the canal's depth and of a slip are as far apart as the number says."""
    found = measured(masks, LEVELS)
    for kind, i in (
        ("body_height_anterior", 21),
        ("disc_height_posterior", 121),
        ("canal_ap_diameter", 22),
        ("slip", 21),
    ):
        answer = found[kind, i]
        first, second = np.array(answer.points)
        assert np.linalg.norm(first - second) == pytest.approx(abs(answer.value), abs=2e-3)


def test_a_body_without_slices_beside_the_middle_is_not_measured() -> None:
    """Two slices through a body are too few for its shape: the answer says how many there are."""
    column = Column(width=8.0, depth=36.0)
    found = measured(paint(column, grid(THICK, (64.0, *SIZE[1:]))), LEVELS)["body_height_middle", 22]
    assert found.value is None
    assert "2 slices" in found.reason


def assert_same(first: dict, second: dict) -> None:
    """The same keys, and values equal but for rounding on the lattice of look-ups."""
    assert first.keys() == second.keys()
    wrong = {
        key: (first[key], second[key])
        for key in first
        if abs(first[key] - second[key]) > 0.02 + 1e-3 * abs(second[key])
    }
    assert wrong == {}


def test_a_fractured_body_is_low_in_front() -> None:
    """A wedge of 30 degrees shows in the ratio of front to back height."""
    column = replace(Column(), wedge=-24.0, disc=20.0)
    found = values(paint(column, grid(THICK, (66.0, 160.0, 100.0))), LEVELS)
    truth = column.truth()
    expected = truth["body_height_anterior", 22] / truth["body_height_posterior", 22]
    assert found["body_height_ratio", 22] == pytest.approx(expected, abs=0.08)
