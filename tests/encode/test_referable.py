"""Tests of what results must be able to say of their source: asked before the analysis, told without a value."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from encode.cases import ENHANCED_MR, MR, Wish, case
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.referable import refuse_unreferable
from spineps_pacs.encode.sources import sources

SMALL = Wish(levels=(23, 24), rows=60, slices=6)
NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
SCREENSHOT, REPORT = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.34"


def changed(series: Series, change: Callable[[Dataset], object], count: int | None = None) -> Series:
    """The series with its first images changed, all by default."""
    datasets = [copy.deepcopy(dataset) for dataset in series.datasets]
    for dataset in datasets[:count]:
        change(dataset)
    return Series(series.series_uid, tuple(datasets))


def with_class(uid: str) -> Callable[[Dataset], object]:
    return lambda dataset: setattr(dataset, "SOPClassUID", uid)


@pytest.fixture(scope="module")
def made() -> tuple[Report, Series]:
    return case(SMALL)


@pytest.mark.parametrize("multiframe", [False, True])
def test_a_usual_series_is_not_refused(multiframe: bool) -> None:
    """Classic and Enhanced images pass without a word."""
    refuse_unreferable(case(Wish(levels=(23, 24), rows=60, slices=6, multiframe=multiframe))[1])


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("keyword", NEEDED)
def test_a_missing_uid_is_named(made: tuple[Report, Series], keyword: str, empty: bool) -> None:
    """Without one of the five, or with an empty one, the sentence names it and how many images lack it."""
    change = (lambda ds: setattr(ds, keyword, "")) if empty else (lambda ds: delattr(ds, keyword))
    with pytest.raises(Unusable, match=f"2 of 6 images have no {keyword}"):
        refuse_unreferable(changed(made[1], change, 2))


@pytest.mark.parametrize(
    ("uid", "words"),
    [
        ("1.3.46.670589.11.0.0.12.1", "private or unknown"),
        (REPORT, "without pixels"),
        (ENHANCED_MR, "multi-frame images, and they hold one each"),
    ],
)
def test_a_class_that_cannot_be_referred_to_is_refused(made: tuple[Report, Series], uid: str, words: str) -> None:
    """Private classes, no images, frames where none can be: a sentence that names the attribute and not its value."""
    with pytest.raises(Unusable, match=words) as told:
        refuse_unreferable(changed(made[1], with_class(uid)))
    assert "SOPClassUID" in str(told.value)
    assert uid not in str(told.value)


def test_frames_of_a_class_without_frames_are_refused() -> None:
    """Functional groups in a classic MR image are nothing that a frame number could name."""
    series = case(Wish(levels=(23, 24), rows=60, slices=6, multiframe=True))[1]
    with pytest.raises(Unusable, match="images without frames"):
        refuse_unreferable(changed(series, with_class(MR)))


def test_what_is_no_slice_needs_no_place(made: tuple[Report, Series]) -> None:
    """A screenshot in the same series has no frame of reference, and holds nothing up."""
    series = made[1]
    shot = copy.deepcopy(series.datasets[0])
    shot.SOPClassUID, shot.SOPInstanceUID = SCREENSHOT, "1.2.3.4.2.77"
    del shot.FrameOfReferenceUID, shot.ImagePositionPatient, shot.ImageOrientationPatient
    refuse_unreferable(Series(series.series_uid, (*series.datasets, shot)))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID"])
def test_images_of_two_studies_or_frames_are_refused(made: tuple[Report, Series], keyword: str) -> None:
    """A result has one study and one frame of reference; the sentence says how many there are, and not which."""
    report, series = made
    with pytest.raises(Unusable, match=f"6 images of one series have 2 different {keyword}s") as told:
        sources(report, changed(series, lambda ds: setattr(ds, keyword, "1.2.3.4.555"), 2))
    assert "1.2.3.4.555" not in str(told.value)


def test_nothing_is_encoded_without_the_question(made: tuple[Report, Series]) -> None:
    """Whoever does not ask before the analysis is refused by the encoder itself."""
    report, series = made
    with pytest.raises(Unusable, match="no StudyInstanceUID"):
        sources(report, changed(series, lambda ds: delattr(ds, "StudyInstanceUID")))
