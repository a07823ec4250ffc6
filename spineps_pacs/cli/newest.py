"""The newest time that the images of a series name: what a repeatable run writes as the time of its own objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timezone, tzinfo
from datetime import time as time_of_day

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

from spineps_pacs.domain.attributes import text

_PAIRS = ("InstanceCreation", "Content", "Acquisition", "Series", "Study")
_ZONE = "TimezoneOffsetFromUTC"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def newest_time(datasets: Iterable[Dataset]) -> datetime:
    """The newest creation, content, acquisition, series or study time of any image; 1970 where no image names one.

    Times are as the images have them, in the zone that each states, else as if it were UTC: told in the images' zone,
    they are what the images say, and the objects sort after them.
    """
    zoned = [(_zone(dataset), dataset) for dataset in datasets]
    epoch = EPOCH.replace(tzinfo=zoned[0][0]) if zoned else EPOCH
    return max((moment for zone, dataset in zoned for moment in _times(dataset, zone)), default=epoch)


def _zone(dataset: Dataset) -> tzinfo:
    """UTC where an image states no zone, or nonsense."""
    try:
        offset = datetime.strptime(text(dataset, _ZONE), "%z").utcoffset()
    except ValueError:
        return UTC
    return timezone(offset) if offset else UTC


def _times(dataset: Dataset, zone: tzinfo) -> Iterator[datetime]:
    pairs = [(text(dataset, f"{name}Date"), text(dataset, f"{name}Time")) for name in _PAIRS]
    for date, time in pairs:
        moment = _moment(date, time, zone)
        if moment is not None:
            yield moment
    whole = text(dataset, "AcquisitionDateTime")
    moment = _whole(whole, zone, zoned=bool(text(dataset, _ZONE))) if whole else None
    if moment is not None:
        yield moment


def _moment(date: str, time: str, zone: tzinfo) -> datetime | None:
    """Date and time of the standard; None for what is no date. A time that is none counts as midnight."""
    try:
        day = DA(date)
    except ValueError:
        return None
    if day is None:
        return None
    try:
        hour = TM(time) if time else None
    except ValueError:
        hour = None
    return datetime.combine(day, hour or time_of_day.min, zone)


def _whole(value: str, zone: tzinfo, *, zoned: bool) -> datetime | None:
    """With an offset of its own, which counts only where the image's other times have a zone to be compared in."""
    try:
        moment = DT(value)
    except ValueError:
        return None
    if moment is None:
        return None
    return datetime.combine(moment.date(), moment.time(), moment.tzinfo if zoned and moment.tzinfo else zone)
