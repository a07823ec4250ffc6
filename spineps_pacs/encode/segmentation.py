"""Report to SEG: which voxels of which source frame belong to which segment."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import pydicom
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from spineps_pacs.domain.anatomy import ANATOMICAL_STRUCTURE
from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.report import ModelUsed
from spineps_pacs.encode.concepts import ARTIFICIAL_INTELLIGENCE, OLDER_CATEGORY, code_item, concept, plain
from spineps_pacs.encode.header import Sheet, body_part, finish
from spineps_pacs.encode.segments import Segment, relabelled

FRAMES_SHOWN_BY_ALL = 400
"""Weasis 4.6 switches off a SEG with more frames than this."""


def segmentation(sheet: Sheet, segments: tuple[Segment, ...], labels: NDArray[np.integer]) -> Result:
    """The segments as a SEG on the source's own frames; a label map where the kind says so."""
    labelmap = sheet.kind.name.endswith("-labelmap")
    pixels = relabelled(labels, segments)[list(sheet.sources.slices)]
    dataset = Segmentation(
        source_images=list(sheet.sources.images),
        pixel_array=pixels,
        segmentation_type="LABELMAP" if labelmap else "BINARY",
        segment_descriptions=[_description(sheet, segment) for segment in segments],
        series_instance_uid=sheet.series_uid,
        series_number=sheet.series_number,
        sop_instance_uid=sheet.sop_uid(),
        instance_number=1,
        manufacturer=sheet.options.manufacturer,
        manufacturer_model_name=sheet.options.model_name,
        software_versions=sheet.options.version,
        device_serial_number=sheet.options.serial,
        content_label=sheet.kind.label,
        content_description=sheet.content_description,
        transfer_syntax_uid=RLELossless if labelmap else ExplicitVRLittleEndian,
        omit_empty_frames=sheet.options.omit_empty_frames,
    )
    for item, segment in zip(_described(dataset), segments, strict=True):
        _complete(item, segment, sheet)
    dataset.BodyPartExamined = body_part(segments)
    _true_frame_numbers(sheet, dataset)
    return finish(sheet, dataset)


def frames_of(result: Result) -> int:
    """The number of frames of a SEG."""
    dataset = pydicom.dcmread(io.BytesIO(result.content), stop_before_pixels=True, specific_tags=["NumberOfFrames"])
    return int(dataset.NumberOfFrames)


def models_text(models: Iterable[ModelUsed]) -> tuple[str, ...]:
    """One line a model: role, name, version, digest."""
    return tuple(
        plain(f"{m.role}: {m.name} {m.version}, SHA-256 {m.digest}" + (", demonstration" * m.demonstration), 256)
        for m in models
    )


def _described(dataset: Dataset) -> list[Dataset]:
    return [item for item in dataset.SegmentSequence if item.SegmentNumber > 0]


def _description(sheet: Sheet, segment: Segment) -> Any:
    category = OLDER_CATEGORY if sheet.options.older_category else ANATOMICAL_STRUCTURE
    return SegmentDescription(
        segment_number=segment.number,
        segment_label=plain(segment.label),
        segmented_property_category=concept(category),
        segmented_property_type=concept(segment.code),
        algorithm_type="AUTOMATIC",
        algorithm_identification=_algorithm(sheet),
        tracking_uid=sheet.identity.tracking_uid(segment.key),
        tracking_id=plain(segment.tracked),
        anatomic_regions=[concept(segment.region)],
        display_color=CIELabColor.from_rgb(*segment.rgb),
    )


def _algorithm(sheet: Sheet) -> Any:
    return AlgorithmIdentificationSequence(
        name=sheet.algorithm,
        family=concept(ARTIFICIAL_INTELLIGENCE),
        version=sheet.options.version,
        source=sheet.options.manufacturer,
        parameters={m.role: plain(f"{m.name} {m.version} {m.digest}", 256) for m in sheet.report.models},
    )


def _complete(item: Dataset, segment: Segment, sheet: Sheet) -> None:
    """What highdicom does not write: the side, inside the type it modifies, and a description."""
    if segment.side is not None:
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [code_item(segment.side)]
    parts = [f"SPINEPS instance {segment.instance}" if segment.instance else f"SPINEPS structures {segment.ids}"]
    if segment.choice is not None and segment.choice.confidence is not None:
        parts.append(f"confidence of the level {segment.choice.confidence:.2f}")
    parts += segment.choice.flags if segment.choice else ()
    if sheet.report.demonstration:
        parts.append(sheet.algorithm)
    item.SegmentDescription = plain("; ".join(parts), 1024)


def _true_frame_numbers(sheet: Sheet, dataset: Dataset) -> None:
    """A multi-frame source was given as the frames in use only; the references name them as they are numbered."""
    numbers = [frame.number for frame in sheet.sources.frames]
    if not sheet.sources.multiframe or numbers == list(range(1, len(numbers) + 1)):
        return
    items = {
        id(source): source  # frames of several segments share an item; each is renumbered once
        for group in dataset.PerFrameFunctionalGroupsSequence
        for derivation in group.DerivationImageSequence
        for source in derivation.SourceImageSequence
    }
    for source in items.values():
        source.ReferencedFrameNumber = numbers[int(source.ReferencedFrameNumber) - 1]
