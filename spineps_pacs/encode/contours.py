"""Vertebrae and discs as RT Structure Set, one region of interest per level."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from scipy import ndimage

from spineps_pacs.domain.ports import Result
from spineps_pacs.encode.concepts import code_item, plain
from spineps_pacs.encode.header import Sheet, finish
from spineps_pacs.encode.outlines import outlines
from spineps_pacs.encode.segments import Segment, level_segments

RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management: retired, and still what the RT module names a study by."""


def contours(sheet: Sheet) -> Result:
    """The outline of each level on each source image."""
    segments = level_segments(sheet.report)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.Modality = RT_STRUCTURE_SET, "RTSTRUCT"
    dataset.FrameOfReferenceUID = sheet.sources.images[0].FrameOfReferenceUID
    dataset.PositionReferenceIndicator = ""
    dataset.OperatorsName = ""
    dataset.StructureSetLabel = "SPINEPS DEMO" if sheet.report.demonstration else "SPINEPS"
    dataset.StructureSetName, dataset.StructureSetDescription = sheet.kind.title, sheet.content_description
    dataset.StructureSetDate = dataset.StructureSetTime = ""
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(sheet)]
    dataset.StructureSetROISequence = [_region(sheet, segment) for segment in segments]
    boxes = ndimage.find_objects(sheet.report.instances.labels.astype(np.int32))
    dataset.ROIContourSequence = [_region_contours(sheet, s, boxes[s.instance - 1]) for s in segments]
    dataset.RTROIObservationsSequence = [_observation(segment) for segment in segments]
    return finish(sheet, dataset)


def _frame_of_reference(sheet: Sheet) -> Dataset:
    image = sheet.sources.images[0]
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = image.SeriesInstanceUID
    series.ContourImageSequence = [_image(sheet, n) for n in range(len(sheet.sources.frames))]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_CLASS, image.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = image.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(sheet: Sheet, n: int) -> Dataset:
    frame, item = sheet.sources.frames[n], Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = frame.sop_class_uid, frame.sop_instance_uid
    if frame.number is not None:
        item.ReferencedFrameNumber = frame.number
    return item


def _region(sheet: Sheet, segment: Segment) -> Dataset:
    item = Dataset()
    item.ROINumber, item.ROIName = segment.number, plain(segment.label)
    item.ReferencedFrameOfReferenceUID = sheet.sources.images[0].FrameOfReferenceUID
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = sheet.algorithm
    return item


def _observation(segment: Segment) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = segment.number
    item.RTROIIdentificationCodeSequence = [code_item(segment.code)]
    item.RTROIInterpretedType, item.ROIInterpreter = "ORGAN", ""
    return item


def _region_contours(sheet: Sheet, segment: Segment, box: tuple[slice, ...]) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber, item.ROIDisplayColor = segment.number, list(segment.rgb)
    item.ContourSequence = list(_contours(sheet, segment, box))
    return item


def _contours(sheet: Sheet, segment: Segment, box: tuple[slice, ...]) -> Iterator[Dataset]:
    for n, index in enumerate(sheet.sources.slices):
        if not box[0].start <= index < box[0].stop:
            continue
        mask = sheet.report.instances.labels[index][box[1:]] == segment.instance
        where = sheet.sources.planes[n]
        across, down = np.array(where.orientation[:3]), np.array(where.orientation[3:])
        for polygon in outlines(mask) if mask.any() else ():
            polygon += (box[1].start, box[2].start)  # noqa: PLW2901, moved from its box to the slice
            world = np.array(where.position) + np.outer(polygon[:, 1] * where.spacing[1], across)
            world += np.outer(polygon[:, 0] * where.spacing[0], down)
            item = Dataset()
            item.ContourImageSequence = [_image(sheet, n)]
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(polygon)
            item.ContourData = [f"{value:.4f}" for value in world.ravel()]
            yield item
