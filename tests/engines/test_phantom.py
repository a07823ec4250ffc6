"""The twins answer with the truth at the place that is asked about."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.ports import Cutouts, unwatched
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.engines.phantom import PhantomEngines, Truth, classes_of, relation

SHAPE = (10, 60, 12)
AFFINE = np.array([[0, 0, -1.0, 4], [1.0, 0, 0, -5], [0, -1.0, 0, 30], [0, 0, 0, 1.0]])
"""Index axes P, I, R with voxels of one millimetre."""


def stack(frame: str, ids: tuple[int, ...] = (18, 19, 28, 20, 21), shift: float = 0.0) -> Truth:
    """Vertebrae of ten voxels each, a disc below each of them, structures beside."""
    instances = np.zeros(SHAPE, np.uint16)
    structures = np.zeros(SHAPE, np.uint8)
    for place, instance in enumerate(ids):
        rows = slice(2 + 11 * place, 10 + 11 * place)
        instances[2:8, rows, 2:9], structures[2:8, rows, 2:9] = instance, 49
        instances[2:8, rows.stop, 2:9], structures[2:8, rows.stop, 2:9] = 100 + instance, 100
    affine = AFFINE.copy()
    affine[2, 3] += shift
    return Truth(structures, instances, Geometry(affine, SHAPE, frame))


def box(truth: Truth, start: tuple[int, int, int], size: tuple[int, int, int]) -> Geometry:
    affine = truth.geometry.affine.copy()
    affine[:3, 3] = truth.geometry.to_world(np.array(start))
    return Geometry(affine, size, truth.geometry.frame_of_reference_uid)


def test_structures_are_found_by_frame_and_place() -> None:
    """On its own grid a truth comes back voxel by voxel; two truths in one place are told apart by their frame."""
    one, two = stack("1.1"), stack("1.2", ids=(2, 3))
    engines = PhantomEngines.over([one, two])
    for truth in (one, two):
        image = Volume(np.zeros(SHAPE, np.int16), truth.geometry)
        np.testing.assert_array_equal(engines.semantic.predict(image, unwatched).labels, truth.structures)
    finer = Geometry(one.geometry.affine @ np.diag([0.5, 0.5, 0.5, 1]), (20, 120, 24), "1.1")
    labels = engines.semantic.predict(Volume(np.zeros(finer.shape, np.int16), finer), unwatched).labels
    np.testing.assert_array_equal(labels[::2, ::2, ::2], one.structures)
    stranger = Volume(np.zeros(SHAPE, np.int16), Geometry(AFFINE, SHAPE, "9.9"))
    with pytest.raises(ModelError, match="no truth"):
        engines.semantic.predict(stranger, unwatched)


def test_stations_of_one_frame_are_told_apart_by_place() -> None:
    """Two grids in one frame of reference: the one that covers the query answers, nothing covers what is far away."""
    upper, lower = stack("1.1"), stack("1.1", ids=(22, 23), shift=-40.0)
    engines = PhantomEngines.over([upper, lower])
    image = Volume(np.zeros(SHAPE, np.int16), lower.geometry)
    np.testing.assert_array_equal(engines.semantic.predict(image, unwatched).labels, lower.structures)
    far = Geometry(AFFINE + np.array([[0, 0, 0, 900]] + [[0] * 4] * 3), SHAPE, "1.1")
    with pytest.raises(ModelError, match="no truth"):
        engines.semantic.predict(Volume(np.zeros(SHAPE, np.int16), far), unwatched)


def test_a_cutout_shows_its_vertebra_and_the_two_beside_it() -> None:
    """2 at the centre, 1 above, 3 below, nothing else; beyond the grid nothing; an empty place nothing."""
    truth = stack("1.1")
    engine = PhantomEngines.over([truth]).vertebra
    assert engine is not None
    size = (8, 48, 8)
    places = (box(truth, (1, 12 + 11 - 18, 2), size), box(truth, (1, -18, 2), size), box(truth, (40, 0, 0), size))
    with pytest.raises(ModelError):
        engine.predict(Cutouts(np.zeros((1, *size), np.uint8), places[2:]), unwatched)
    middle, top = engine.predict(Cutouts(np.zeros((2, *size), np.uint8), places[:2]), unwatched)
    rows = middle[3, :, 3]
    assert [int(n) for n in rows[rows > 0]] == [1] * 8 + [2] * 8 + [3] * 8
    np.testing.assert_array_equal(np.unique(top), [0, 2, 3])


def test_levels_are_nearly_sure_and_right() -> None:
    """Every head gives probabilities whose largest is the truth of the vertebra at the patch's centre."""
    truth = stack("1.1")
    engine = PhantomEngines.over([truth]).levels
    assert engine is not None
    size = (8, 10, 8)
    where = tuple(box(truth, (1, 1 + 11 * n, 1), size) for n in range(5))
    scores = engine.predict(Cutouts(np.zeros((5, *size), np.float32), where), unwatched)
    for array in scores.values():
        np.testing.assert_allclose(array.sum(axis=1), 1, atol=1e-5)
    best = {head: array.argmax(axis=1).tolist() for head, array in scores.items()}
    assert best["VERT"] == [17, 18, 18, 19, 20]
    assert best["VERTEX"] == [17, 18, 19, 20, 21]
    assert best["VT13"] == [0, 0, 1, 0, 0]
    assert best["REGION"] == [1, 1, 1, 2, 2]
    assert best["VERTGRP"] == [7, 8, 8, 9, 9]
    assert best["VERTREL"] == [0, 0, 3, 4, 0]
    assert best["FULLYVISIBLE"] == [1, 1, 1, 1, 1]


