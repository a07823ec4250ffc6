"""The time that a repeatable run writes: the newest that its images name."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta, timezone

import pytest
from encode.cases import OPTIONS, Wish, case
from pydicom.dataset import Dataset

from spineps_pacs.cli.newest import EPOCH, newest_time
from spineps_pacs.encode.identity import Origin, identify


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


@pytest.mark.parametrize("zone", ["+0530", "-0500", "-1130", "+0000", "+1400"])
@pytest.mark.parametrize("time", ["001500", "101500", "234500"])
def test_a_time_is_told_in_the_zone_of_the_image(zone: str, time: str) -> None:
    """What the image says, also near midnight."""
    image = _image(ContentDate="20260301", ContentTime=time, TimezoneOffsetFromUTC=zone)
    found = newest_time([image])
    assert found.strftime("%Y%m%d %H%M%S %z") == f"20260301 {time} {zone}"


@pytest.mark.parametrize("zone", ["+0530", "-0500"])
def test_objects_are_as_old_as_the_images_by_the_clock_of_these(zone: str) -> None:
    """A quarter past ten in the images, in their zone, is a quarter past ten in what is made of them."""
    report, series = case(Wish(patient=(("TimezoneOffsetFromUTC", zone),)))
    for dataset in series.datasets:
        dataset.ContentDate, dataset.ContentTime = "20270301", "101500"
    created = identify(report, series, OPTIONS, Origin(newest_time(series.datasets))).created
    assert created.strftime("%Y%m%d %H%M%S") == "20270301 101500"


def test_times_of_several_zones_are_compared_as_moments() -> None:
    """Noon in New York is later than noon in Delhi; an offset in the value itself counts where the image has a zone."""
    delhi = _image(ContentDate="20260301", ContentTime="120000", TimezoneOffsetFromUTC="+0530")
    new_york = _image(ContentDate="20260301", ContentTime="120000", TimezoneOffsetFromUTC="-0500")
    wanted = datetime(2026, 3, 1, 12, tzinfo=timezone(-timedelta(hours=5)))
    assert newest_time([delhi, new_york]) == newest_time([new_york, delhi]) == wanted
    later = _image(AcquisitionDateTime="20260301120000-0600", TimezoneOffsetFromUTC="-0500")
    assert newest_time([later, new_york]) == wanted + timedelta(hours=1)
    bare = _image(AcquisitionDateTime="20260301120000-0600", StudyDate="20260301", StudyTime="121500")
    assert newest_time([bare]) == datetime(2026, 3, 1, 12, 15, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["-0500", "+2500", "west"])
def test_without_a_time_1970_is_written_in_any_zone(zone: str) -> None:
    """Not the last evening of 1969; a zone that is none counts as UTC."""
    assert newest_time([_image(TimezoneOffsetFromUTC=zone)]).strftime("%Y%m%d%H%M%S") == "19700101000000"
