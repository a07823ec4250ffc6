"""Tests of the source images as encoders are given them: one orientation, a thickness that is never 0."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from encode.cases import OBLIQUE, OPTIONS, Wish, case, identity, seg
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.results import encode
from spineps_pacs.encode.sources import sources
from spineps_pacs.encode.verify import verify_all

SMALL = Wish(levels=(23, 24), rows=60, slices=6, turned=OBLIQUE)
EVERYTHING = replace(OPTIONS, pictures=False, gsps=True, rtstruct=True, labelmap=True)


def changed(wish: Wish, change: Callable[[Dataset], object], which: slice = slice(None)) -> tuple[Report, Series]:
    """A case some of whose source images were changed."""
    report, series = case(wish)
    datasets = [copy.deepcopy(dataset) for dataset in series.datasets]
    for dataset in datasets[which]:
        change(dataset)
    return report, Series(series.series_uid, tuple(datasets))


@pytest.mark.parametrize("off", [1e-6, 1.9e-3])
@pytest.mark.parametrize("which", [0, 2, -1])
def test_rounded_cosines_of_one_slice_are_written(off: float, which: int) -> None:
    """One slice whose cosines differ by as much as the rebuild allows: all objects are made, and pass."""

    def turn(dataset: Dataset) -> None:
        cosines = [float(v) for v in dataset.ImageOrientationPatient]
        dataset.ImageOrientationPatient = [f"{v + off:.9f}" for v in cosines]

    report, series = changed(SMALL, turn, slice(which, which + 1 or None))
    results = encode(report, series, identity(report, series, EVERYTHING), EVERYTHING)
    verify_all(results, report, series)
    cosines = {tuple(image.ImageOrientationPatient) for image in sources(report, series).images}
    assert len(cosines) == 1


@pytest.mark.parametrize(
    ("attributes", "written"),
    [
        ({"SliceThickness": "3.0", "SpacingBetweenSlices": "3.6"}, 3.0),
        ({"SliceThickness": None, "SpacingBetweenSlices": "3.6"}, 3.6),
        ({"SliceThickness": "0", "SpacingBetweenSlices": "-3.6"}, 3.6),
        ({"SliceThickness": None}, 3.3),
        ({"SliceThickness": None, "SpacingBetweenSlices": None}, 3.3),
    ],
)
@pytest.mark.parametrize("multiframe", [False, True])
def test_a_thickness_that_nobody_states_is_the_slices_distance(
    attributes: dict[str, str | None], written: float, multiframe: bool
) -> None:
    """Slice Thickness, else Spacing Between Slices, else the step of the grid; a SEG never says 0."""

    def state(dataset: Dataset) -> None:
        shared = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0] if multiframe else dataset
        for keyword, value in attributes.items():
            setattr(shared, keyword, value)

    ds = seg(*changed(replace(SMALL, multiframe=multiframe), state), "levels")
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    np.testing.assert_allclose(float(measures.SliceThickness), written, atol=1e-6)
