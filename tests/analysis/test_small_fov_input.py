"""What the small-field-of-view networks are given, and the way back to the source grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spineps_pacs.analysis.small_fov_input import COLUMNS, PIXEL_MM, ROWS, prepare, scaled, with_neighbours
from spineps_pacs.analysis.small_fov_split import normals
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.volume import Geometry, Volume


def _volume(shape: tuple[int, int, int], pixel: float = PIXEL_MM) -> Volume:
    """A usual sagittal series, rows to Inferior and columns to Posterior, with noise."""
    affine = np.array([[3.3, 0, 0, 0], [0, 0, pixel, 0], [0, -pixel, 0, 0], [0, 0, 0, 1]])
    return Volume(np.random.default_rng(3).random(shape), Geometry(affine, shape))


@pytest.mark.parametrize("shape", [(2, 100, 60), (2, 1000, 60), (2, 100, 400), (2, 897, 321)])
def test_there_and_back(shape: tuple[int, int, int]) -> None:
    """Labels drawn on the networks' grid lie on the voxels that the networks saw; what they did not see is 0."""
    volume = _volume(shape)
    ready = prepare(volume)
    assert ready.image.shape == (2, ROWS, COLUMNS)
    back = ready.on_source(np.full(ready.image.shape, 7, np.uint8))
    rows, columns = min(shape[1], COLUMNS), min(shape[2], ROWS)
    assert (back == 7).sum() == 2 * rows * columns
    assert (back == 7)[:, :rows].any(axis=2).all()
    assert not (back[:, COLUMNS:] == 7).any()
    assert any("was cropped" in note for note in ready.notes) == (shape[1] > COLUMNS or shape[2] > ROWS)


def test_another_pixel_is_resampled() -> None:
    """An image of half the pixel becomes half as large in pixels, and the way back has its shape."""
    volume = _volume((2, 200, 120), PIXEL_MM / 2)
    ready = prepare(volume)
    seen = ready.image[0] > ready.image[0, 0, 0]
    assert 55 <= seen.any(axis=1).sum() <= 60
    assert 95 <= seen.any(axis=0).sum() <= 100
    assert ready.on_source(np.ones(ready.image.shape, np.uint8)).shape == volume.voxels.shape


def test_pixels_that_are_no_squares_become_squares() -> None:
    """Rows of 1.7 mm and columns of 0.425 mm: the field keeps its millimetres in both directions."""
    affine = np.array([[3.3, 0, 0, 0], [0, 0, PIXEL_MM / 2, 0], [0, -2 * PIXEL_MM, 0, 0], [0, 0, 0, 1]])
    volume = Volume(1 + np.random.default_rng(3).random((2, 60, 80)), Geometry(affine, (2, 60, 80)))
    seen = prepare(volume).image[0] > 0.1
    assert (seen.any(axis=1).sum(), seen.any(axis=0).sum()) == (40, 120)


@given(st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
@settings(max_examples=12, deadline=None)
def test_the_way_in_which_an_image_is_stored_does_not_matter(order: list[int], turned: tuple[bool, ...]) -> None:
    """The same image with its axes in any order and direction is shown alike, but for the direction of slices."""
    plain = _volume((3, 60, 40))
    flips = tuple(slice(None, None, -1) if turn else slice(None) for turn in turned)
    voxels = plain.voxels.transpose(order)[flips]
    steps = plain.geometry.affine[:3, order]
    affine = np.eye(4)
    affine[:3, :3] = steps * np.where(turned, -1, 1)
    affine[:3, 3] = sum((steps[:, n] * (voxels.shape[n] - 1) for n in range(3) if turned[n]), np.zeros(3))
    stored = prepare(Volume(voxels, Geometry(affine, voxels.shape)))
    as_it_came = prepare(plain)
    shown = stored.image[::-1] if turned[order.index(0)] else stored.image
    assert np.allclose(shown, as_it_came.image, atol=1e-6)
    greys = stored.on_source(np.round(stored.image * 1000).astype(np.int64))
    assert np.abs(greys - voxels / voxels.max() * 1000).max() < 1  # the field around the image is 0, so is the least


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 5), (3, 4, 4)])
@pytest.mark.parametrize("pixel", [0.1, PIXEL_MM, 5.0])
def test_very_small_images_go_there_and_back(shape: tuple[int, int, int], pixel: float) -> None:
    """A few voxels of any size have a place in the field, and labels for each shape."""
    volume = Volume(np.ones(shape), _volume(shape, pixel).geometry)
    ready = prepare(volume)
    assert ready.image.max() == 1
    assert ready.on_source(np.ones(ready.image.shape, np.uint8)).shape == shape


def test_a_pixel_out_of_range_is_refused() -> None:
    """A pixel of 20 mm is a mistake, and the sentence says so."""
    with pytest.raises(Unusable, match="20 mm is out of range"):
        prepare(_volume((2, 10, 10)), 20)


def test_neighbours() -> None:
    """Each slice stands between its neighbours; the ends repeat the inner one; one slice stands for all three."""
    image = np.arange(3, dtype=np.float32)[:, None, None]
    assert with_neighbours(image)[..., 0, 0].tolist() == [[1, 0, 1], [0, 1, 2], [1, 2, 1]]
    assert with_neighbours(image[:1])[..., 0, 0].tolist() == [[0, 0, 0]]


def test_scaling() -> None:
    """The least value becomes 0, the largest 1; equal values and no numbers are refused."""
    assert scaled(np.array([-2.0, 0, 2])).tolist() == [0, 0.5, 1]
    with pytest.raises(Unusable, match="the value 5"):
        scaled(np.full(4, 5.0))
    with pytest.raises(Unusable, match="no numbers"):
        scaled(np.array([1.0, np.nan]))


def test_normals_follow_the_curve() -> None:
    """Normals run down from neighbour to neighbour, beyond the ends along the curve; one point looks straight down."""
    heights = np.arange(5.0)
    points = np.stack([0 * heights, heights**2, -heights], axis=1)
    assert np.allclose(normals(points)[:, 1], 4 * heights)
    assert np.allclose(normals(points)[:, 2], -2)
    assert normals(points[:1]).tolist() == [[0, 0, -1]]
    assert np.allclose(normals(points[:2]), [[0, 2, -2], [0, 2, -2]])
