"""Steps between grids: there and back is the identity, and resampling equals the reference's arithmetic."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from spineps_pacs.analysis import geometry as g
from spineps_pacs.domain.volume import Geometry

LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    out = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (a for a in range(3) if a != axis)
        turned = np.eye(3)
        turned[i, i] = turned[j, j] = np.cos(angle)
        turned[i, j], turned[j, i] = -np.sin(angle), np.sin(angle)
        out = out @ turned
    return out


@st.composite
def grids(draw: st.DrawFn, tilt: float = 0.5) -> Geometry:
    """A grid in any orientation: axes permuted, flipped and tilted, any spacing and place."""
    angles = [draw(st.floats(-tilt, tilt)) for _ in range(3)]
    order = draw(st.permutations(range(3)))
    signs = [draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)]
    spacing = [draw(st.floats(0.4, 5.0)) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = rotation(tuple(angles)) @ np.eye(3)[:, order] * signs * spacing
    affine[:3, 3] = [draw(st.floats(-300, 300)) for _ in range(3)]
    shape = tuple(draw(st.integers(1, 7)) for _ in range(3))
    return Geometry(affine, shape, "1.2.3")


def numbered(grid: Geometry) -> np.ndarray:
    return np.arange(np.prod(grid.shape), dtype=np.int32).reshape(grid.shape) + 1


def same_places(before: Geometry, after: Geometry, moved: np.ndarray) -> None:
    """Every voxel that was carried over still lies where it lay in the patient."""
    index = np.argwhere(moved)
    number = moved[tuple(index.T)] - 1
    origin = np.stack(np.unravel_index(number, before.shape), axis=-1)
    np.testing.assert_allclose(after.to_world(index), before.to_world(origin), atol=1e-6)


@settings(deadline=None)
@given(grids(), st.permutations(["LR", "AP", "SI"]), st.tuples(*[st.integers(0, 1)] * 3))
def test_a_turn_and_its_way_back_is_the_identity(grid: Geometry, ends: list[str], pick: tuple[int, ...]) -> None:
    """A turn runs along the letters asked for, keeps every voxel at its place in the patient, and can be undone."""
    to = "".join(pair[n] for pair, n in zip(ends, pick, strict=True))
    step = g.turn(grid, to)
    there = step.there(numbered(grid))
    assert g.axes_of(step.after) == to
    same_places(grid, step.after, there)
    np.testing.assert_array_equal(step.back(there), numbered(grid))


@settings(deadline=None)
@given(grids(tilt=0.7))
def test_axes_are_named_as_nibabel_names_them(grid: Geometry) -> None:
    """The letters agree with nibabel's, which the reference uses."""
    assert g.axes_of(grid) == "".join(nibabel.aff2axcodes(LPS_RAS @ grid.affine))


@settings(deadline=None)
@given(grids(), st.data())
def test_crop_and_pad_keep_places(grid: Geometry, data: st.DataObject) -> None:
    """Cropping and padding keep every remaining voxel at its place, and each undoes itself."""
    box = []
    for n in grid.shape:
        start = data.draw(st.integers(0, n - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, n))))
    cut = g.crop(grid, box)
    there = cut.there(numbered(grid))
    same_places(grid, cut.after, there)
    np.testing.assert_array_equal(cut.there(cut.back(there)), there)
    widths = [(data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))) for _ in range(3)]
    padded = g.pad(grid, widths)
    same_places(grid, padded.after, padded.there(numbered(grid)))
    np.testing.assert_array_equal(padded.back(padded.there(numbered(grid))), numbered(grid))


def test_a_bounding_box_is_tight_and_stays_inside() -> None:
    """The box ends at the outermost true voxels, a margin is cut at the array's ends, and nothing gives None."""
    inside = np.zeros((5, 6, 7), bool)
    assert g.bounding_box(inside) is None
    inside[2, 1, 3] = inside[3, 4, 3] = True
    assert g.bounding_box(inside) == (slice(2, 4), slice(1, 5), slice(3, 4))
    assert g.bounding_box(inside, 2) == (slice(0, 5), slice(0, 6), slice(1, 6))


SOURCES = [(0.8, 0.8, 3.3), (0.75, 0.75, 1.65), (1.0, 1.0, 4.0), (0.6875, 0.6875, 5.0), (1.5, 1.5, 1.5)]


