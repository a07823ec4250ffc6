"""What every object has in common: the study it joins, our equipment, the scanner, its time, and its bytes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import highdicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from spineps_pacs.domain.anatomy import CERVICAL, LUMBAR, PRIVATE_SCHEME, THORACIC, Code
from spineps_pacs.domain.attributes import text, whole
from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.report import Report
from spineps_pacs.encode.concepts import ACQUISITION, PROCESSING, code_item, plain
from spineps_pacs.encode.identity import Identity
from spineps_pacs.encode.options import Kind, Options
from spineps_pacs.encode.segments import Segment
from spineps_pacs.encode.sources import Sources
from spineps_pacs.encode.verbatim import PATIENT_AND_STUDY, SCANNER, Elements, file_bytes, sequence, tag_of, verbatim

IMPLEMENTATION_UID = UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, 'urn:spineps-pacs:implementation').int}")
SCHEME_UID = f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, 'urn:spineps-pacs:codes:99SPINEPS').int}"
NOT_FOR_DIAGNOSIS = "demonstration, not for diagnosis"
NEVER_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber",
)  # fmt: skip
"""Attributes that must be there even without a value (type 2)."""
_LARGEST_IS = 2**31 - 1
_PARTS = {CERVICAL: "CSPINE", THORACIC: "TSPINE", LUMBAR: "LSPINE"}
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


@dataclass(frozen=True, eq=False)
class Sheet:
    """What an object of one kind is written on: its kind, report, sources, identity and the site's options."""

    kind: Kind
    report: Report
    sources: Sources
    identity: Identity
    options: Options

    @property
    def algorithm(self) -> str:
        """The name of the algorithm; that of a demonstration says so."""
        return f"SPINEPS ({NOT_FOR_DIAGNOSIS})" if self.report.demonstration else "SPINEPS"

    @property
    def series_number(self) -> int:
        """Derived from the source's, so that results stand beside it; kept within what IS can hold."""
        wanted = self.source_number * self.options.series_number_factor
        return min(wanted + self.options.series_number_offset + self.kind.suffix, _LARGEST_IS)

    @property
    def source_number(self) -> int:
        """The series number of the source, 0 where it has none that can be read."""
        return max(whole(self.sources.first, "SeriesNumber") or 0, 0)

    @property
    def series_description(self) -> str:
        """What viewers list; some show only its beginning, so what tells one series from the next comes first."""
        title = self.kind.title
        name = f"{title} DEMO, not for diagnosis: SPINEPS" if self.report.demonstration else f"SPINEPS {title}"
        return plain(f"{name} [series {self.source_number}]")

    @property
    def content_description(self) -> str:
        """One line on the content."""
        name = f"SPINEPS {self.kind.title}"
        return plain(f"{name}, {NOT_FOR_DIAGNOSIS}" if self.report.demonstration else name)

    @property
    def series_uid(self) -> str:
        """The series of this kind of object."""
        return self.identity.uid("series", self.kind.name)

    def sop_uid(self, number: int = 1) -> str:
        """The `number`-th object of the series."""
        return self.identity.uid("instance", self.kind.name, str(number))


def finish(sheet: Sheet, dataset: Dataset, *, number: int = 1) -> Result:
    """The complete file: the header carried over, equipment, times and identity set, nothing left to chance."""
    carried = _carried(sheet, dataset)
    _series(sheet, dataset, number)
    set_equipment(sheet.options, dataset)
    set_times(sheet.identity, dataset)
    carried[tag_of("ContributingEquipmentSequence")] = _contributors(sheet)
    set_scheme(sheet.options, dataset)
    leave_to_source(dataset, carried)
    set_file_meta(sheet.options, dataset)
    content = file_bytes(dataset, carried, sheet.sources.first)
    return Result(sheet.kind.name, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), content)


def body_part(segments: tuple[Segment, ...]) -> str:
    """The defined term for the levels that were found."""
    parts = {_PARTS[segment.region] for segment in segments if segment.region in _PARTS}
    return parts.pop() if len(parts) == 1 else "SPINE"


def _carried(sheet: Sheet, dataset: Dataset) -> Elements:
    carried = verbatim(sheet.sources.first, PATIENT_AND_STUDY)
    if "FrameOfReferenceUID" in dataset:
        carried |= verbatim(sheet.sources.first, ("PositionReferenceIndicator",))
    if "Rows" in dataset and text(sheet.sources.first, "LossyImageCompression") == "01":
        carried |= verbatim(sheet.sources.first, _LOSSY)
    if "BodyPartExamined" in dataset and text(sheet.sources.first, "BodyPartExamined"):
        carried |= verbatim(sheet.sources.first, ("BodyPartExamined",))
    return carried


