"""Level names as a grayscale softcopy presentation state, for viewers that draw neither SEG nor SR."""

from __future__ import annotations

from typing import Any

import numpy as np
from highdicom.pr import GraphicAnnotation, GraphicLayer, GrayscaleSoftcopyPresentationState, TextObject

from spineps_pacs.domain.ports import Result
from spineps_pacs.encode.concepts import plain
from spineps_pacs.encode.header import Sheet, body_part, finish
from spineps_pacs.encode.segments import Segment, level_segments
from spineps_pacs.encode.sources import decimals
from spineps_pacs.encode.views import name_place


def presentation(sheet: Sheet) -> Result:
    """The name of each level as a text on every slice that shows it."""
    layer = GraphicLayer("LEVELS", 1, plain(f"{sheet.algorithm}: levels"))
    dataset = GrayscaleSoftcopyPresentationState(
        referenced_images=list(sheet.sources.images),
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
        graphic_layers=[layer],
        graphic_annotations=_annotations(sheet, layer),
    )
    dataset.BodyPartExamined = body_part(level_segments(sheet.report))
    for area in dataset.DisplayedAreaSelectionSequence:
        del area.PresentationPixelAspectRatio
        area.PresentationPixelSpacing = decimals(sheet.sources.planes[0].spacing)
    if sheet.sources.multiframe:
        _true_frame_numbers(sheet, dataset)
    return finish(sheet, dataset)


def _annotations(sheet: Sheet, layer: Any) -> list[Any]:
    segments = tuple(segment for segment in level_segments(sheet.report) if not segment.disc)
    found = []
    for n, index in enumerate(sheet.sources.slices):
        texts = _texts(sheet, index, segments)
        if texts and sheet.sources.multiframe:
            found.append(GraphicAnnotation(list(sheet.sources.images), layer, n + 1, text_objects=texts))
        elif texts:
            found.append(GraphicAnnotation([sheet.sources.images[n]], layer, text_objects=texts))
    return found


def _texts(sheet: Sheet, index: int, segments: tuple[Segment, ...]) -> list[Any]:
    structures, instances = sheet.report.structures.labels[index], sheet.report.instances.labels[index]
    present = set(np.unique(instances).tolist())
    texts = []
    for segment in (segment for segment in segments if segment.instance in present):
        where = name_place(structures, instances, segment.instance)
        if where is not None:
            row, column = where[0] + 1, where[1] + 1  # the first pixel is 1\1 (PS3.3 C.10.5)
            texts.append(
                TextObject(plain(segment.label), "PIXEL", anchor_point=(column, row), anchor_point_visible=False)
            )
    return texts


def _true_frame_numbers(sheet: Sheet, dataset: Any) -> None:
    numbers = [frame.number for frame in sheet.sources.frames]
    for annotation in dataset.GraphicAnnotationSequence:
        for item in annotation.ReferencedImageSequence:
            item.ReferencedFrameNumber = numbers[int(item.ReferencedFrameNumber) - 1]