def pair(spacing: tuple[float, float, float], angle: float, target: tuple[float, ...]) -> tuple[Geometry, Geometry]:
    affine = np.eye(4)
    affine[:3, :3] = rotation((angle, angle / 2, -angle)) * spacing
    affine[:3, 3] = (13.7, -88.2, 41.3)
    grid = Geometry(affine, (23, 31, 11))
    return grid, g.rescaled(grid, target)


@pytest.mark.parametrize("spacing", SOURCES)
@pytest.mark.parametrize("angle", [0.0, 0.21])
@pytest.mark.parametrize("kind", ["uint16", "int16", "float32", "uint8"])
def test_cubic_equals_scipy(spacing: tuple[float, float, float], angle: float, kind: str) -> None:
    """Our separable cubic gives scipy's voxels: all whole numbers equal, floats to 1e-4 of their range."""
    source, target = pair(spacing, angle, (0.75, 0.75, 1.65))
    image = np.random.default_rng(3).integers(0, 250, source.shape).astype(kind)
    both = np.linalg.inv(source.affine) @ target.affine
    wanted = ndimage.affine_transform(image, both[:3, :3], both[:3, 3], target.shape, order=3, mode="nearest")
    got = g.cubic(image, source, target)
    assert got.dtype == image.dtype
    if kind == "float32":
        np.testing.assert_allclose(got, wanted, atol=0.02)
    else:
        np.testing.assert_array_equal(got, wanted)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SOURCES), st.sampled_from(SOURCES), st.floats(-0.4, 0.4), st.integers(0, 4))
def test_nearest_equals_scipy(
    spacing: tuple[float, float, float], target: tuple[float, float, float], angle: float, width: int
) -> None:
    """Labels land exactly where scipy puts them, also where a voxel centre falls half way between two."""
    source, scaled = pair(spacing, angle, target)
    scaled = g.pad(scaled, width).after
    labels = np.random.default_rng(4).integers(0, 200, source.shape).astype(np.uint8)
    both = np.linalg.inv(source.affine) @ scaled.affine
    wanted = ndimage.affine_transform(labels, both[:3, :3], both[:3, 3], scaled.shape, order=0, mode="nearest")
    np.testing.assert_array_equal(g.nearest(labels, source, scaled), wanted)


@settings(deadline=None)
@given(grids())
def test_nearest_follows_a_turned_grid(grid: Geometry) -> None:
    """Resampling onto the turned grid is the turn, and onto its own grid nothing."""
    step = g.turn(grid)
    np.testing.assert_array_equal(g.nearest(numbered(grid), grid, step.after), step.there(numbered(grid)))
    assert g.nearest(numbered(grid), grid, grid).shape == grid.shape


@settings(deadline=None)
@given(grids(), st.tuples(*[st.floats(0.5, 4.0)] * 3))
def test_rescaling_keeps_voxel_zero_and_the_field(grid: Geometry, spacing: tuple[float, float, float]) -> None:
    """Voxel 0 stays where it is, the spacing is the one asked for, the field differs by half a voxel at most."""
    target = g.rescaled(grid, spacing)
    np.testing.assert_allclose(target.affine[:3, 3], grid.affine[:3, 3])
    if target is not grid:
        np.testing.assert_allclose(target.spacing, spacing, rtol=1e-9)
        for n, z, m, s in zip(grid.shape, grid.spacing, target.shape, spacing, strict=True):
            assert m == 1 or abs(n * z - m * s) <= s / 2 + 1e-6
    assert g.rescaled(grid, g.zoom(grid)) is grid


def test_whole_numbers_round_away_from_zero_and_stay_in_range() -> None:
    """Half goes away from zero and nothing wraps round."""
    values = np.array([-1.5, -0.4, 0.5, 254.6, 300.0, -2.0])
    np.testing.assert_array_equal(g.round_like(values, np.dtype("uint8")), [0, 0, 1, 255, 255, 0])
    np.testing.assert_array_equal(g.round_like(values, np.dtype("int16")), [-2, 0, 1, 255, 300, -2])


def test_seven_decimals_of_a_grid_are_kept() -> None:
    """As the reference has it; nothing moves by more than rounding."""
    rng = np.random.default_rng(4)
    affine = np.eye(4)
    affine[:3] = rng.normal(0, 3, (3, 4))
    kept = g.as_written(Geometry(affine, (3, 4, 5))).affine
    np.testing.assert_array_equal(kept, np.round(affine, 7))
    assert not np.array_equal(kept, affine)
