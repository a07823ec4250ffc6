"""The time that a repeatable run writes: the newest that its images name."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset

from spineps_pacs.cli.newest import EPOCH, newest_time


def _image(**attributes: str) -> Dataset:
    dataset = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in attributes.items():
            setattr(dataset, name, value)
    return dataset


def test_the_newest_of_all_images_counts() -> None:
    """Whatever order they come in, and whichever of their times it is."""
    images = [
        _image(StudyDate="20260102", StudyTime="101112"),
        _image(ContentDate="20260103", ContentTime="091011.25"),
        _image(SeriesDate="20260103", SeriesTime="080000"),
    ]
    wanted = datetime(2026, 1, 3, 9, 10, 11, 250_000, tzinfo=UTC)
    assert newest_time(images) == newest_time(images[::-1]) == wanted


def test_a_whole_date_time_counts_too() -> None:
    """Enhanced images have their acquisition as one value."""
    assert newest_time([_image(AcquisitionDateTime="20260105120000.5")]) == datetime(
        2026, 1, 5, 12, 0, 0, 500_000, tzinfo=UTC
    )


@pytest.mark.parametrize("attributes", [{}, {"StudyDate": ""}, {"StudyDate": "someday", "StudyTime": "noon"}])
def test_without_a_time_there_is_a_fixed_one(attributes: dict[str, str]) -> None:
    """Nothing, an empty date or nonsense: never the clock."""
    assert newest_time([_image(**attributes)]) == EPOCH


def test_a_time_that_is_none_counts_as_midnight() -> None:
    """The date is still known."""
    assert newest_time([_image(StudyDate="20260102", StudyTime="9 o'clock")]) == datetime(2026, 1, 2, tzinfo=UTC)
