"""Whether results can refer to the images of a series; asked before the analysis, which takes longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from highdicom._standard_utils import does_iod_have_pixel_data, is_multiframe_image
from pydicom.dataset import Dataset

from spineps_pacs.domain.attributes import text, whole
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.series import Series

_EVERYWHERE = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_FRAMES = "PerFrameFunctionalGroupsSequence"


def refuse_unreferable(series: Series) -> None:
    """Raises Unusable when a result could not say what it must of its source; the sentence holds no value of it."""
    for keyword in _EVERYWHERE:
        _refuse_without(keyword, series.datasets)
    refuse_several("StudyInstanceUID", series.datasets)
    images = [dataset for dataset in series.datasets if _in_space(dataset)]
    _refuse_without("FrameOfReferenceUID", images)
    for dataset in {text(it, "SOPClassUID"): it for it in images}.values():
        _refuse_class(dataset)


def refuse_several(keyword: str, datasets: Sequence[Dataset]) -> None:
    """A result has one study and one frame of reference, and so must its images."""
    found = {text(dataset, keyword) for dataset in datasets}
    if len(found) > 1:
        raise Unusable(f"{len(datasets)} images of one series have {len(found)} different {keyword}s, a result has one")


def _refuse_without(keyword: str, datasets: Sequence[Dataset]) -> None:
    lacking = sum(not text(dataset, keyword) for dataset in datasets)
    if lacking:
        raise Unusable(f"{lacking} of {len(datasets)} images have no {keyword}, so no result could refer to them")


def _in_space(dataset: Dataset) -> bool:
    """An image that may become a slice; nothing refers to a report or a screenshot that lies in the same series."""
    return "Rows" in dataset and ("ImagePositionPatient" in dataset or _FRAMES in dataset)


def _refuse_class(dataset: Dataset) -> None:
    try:
        image, several = does_iod_have_pixel_data(text(dataset, "SOPClassUID")), is_multiframe_image(dataset)
    except KeyError:
        _refuse("private or unknown")
    if not image:
        _refuse("that of objects without pixels")
    if several != (_FRAMES in dataset or (whole(dataset, "NumberOfFrames") or 1) > 1):
        _refuse("that of multi-frame images, and they hold one each" if several else "that of images without frames")


def _refuse(what: str) -> NoReturn:
    raise Unusable(f"the SOPClassUID of the images is {what}, so no result could refer to them")
