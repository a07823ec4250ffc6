"""The newest time that the images of a series name: what a repeatable run writes as the time of its own objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from datetime import time as time_of_day

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

from spineps_pacs.domain.attributes import text

_PAIRS = ("InstanceCreation", "Content", "Acquisition", "Series", "Study")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def newest_time(datasets: Iterable[Dataset]) -> datetime:
    """The newest creation, content, acquisition, series or study time of any image; 1970 where no image names one.

    Times are written as the images have them, whatever their zone: the objects then sort after the images.
    """
    return max((moment for dataset in datasets for moment in _times(dataset)), default=EPOCH)


def _times(dataset: Dataset) -> Iterator[datetime]:
    pairs = [(text(dataset, f"{name}Date"), text(dataset, f"{name}Time")) for name in _PAIRS]
    for date, time in pairs:
        moment = _moment(date, time)
        if moment is not None:
            yield moment
    whole = text(dataset, "AcquisitionDateTime")
    moment = _whole(whole) if whole else None
    if moment is not None:
        yield moment


def _moment(date: str, time: str) -> datetime | None:
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
    return datetime.combine(day, hour or time_of_day.min, UTC)


def _whole(value: str) -> datetime | None:
    try:
        moment = DT(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment else None
