"""Attributes of the source, carried over as the bytes that arrived, and the writer that puts them into our files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element, write_file_meta_info
from pydicom.tag import BaseTag, Tag

Elements = dict[BaseTag, Any]
"""Tag to pydicom element, decoded (ours) or raw (the source's own bytes)."""

PATIENT_AND_STUDY = (
    "SpecificCharacterSet", "TimezoneOffsetFromUTC",
    # Patient (PS3.3 C.7.1.1)
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID",
    "PatientBirthDate", "PatientBirthTime", "PatientSex", "ReferencedPatientSequence", "QualityControlSubject",
    "OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "PatientMotherBirthName", "EthnicGroup",
    "PatientComments", "PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription",
    "PatientBreedCodeSequence", "BreedRegistrationSequence", "StrainDescription", "ResponsiblePerson",
    "ResponsiblePersonRole", "ResponsibleOrganization", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "PatientBirthDateInAlternativeCalendar",
    "PatientDeathDateInAlternativeCalendar", "PatientAlternativeCalendar",
    # Clinical trial subject and study (C.7.1.3, C.7.2.3)
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID",
    "ClinicalTrialProtocolEthicsCommitteeName", "ClinicalTrialProtocolEthicsCommitteeApprovalNumber",
    "ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription", "ConsentForClinicalTrialUseSequence",
    # General study (C.7.2.1)
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName", "StudyID", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "StudyDescription", "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence", "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence", "RequestingServiceCodeSequence", "ReferencedStudySequence",
    "ProcedureCodeSequence", "ReasonForPerformedProcedureCodeSequence",
    # Patient study (C.7.2.2)
    "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PatientAge", "PatientSize", "PatientWeight",
    "PatientBodyMassIndex", "PatientSizeCodeSequence", "MedicalAlerts", "Allergies", "SmokingStatus",
    "PregnancyStatus", "LastMenstrualDate", "PatientState", "Occupation", "AdditionalPatientHistory", "AdmissionID",
    "IssuerOfAdmissionIDSequence", "ServiceEpisodeID", "ServiceEpisodeDescription", "PatientSexNeutered",
)  # fmt: skip
"""What a result shares with its study; a PACS files by these, so nothing of them may change."""

SCANNER = (
    "Manufacturer", "InstitutionName", "InstitutionAddress", "StationName", "InstitutionalDepartmentName",
    "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", "DateOfLastCalibration",
    "TimeOfLastCalibration",
)  # fmt: skip
"""What a contributing equipment item says of the device that acquired the images."""

_TEXT_PAD, _UID_PAD = b" ", b"\x00"
_PADDED_WITH_ZERO = {"UI", "OB", "UN"}


def verbatim(dataset: Dataset, keywords: Iterable[str]) -> Elements:
    """The named attributes of a dataset as they arrived; those that it lacks are left out."""
    elements = (dataset.get_item(tag_of(keyword)) for keyword in keywords)
    return {element.tag: _verbatim(element, dataset) for element in elements if element is not None}


def tag_of(keyword: str) -> BaseTag:
    """The tag of an attribute."""
    return Tag(tag_for_keyword(keyword) or 0)


def header_digest(datasets: Iterable[Dataset]) -> str:
    """SHA-256 of what results take over from their sources: a corrected patient makes them other results."""
    first = min(datasets, key=lambda ds: str(ds.get("SOPInstanceUID", "")))
    return hashlib.sha256(encoded(first, (*PATIENT_AND_STUDY, *SCANNER))).hexdigest()


def encoded(dataset: Dataset, keywords: Iterable[str]) -> bytes:
    """The named attributes as they stand in a file (Explicit VR Little Endian)."""
    return _elements(verbatim(dataset, keywords), _charset(dataset))


def file_bytes(dataset: Dataset, carried: Mapping[BaseTag, Any], charset_of: Dataset) -> bytes:
    """A complete DICOM file (Explicit VR Little Endian): our elements, and the source's where both have one."""
    buffer = _buffer()
    buffer.write(b"\x00" * 128 + b"DICM")
    write_file_meta_info(buffer, dataset.file_meta, enforce_standard=True)
    correct_ambiguous_vr(dataset, is_little_endian=True)
    if "PixelData" in dataset:
        dataset["PixelData"].is_undefined_length = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    elements = {tag: dataset[tag] for tag in dataset.keys()} | dict(carried)  # noqa: SIM118, a Dataset is no dict
    buffer.write(_elements(elements, _charset(charset_of)))
    return bytes(buffer.getvalue())


def sequence(keyword: str, items: Iterable[Mapping[BaseTag, Any]], charset_of: Dataset) -> RawDataElement:
    """A sequence whose items mix our elements and raw ones."""
    content = b"".join(_item(_elements(item, _charset(charset_of))) for item in items)
    return _raw(tag_of(keyword), "SQ", content)


def _verbatim(element: Any, dataset: Dataset) -> Any:
    if not isinstance(element, RawDataElement):
        return _sequence_of(element, dataset) if element.VR == "SQ" else element
    vr = element.VR or (dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else "UN")
    if vr == "SQ":
        return _sequence_of(convert_raw_data_element(element, encoding=_charset(dataset), ds=dataset), dataset)
    if not element.is_little_endian:
        return convert_raw_data_element(element, encoding=_charset(dataset), ds=dataset)
    pad = _UID_PAD if vr in _PADDED_WITH_ZERO else _TEXT_PAD
    value = element.value or b""
    return _raw(element.tag, vr, value + pad if len(value) % 2 else value)


def _sequence_of(element: DataElement, dataset: Dataset) -> RawDataElement:
    content = b"".join(_item(_all(item, dataset)) for item in element.value)
    return _raw(element.tag, "SQ", content)


def _all(item: Dataset, dataset: Dataset) -> bytes:
    elements = {tag: _verbatim(item.get_item(tag), dataset) for tag in item.keys()}  # noqa: SIM118
    return _elements(elements, _charset(dataset))


def _raw(tag: BaseTag, vr: str, value: bytes) -> RawDataElement:
    return RawDataElement(tag, vr, len(value), value, 0, False, True)


def _item(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content


def _elements(elements: Mapping[BaseTag, Any], charset: list[str]) -> bytes:
    buffer = _buffer()
    for tag in sorted(elements):
        write_data_element(buffer, elements[tag], charset)
    return bytes(buffer.getvalue())


def _buffer() -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    return buffer


def _charset(dataset: Dataset) -> list[str]:
    value = dataset.get("SpecificCharacterSet")
    return list(convert_encodings(value)) if value else ["iso8859"]
