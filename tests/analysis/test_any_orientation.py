"""However a scanner lays its slices, masks lie on the same anatomy: from a DICOM series through the whole analysis."""

from __future__ import annotations

import itertools
from functools import cache

import made_dicom as made
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.pipeline import AnalysisSettings, analyse
from spineps_pacs.analysis.semantic import SemanticSettings
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Floats, Geometry
from spineps_pacs.engines.phantom import PhantomEngines, Truth
from tests.analysis import spines

Labels = NDArray[np.integer]
SETTINGS = AnalysisSettings(Mode.CORRECTED, semantic=SemanticSettings(correct_bias=False))
ORDERS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
OFTEN = [
    pytest.param(order, flips, marks=() if n % 5 == 0 else pytest.mark.long) for n, (order, flips) in enumerate(ORDERS)
]
"""Every fifth on every run, which meets each order of axes and each flip; all 48 in the long form."""
TURNS = [(0, 0, 25), (14, -9, 18), (-20, 15, -12)]
VERTEBRAE = range(20, 25)


def dicom(image: Labels, affine: Floats) -> Series:
    """Slices of a grid as classic images, numbered along its first axis."""
    datasets = made.series(affine, image.shape)
    for dataset, values in zip(datasets, image, strict=True):
        del dataset.FrameOfReferenceUID
        made.set_pixels(dataset, values)
    return made.gathered(datasets)


def analysed(image: Labels, affine: Floats, turn: Floats) -> Report:
    """What the analysis finds in a grid of the phantom whose patient is turned, networks that know the truth."""
    truth = spines.spine("lumbar")
    true = Truth(truth.structures, truth.vertebrae, Geometry(turn @ truth.geometry.affine, truth.geometry.shape))
    return analyse(dicom(image, turn @ affine), PhantomEngines.over([true], spines.SPACING), SETTINGS)


def on_the_truth(labels: Labels, found: Geometry, turn: Floats) -> Labels:
    """Labels of any grid of the same voxels in the order in which the truth has them."""
    truth = spines.spine("lumbar").geometry
    places = np.stack(np.meshgrid(*map(np.arange, found.shape), indexing="ij"), axis=-1)
    true = Geometry(turn @ truth.affine, truth.shape).to_index(found.to_world(places))
    at = np.round(true).astype(int)
    assert np.abs(true - at).max() < 1e-2
    sorted_labels = np.zeros(truth.shape, labels.dtype)
    sorted_labels[tuple(np.moveaxis(at, -1, 0))] = labels
    return sorted_labels


@cache
def plain() -> tuple[Labels, Labels]:
    """Structures and instances of the phantom as it is."""
    truth, still = spines.spine("lumbar"), np.eye(4)
    report = analysed(truth.image, truth.geometry.affine, still)
    return tuple(  # type: ignore[return-value]
        on_the_truth(mask.labels, mask.geometry, still) for mask in (report.structures, report.instances)
    )


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(one.sum() + other.sum(), 1))


def check(report: Report, turn: Floats) -> None:
    """Left, right and every vertebra where the truth and the plain phantom have them."""
    structures = on_the_truth(report.structures.labels, report.structures.geometry, turn)
    instances = on_the_truth(report.instances.labels, report.instances.geometry, turn)
    true = spines.spine("lumbar")
    for level in VERTEBRAE:
        assert dice(instances == level, true.vertebrae == level) > 0.9, level
        assert dice(instances == level, plain()[1] == level) > 0.97, level
    for structure in np.unique(plain()[0])[1:]:
        assert dice(structures == structure, plain()[0] == structure) > 0.95, structure
    assert [c.level for c in report.levels.choices] == [19, *VERTEBRAE]  # T12 is cut by the image's edge


@pytest.mark.parametrize(("order", "flips"), OFTEN)
def test_any_of_the_48_axis_orders_gives_the_mask_on_the_same_anatomy(
    order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    """Slices, rows and columns along any axis, either way: no mirror, no shift, no other level."""
    truth, still = spines.spine("lumbar"), np.eye(4)
    affine = truth.geometry.affine.copy()
    affine[:3, :3] = truth.geometry.affine[:3, list(order)]
    image = truth.image.transpose(order)
    for axis, flip in enumerate(flips):
        if flip < 0:
            affine[:3, 3] += affine[:3, axis] * (image.shape[axis] - 1)
            affine[:3, axis] *= -1
            image = np.flip(image, axis)
    check(analysed(image, affine, still), still)


@pytest.mark.parametrize("degrees", TURNS)
def test_a_turned_patient_gives_the_turned_mask(degrees: tuple[float, ...]) -> None:
    """Oblique images: the patient and the slices turned together, through decimal strings."""
    truth, turn = spines.spine("lumbar"), np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    check(analysed(truth.image, truth.geometry.affine, turn), turn)
