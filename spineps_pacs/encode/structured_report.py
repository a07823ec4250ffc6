"""Report and SEGs to one Comprehensive 3D SR (TID 1500): numbers for machines, points for viewers, words for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from highdicom.sr import (
    Comprehensive3DSR,
    ContainerContentItem,
    DeviceObserverIdentifyingAttributes,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from spineps_pacs.domain.anatomy import Code
from spineps_pacs.domain.attributes import items, text
from spineps_pacs.domain.ports import Result
from spineps_pacs.encode.concepts import MR_EXAMINATION, concept
from spineps_pacs.encode.header import Sheet, finish
from spineps_pacs.encode.identity import Prior, uid
from spineps_pacs.encode.options import Options
from spineps_pacs.encode.report_findings import findings
from spineps_pacs.encode.report_groups import Written, level_groups, point_groups, structure_groups
from spineps_pacs.encode.segments import Segment, level_segments


def structured_report(sheet: Sheet, structures: Written | None, levels: Iterable[Written]) -> Result:
    """The report; it refers to the SEGs that were written, so it is given them."""
    written = tuple(levels)
    by_instance: dict[int, Segment] = {segment.instance: segment for segment in level_segments(sheet.report)}
    groups = [group for seg in written for group in level_groups(sheet, seg, by_instance)]
    groups += [group for seg in written for group in point_groups(sheet, seg.segments)]
    others = structure_groups(sheet, structures) if structures else []
    others += findings(sheet, by_instance)
    segs = [seg for seg in (structures, *written) if seg]
    dataset = Comprehensive3DSR(
        evidence=[*sheet.sources.images, *(_stub(sheet, seg) for seg in segs)],
        content=_content(sheet, others[-1:]),
        series_instance_uid=sheet.series_uid,
        series_number=sheet.series_number,
        sop_instance_uid=sheet.sop_uid(),
        instance_number=1,
        manufacturer=sheet.options.manufacturer,
        is_complete=True,
        is_final=False,
        previous_versions=[prior_stub(prior) for prior in sheet.identity.predecessors] or None,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    _fill(dataset, groups or others)
    if groups:
        dataset.ContentSequence.append(_findings(others))
    return finish(sheet, dataset)


def _content(sheet: Sheet, groups: list[Any]) -> Any:
    middle = sheet.sources.images[len(sheet.sources.images) // 2]
    library = None if sheet.sources.multiframe else [middle]
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer(sheet.options)),
        procedure_reported=[concept(code) for code in procedures(sheet.sources.first)],
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=english(),
        referenced_images=library,
    )


def english() -> Any:
    """The language of all words in it."""
    return LanguageOfContentItemAndDescendants(language=concept(Code("en", "RFC5646", "English")))


def _fill(dataset: Dataset, groups: list[Any]) -> None:
    """All groups, in order. highdicom copies and searches what it is given several times over, so it was given one."""
    measurements = dataset.ContentSequence[-1]
    measurements.ContentSequence = [item for group in groups for item in group]


def _findings(groups: list[Any]) -> Any:
    """What has no place on an image, in a container of its own (TID 1500 is extensible).

    OHIF takes nothing at all from a report in which any group of the imaging measurements has no coordinates.
    """
    container = ContainerContentItem(codes.DCM.Findings, relationship_type="CONTAINS")
    container.ContentSequence = [item for group in groups for item in group]
    return container


def observer(options: Options) -> Any:
    """We saw it: this node as the observing device."""
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=uid(options.uid_root, "device", options.manufacturer, options.model_name, options.serial),
            name=options.model_name,
            manufacturer_name=options.manufacturer,
            model_name=options.model_name,
            serial_number=options.serial,
        ),
    )


def procedures(source: Dataset) -> list[Code]:
    """The procedure that the modality named, if it is a complete code; else an MR examination."""
    found = []
    for item in items(source, "ProcedureCodeSequence"):
        parts = [text(item, k) for k in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]
        if all(parts) and all(part.isascii() for part in parts):
            found.append(Code(*parts))
    return found or [MR_EXAMINATION]


def _stub(sheet: Sheet, seg: Written) -> Dataset:
    stub = Dataset()
    stub.SOPClassUID, stub.SOPInstanceUID = seg.sop_class_uid, seg.sop_instance_uid
    stub.StudyInstanceUID, stub.SeriesInstanceUID = sheet.sources.images[0].StudyInstanceUID, seg.series_uid
    stub.Modality = "SEG"
    return stub


def prior_stub(prior: Prior) -> Dataset:
    """An earlier report, as highdicom refers to it."""
    stub = Dataset()
    stub.SOPClassUID, stub.SOPInstanceUID = prior.sop_class_uid, prior.sop_instance_uid
    stub.StudyInstanceUID, stub.SeriesInstanceUID = prior.study_uid, prior.series_uid
    return stub
