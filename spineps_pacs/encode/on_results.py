"""What objects about results share, rejection notes and reports of a study: all is taken from the results' headers."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pydicom
from pydicom.dataset import Dataset

from spineps_pacs.domain.ports import Result
from spineps_pacs.encode.header import (
    NEVER_EMPTY,
    leave_to_source,
    set_equipment,
    set_file_meta,
    set_scheme,
    set_times,
)
from spineps_pacs.encode.identity import Identity
from spineps_pacs.encode.options import Options
from spineps_pacs.encode.verbatim import PATIENT_AND_STUDY, file_bytes, verbatim


@dataclass(frozen=True)
class Paper:
    """What such an object is written on: who it is, and the site's options."""

    identity: Identity
    options: Options


def header_of(result: Result) -> Dataset:
    """A result without its pixels."""
    return pydicom.dcmread(io.BytesIO(result.content), stop_before_pixels=True)


def stub(dataset: Dataset) -> Dataset:
    """A result as highdicom refers to it, without the patient."""
    found = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"):
        setattr(found, keyword, dataset[keyword].value)
    for keyword in NEVER_EMPTY:
        setattr(found, keyword, "")
    for keyword in ("Rows", "Columns", "NumberOfFrames"):  # by these highdicom tells an image from a document
        if keyword in dataset:
            setattr(found, keyword, dataset[keyword].value)
    return found


def finish(kind: str, dataset: Dataset, first: Dataset, paper: Paper) -> Result:
    """The complete file: patient and study as the first result has them, equipment and times set."""
    carried = verbatim(first, PATIENT_AND_STUDY)
    leave_to_source(dataset, carried)
    set_equipment(paper.options, dataset)
    set_times(paper.identity, dataset)
    set_scheme(paper.options, dataset)
    set_file_meta(paper.options, dataset)
    content = file_bytes(dataset, carried, first)
    return Result(kind, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), content)