def test_relations_follow_the_vertebrae_that_are_there() -> None:
    """First and last of a region, also with eleven thoracic or six lumbar ones, and nothing at a cut end."""
    eleven = (*range(5, 19), *range(20, 26))
    assert [relation(i, eleven) for i in (7, 8, 18, 20, 24, 25)] == [1, 2, 3, 4, 0, 5]
    assert relation(10, (9, 10)) == 0
    assert classes_of(25, (25,), False)["VERTEX"] == 25
    assert classes_of(2, (2,), True) == {
        "REGION": 0, "VERT": 1, "VERTEX": 1, "VT13": 0, "VERTREL": 0, "VERTGRP": 0, "FULLYVISIBLE": 1,
    }  # fmt: skip


def test_a_folder_of_truths_makes_all_three(tmp_path: Path) -> None:
    """Label volumes and their facts on disk give the same answers; the twins say that they are a demonstration."""
    truth = stack("1.1")
    folder = tmp_path / "case" / "truth"
    folder.mkdir(parents=True)
    ras = np.diag([-1, -1, 1, 1]) @ AFFINE
    nibabel.Nifti1Image(truth.structures, ras).to_filename(folder / "structures.nii.gz")
    nibabel.Nifti1Image(truth.instances, ras).to_filename(folder / "instances.nii.gz")
    (folder / "truth.json").write_text(json.dumps({"geometry": {"frame_of_reference_uid": "1.1"}}))
    engines = PhantomEngines.from_folder(tmp_path, spacing=(1.5, 1.5, 3.3))
    image = Volume(np.zeros(SHAPE, np.int16), truth.geometry)
    np.testing.assert_array_equal(engines.semantic.predict(image, unwatched).labels, truth.structures)
    assert engines.semantic.grid.spacing_pir == (1.5, 1.5, 3.3)
    assert engines.vertebra is not None
    assert engines.levels is not None
    assert engines.vertebra.plan.size_pir == (128, 152, 32)
    assert [e.info.role for e in (engines.semantic, engines.vertebra, engines.levels)] == [
        "semantic", "instance", "labeling",
    ]  # fmt: skip
    assert engines.semantic.info.demonstration
    with pytest.raises(ModelError, match="below"):
        PhantomEngines.from_folder(tmp_path / "none")
