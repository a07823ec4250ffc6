"""Tests of phantom/voxels.py: the labels of a spine on grids of any kind."""

from __future__ import annotations

import numpy as np
import pytest

from spineps_pacs.domain.anatomy import LEVEL_IDS
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.voxels import Labels, voxelise
from spineps_pacs.phantom.wishes import Wishes, level_names
from tests.phantom import grids

ALL_STRUCTURES = {26, 41, 42, 43, 44, 45, 46, 47, 48, 49, 60, 61, 62, 100}


@pytest.fixture(scope="module")
def spine() -> Spine:
    """An ordinary spine."""
    return draw_spine(3, Wishes())


@pytest.fixture(scope="module")
def labels(spine: Spine) -> Labels:
    """It on the coarse grid of the whole spine."""
    return voxelise(spine, grids.whole())


def ids(labels: Labels) -> set[int]:
    """The instance ids present."""
    return {int(i) for i in np.unique(labels.instances) if i}


def test_a_whole_spine_has_all_structures_and_levels(labels: Labels) -> None:
    """14 structures, 23 vertebrae and the sacrum, a disc and endplates for each."""
    assert {int(i) for i in np.unique(labels.structures) if i} == ALL_STRUCTURES
    levels = [LEVEL_IDS[n] for n in level_names() if n != "S1"]
    assert ids(labels) == {26, *levels, *(100 + i for i in levels), *(200 + i for i in levels)}


def test_structure_and_instance_agree(labels: Labels) -> None:
    """Every voxel of a disc has a disc's id, every endplate an endplate's, canal and cord none."""
    s, i = labels.structures, labels.instances
    assert ((s == 100) == ((i > 100) & (i < 200))).all()
    assert ((s == 62) == (i > 200)).all()
    assert (i[(s == 60) | (s == 61)] == 0).all()
    assert ((s == 26) == (i == 26)).all()
    assert (((s >= 41) & (s <= 49)) == ((i > 0) & (i < 100) & (i != 26))).all()


@pytest.mark.parametrize(("left", "right"), [(43, 44), (45, 46), (47, 48)])
def test_left_is_left_in_the_patient(labels: Labels, left: int, right: int) -> None:
    """Of paired processes the left one lies to the patient's left, in every vertebra."""
    grid = labels.geometry
    for level in range(3, 25):
        own = labels.instances == level
        points = [grid.to_world(np.argwhere(own & (labels.structures == side))) for side in (left, right)]
        if min(map(len, points)) > 3:
            middle = grid.to_world(np.argwhere(own & (labels.structures == 49))).mean(axis=0)[0]
            assert points[0].mean(axis=0)[0] > middle > points[1].mean(axis=0)[0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flipped_grid_shows_the_same_anatomy(spine: Spine, axis: int) -> None:
    """Labels belong to world points: counting voxels from the other end changes nothing."""
    grid = grids.sagittal((0, 0, -120), (60, 120, 110), (3.0, 2.0, 2.0))
    straight = voxelise(spine, grid)
    turned = voxelise(spine, grids.flipped(grid, axis))
    same = np.flip(turned.instances, axis) == straight.instances
    assert same.mean() > 0.9995
    assert (np.flip(turned.structures, axis) == straight.structures).mean() > 0.9995


def test_axes_in_another_order_show_the_same_anatomy(spine: Spine) -> None:
    """An axial or coronal grid of the same voxels has the same labels."""
    grid = grids.sagittal((0, 0, -120), (60, 100, 110), (3.0, 2.0, 2.0))
    straight, moved = voxelise(spine, grid), voxelise(spine, grids.transposed(grid, (1, 2, 0)))
    assert (moved.structures.transpose(2, 0, 1) == straight.structures).mean() > 0.9995


def test_an_oblique_grid_shows_the_same_anatomy(spine: Spine) -> None:
    """On a turned grid each voxel has the label that a fine straight grid has at its place."""
    fine = voxelise(spine, grids.sagittal((0, 0, -100), (70, 110, 110), (1.0, 1.0, 1.0)))
    oblique = voxelise(spine, grids.rotated(grids.sagittal((0, 0, -100), (40, 50, 50), (3.0, 2.0, 2.0)), (12, -8, 20)))
    index = np.rint(
        fine.geometry.to_index(oblique.geometry.to_world(np.argwhere(np.ones(oblique.structures.shape))))
    ).astype(int)
    there = fine.structures[tuple(index.T)].reshape(oblique.structures.shape)
    assert (there == oblique.structures).mean() > 0.9
    for structure in (49, 61, 100):
        both = ((there == structure) & (oblique.structures == structure)).sum()
        either = (there == structure).sum() + (oblique.structures == structure).sum()
        assert 2 * both / either > 0.85


def test_the_anatomy_goes_on_beyond_every_field_of_view(spine: Spine) -> None:
    """The first and last slab of a field of view show vertebrae of their own level wherever it is put."""
    for level in range(4, 24):
        name = next(n for n, i in LEVEL_IDS.items() if i == level)
        x, y, z = spine.vertebra(name).placed.origin
        part = voxelise(spine, grids.sagittal((x, y + 15, z), (9, 12, 70), (3.0, 2.0, 2.0)))
        assert level in ids(part)
        assert 61 in np.unique(part.structures)


def test_the_sacrum_reaches_below_the_last_disc(labels: Labels, spine: Spine) -> None:
    """The sacrum tapers: its upper third is wider than its lower end."""
    where = labels.geometry.to_world(np.argwhere(labels.structures == 26))
    height = np.quantile(where[:, 2], [0.07, 0.67])
    upper, lower = where[where[:, 2] > height[1]][:, 0], where[where[:, 2] < height[0]][:, 0]
    assert np.ptp(upper) > 1.3 * np.ptp(lower)
    assert where[:, 2].max() < spine.vertebra("L5").placed.origin[2] + 10


def test_the_cord_ends_at_the_conus(labels: Labels, spine: Spine) -> None:
    """No cord below L3, cord in the neck, canal on both sides of the conus."""
    z = {s: labels.geometry.to_world(np.argwhere(labels.structures == s))[:, 2] for s in (60, 61)}
    assert z[60].min() > spine.vertebra("L3").placed.origin[2]
    assert z[60].max() > spine.vertebra("C3").placed.origin[2]
    assert z[61].min() < spine.vertebra("L5").placed.origin[2]


def test_the_same_seed_gives_the_same_labels(spine: Spine) -> None:
    """Drawn and voxelised again, nothing differs; another seed gives another spine."""
    grid = grids.sagittal((0, 0, 0), (45, 120, 100), (5.0, 2.0, 2.0))
    first, again = (voxelise(draw_spine(3, Wishes()), grid) for _ in range(2))
    assert first.tissues.tobytes() == again.tissues.tobytes()
    assert first.instances.tobytes() == again.instances.tobytes()
    other = voxelise(draw_spine(4, Wishes()), grid)
    assert other.instances.tobytes() != first.instances.tobytes()


def test_a_grid_far_from_the_spine_is_empty(spine: Spine) -> None:
    """Beside the patient there is air and no label."""
    labels = voxelise(spine, grids.sagittal((600, 0, 0), (20, 60, 60), (5.0, 3.0, 3.0)))
    assert not labels.structures.any()
    assert not labels.instances.any()
    assert (labels.tissues == 0).all()
