"""Tests of phantom/truth.py: what the truth says is what the voxels show."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spineps_pacs.domain.anatomy import CORD_ID, CORPUS_ID, ENDPLATE_ID, LEVEL_IDS
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.canal import canal_curve
from spineps_pacs.phantom.spine import Spine, Vertebra
from spineps_pacs.phantom.truth import PLACES, angles, body_heights, canal_at, disc_heights, truth_of, walls
from spineps_pacs.phantom.voxels import Labels, voxelise
from spineps_pacs.phantom.wishes import Wishes
from tests.phantom import grids

FINE = 0.5


@pytest.fixture(scope="module")
def spine() -> Spine:
    """A spine with a fracture."""
    return draw_spine(31, Wishes(fracture=(("L2", 0.35),)))


def in_frame(v: Vertebra, extent: tuple[float, float, float]) -> Labels:
    """Labels on a fine grid along a vertebra's own axes (slices left, rows up, columns back)."""
    shape = tuple(round(e / FINE) for e in extent)
    affine = np.eye(4)
    affine[:3, :3] = v.placed.axes[[0, 2, 1]].T * FINE
    affine[:3, 3] = v.placed.origin - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return voxelise_on(affine, shape)


def voxelise_on(affine: np.ndarray, shape: tuple[int, ...]) -> Labels:
    """The module's spine on a grid."""
    from spineps_pacs.domain.volume import Geometry

    return voxelise(draw_spine(31, Wishes(fracture=(("L2", 0.35),))), Geometry(affine, (shape[0], shape[1], shape[2])))


@pytest.mark.parametrize("name", ["C5", "T8", "L2", "L4"])
def test_body_heights_are_those_of_the_voxels(spine: Spine, name: str) -> None:
    """Counted in voxels of half a millimetre, heights at the three places agree with the truth within a voxel."""
    v = spine.vertebra(name)
    labels = in_frame(v, (8, v.body.height + 14, v.body.depth + 8))
    body = (labels.instances == v.id) & (labels.structures == CORPUS_ID)
    body |= labels.instances == 200 + v.id
    rows = np.arange(body.shape[1])[None, :, None]
    top, bottom = np.where(body, rows, -1).max(axis=1), np.where(body, rows, 9999).min(axis=1)
    counted = np.maximum(top - bottom + 1, 0) * FINE
    front, back = walls(v.body)
    wanted = body_heights(v.body)
    for place, part in PLACES.items():
        middle = (front + part * (back - front)) / FINE + (body.shape[2] - 1) / 2
        reach = 0.06 * (back - front) / FINE
        columns = slice(round(middle - reach), round(middle + reach) + 1)
        found = counted[:, columns]
        assert found[found > 0].mean() == pytest.approx(wanted[place], abs=0.6)


@pytest.mark.parametrize("name", ["C4", "T9", "L3"])
def test_disc_heights_are_those_of_the_voxels(spine: Spine, name: str) -> None:
    """The middle height of the disc, counted in voxels, agrees with the truth."""
    n = next(i for i, v in enumerate(spine.vertebrae) if v.name == name)
    v, below = spine.vertebrae[n], spine.vertebrae[n + 1]
    labels = in_frame(v, (6, 2 * v.body.height + 30, v.body.depth + 6))
    disc = labels.instances == 100 + v.id
    middle = disc.shape[2] // 2
    counted = disc[:, :, middle - 3 : middle + 3].sum(axis=1) * FINE
    assert counted.mean() == pytest.approx(disc_heights(v, below)["middle"], abs=0.9)


@pytest.mark.parametrize("name", ["C5", "T9", "L1", "L4"])
def test_canal_and_cord_are_those_of_the_voxels(spine: Spine, name: str) -> None:
    """Areas counted in a plane across the canal agree with the truth within some percent."""
    v, curve = spine.vertebra(name), canal_curve(spine)
    centre = v.placed.world(0, v.canal_centre, 0)
    at = int(np.argmin(((curve.points - centre) ** 2).sum(axis=1)))
    step = 0.25
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([curve.down[at], curve.back[at], curve.left[at]]) * step
    affine[:3, 3] = curve.points[at] - affine[:3, :3] @ np.array([0, 59.5, 59.5])
    structures = voxelise_on(affine, (1, 120, 120)).structures[0]
    found = canal_at(spine, curve, v)
    canal = np.isin(structures, (60, 61))
    assert canal.sum() * step**2 == pytest.approx(found["canal_area"], rel=0.04)
    assert (structures == CORD_ID).sum() * step**2 == pytest.approx(found["cord_area"], rel=0.06, abs=0.5)
    assert canal[:, 59:61].sum(axis=0).mean() * step == pytest.approx(found["canal_ap_diameter"], abs=0.5)


def test_the_record_names_what_is_in_view(spine: Spine) -> None:
    """Only levels in view are listed; those that the edge cuts are called cut; volumes count voxels."""
    middle = spine.vertebra("L1").placed.origin
    grid = grids.sagittal((float(middle[0]), float(middle[1]) + 10, float(middle[2])), (70, 90, 110), (2.0, 1.0, 1.0))
    labels = voxelise(spine, grid)
    record = truth_of(spine, labels)
    levels = {level["name"]: level for level in record["levels"]}
    assert {LEVEL_IDS[n] for n in levels} == {int(i) for i in np.unique(labels.instances) if 0 < i < 100}
    assert levels["L1"]["visible"] == "whole"
    assert "cut" in {level["visible"] for level in levels.values()}
    assert levels["L1"]["volume"] == pytest.approx(float((labels.instances == LEVEL_IDS["L1"]).sum()) * 2.0)
    assert np.allclose(levels["L1"]["body_centroid"], levels["L1"]["body_centre"], atol=3)
    assert json.loads(json.dumps(record)) == record


def test_endplates_belong_to_the_height(spine: Spine) -> None:
    """A body's height is more than its corpus alone by about both caps."""
    v = spine.vertebra("L4")
    labels = in_frame(v, (2, v.body.height + 10, 4))
    caps = (labels.structures == ENDPLATE_ID) & (labels.instances == 200 + v.id)
    assert caps.sum(axis=1).mean() * FINE == pytest.approx(sum(v.body.cap), abs=0.7)


def test_angles_add_up(spine: Spine) -> None:
    """Lordosis and kyphosis are those of ordinary people, and kyphosis from T1 is no smaller by much than from T4."""
    found = angles(spine)
    assert 15 < found["lordosis_lumbar"] < 85
    assert 10 < found["kyphosis_thoracic"] < 75
    assert found["kyphosis_thoracic_from_t1"] > found["kyphosis_thoracic"] - 5