def _series(sheet: Sheet, dataset: Dataset, number: int) -> None:
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = sheet.series_uid, sheet.sop_uid(number)
    dataset.SeriesNumber, dataset.InstanceNumber = sheet.series_number, number
    dataset.SeriesDescription = sheet.series_description
    if "ContentLabel" in dataset:
        dataset.ContentLabel, dataset.ContentDescription = sheet.kind.label, sheet.content_description
    if "DimensionOrganizationSequence" in dataset:
        organization = sheet.identity.uid("dimensions", sheet.kind.name)
        dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
        for item in dataset.get("DimensionIndexSequence", []):
            item.DimensionOrganizationUID = organization


def leave_to_source(dataset: Dataset, carried: Elements) -> None:
    """What is carried over as bytes is not written twice; what must be there and is not carried over is empty."""
    for keyword in NEVER_EMPTY:
        if tag_of(keyword) not in carried:
            setattr(dataset, keyword, "")
    if "SpecificCharacterSet" in dataset:
        del dataset.SpecificCharacterSet


def set_equipment(options: Options, dataset: Dataset) -> None:
    """We made it, not the scanner."""
    dataset.Manufacturer, dataset.ManufacturerModelName = options.manufacturer, options.model_name
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = options.serial, options.version
    if options.station_name:
        dataset.StationName = options.station_name


def set_scheme(options: Options, dataset: Dataset) -> None:
    """Who answers for our private codes, where one is used."""
    if any(_uses_private_code(item) for item in _items(dataset)):
        dataset.CodingSchemeIdentificationSequence = [_scheme(options)]


def set_times(identity: Identity, dataset: Dataset) -> None:
    """Every date and time of the object is that of the first job."""
    date, time = identity.created.strftime("%Y%m%d"), identity.created.strftime("%H%M%S.%f")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    dataset.SeriesDate, dataset.SeriesTime = date, time
    for item in dataset.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = date + time
    for prefix in ("Content", "StructureSet", "PresentationCreation"):
        if f"{prefix}Date" in dataset:
            setattr(dataset, f"{prefix}Date", date)
            setattr(dataset, f"{prefix}Time", time)


def _contributors(sheet: Sheet) -> Any:
    scanner = _equipment_item(ACQUISITION) | verbatim(sheet.sources.first, SCANNER)
    encoder = _equipment_item(PROCESSING)
    for keyword, value in (
        ("Manufacturer", "highdicom open-source contributors"),
        ("ManufacturerModelName", "highdicom"),
        ("SoftwareVersions", highdicom.__version__),
        ("ContributionDateTime", sheet.identity.created.strftime("%Y%m%d%H%M%S.%f")),
    ):
        item = Dataset()
        setattr(item, keyword, value)
        encoder |= {item[keyword].tag: item[keyword]}
    if not text(sheet.sources.first, "Manufacturer"):  # type 1 here, so an item without it would be wrong
        return sequence("ContributingEquipmentSequence", [encoder], sheet.sources.first)
    return sequence("ContributingEquipmentSequence", [scanner, encoder], sheet.sources.first)


def _equipment_item(purpose: Code) -> Elements:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(purpose)]
    return {item["PurposeOfReferenceCodeSequence"].tag: item["PurposeOfReferenceCodeSequence"]}


def _scheme(options: Options) -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator, item.CodingSchemeUID = PRIVATE_SCHEME, SCHEME_UID
    item.CodingSchemeName = "SPINEPS findings, see docs/codes.md of spineps-pacs"
    item.CodingSchemeVersion = options.version
    item.CodingSchemeResponsibleOrganization = options.manufacturer
    return item


def set_file_meta(options: Options, dataset: Dataset) -> None:
    """The file meta information, with our implementation in it."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = plain(f"SPINEPS_{options.version}", 16)
    dataset.file_meta = meta


def _uses_private_code(item: Dataset) -> bool:
    return bool(item.get("CodingSchemeDesignator") == PRIVATE_SCHEME)


def _items(dataset: Dataset) -> Any:
    """All items of all sequences except those of single frames, which hold no code of ours."""
    for element in dataset:
        if element.VR == "SQ" and element.keyword != "PerFrameFunctionalGroupsSequence":
            for item in element.value:
                yield item
                yield from _items(item)
