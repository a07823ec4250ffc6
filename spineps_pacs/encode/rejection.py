"""A rejection note (IHE IOCM): tells an archive to hide results that turned out to be wrong."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime

import pydicom
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset

from spineps_pacs.domain.ports import Result
from spineps_pacs.encode.concepts import REJECTED, concept, plain
from spineps_pacs.encode.header import NEVER_EMPTY, set_equipment, set_file_meta, set_times
from spineps_pacs.encode.identity import Identity, digest_of
from spineps_pacs.encode.options import KINDS, Options
from spineps_pacs.encode.verbatim import PATIENT_AND_STUDY, file_bytes, tag_of, verbatim


def rejection(results: Sequence[Result], options: Options, created: datetime, reason: str = "") -> Result:
    """A key object selection "Rejected for Quality Reasons" that names these results, which are of one study."""
    rejected = [_header_of(result) for result in results]
    identity = Identity(
        digest_of("rejection", created.isoformat(), reason, repr(options), *(r.sop_instance_uid for r in results)),
        "",
        created,
        options.uid_root,
    )
    stubs = [_stub(dataset) for dataset in rejected]
    dataset = KeyObjectSelectionDocument(
        evidence=stubs,
        content=KeyObjectSelection(concept(REJECTED), stubs, description=plain(reason, 1024) or None),
        series_instance_uid=identity.uid("series", "rejection"),
        series_number=max(int(rejected[0].SeriesNumber) // 10 * 10, 1),
        sop_instance_uid=identity.uid("instance", "rejection"),
        instance_number=1,
        manufacturer=options.manufacturer,
    )
    dataset.SeriesDescription = f"SPINEPS {KINDS['rejection'].title}"
    return _finish(dataset, rejected[0], identity, options)


def _finish(dataset: Dataset, first: Dataset, identity: Identity, options: Options) -> Result:
    carried = verbatim(first, PATIENT_AND_STUDY)
    for keyword in NEVER_EMPTY:
        if tag_of(keyword) not in carried:
            setattr(dataset, keyword, "")
    if "SpecificCharacterSet" in dataset:
        del dataset.SpecificCharacterSet
    set_equipment(options, dataset)
    set_times(identity, dataset)
    set_file_meta(options, dataset)
    content = file_bytes(dataset, carried, first)
    return Result("rejection", str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), content)


def _header_of(result: Result) -> Dataset:
    return pydicom.dcmread(io.BytesIO(result.content), stop_before_pixels=True)


def _stub(dataset: Dataset) -> Dataset:
    stub = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"):
        setattr(stub, keyword, dataset[keyword].value)
    for keyword in NEVER_EMPTY:
        setattr(stub, keyword, "")
    for keyword in ("Rows", "Columns", "NumberOfFrames"):  # by these highdicom tells an image from a document
        if keyword in dataset:
            setattr(stub, keyword, dataset[keyword].value)
    return stub
