"""Tests of what is carried over: the bytes of the source, whatever they are."""

from __future__ import annotations

import io
from dataclasses import replace

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from encode.cases import OPTIONS, Wish, case, identity
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.results import encode
from spineps_pacs.encode.verbatim import PATIENT_AND_STUDY, SCANNER
from spineps_pacs.encode.verify import verify_all

NAMES = {
    "none": (None, b"Plain^Name"),
    "latin-1": ("ISO_IR 100", b"M\xfcller^J\xfcrgen"),
    "cyrillic": ("ISO_IR 144", b"\xbb\xee\xda\xd5\xd3\xbe\xdc"),
    "utf-8": ("ISO_IR 192", "Wang^XiaoDong=王^小東=".encode()),
    "gb18030": ("GB18030", "Wang^XiaoDong=王^小东=".encode("gb18030")),
    "japanese": (("", "ISO 2022 IR 87"), b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B="),
    "korean": (("", "ISO 2022 IR 149"), b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7="),
    "wrong bytes": ("ISO_IR 192", b"M\xfcller^J"),
    "undeclared": (None, b"M\xfcller^J"),
}


def raw_case(charset: object, name: bytes, *, implicit: bool = False) -> tuple[object, Series]:
    """A case whose patient name, id and study description are these bytes."""
    report, series = case(Wish(charset=charset, implicit=implicit, levels=(23,)))  # type: ignore[arg-type]
    padded = name + b" " * (len(name) % 2)
    for ds in series.datasets:
        for keyword in ("PatientName", "StudyDescription", "InstitutionName"):
            element = ds.get_item(keyword)
            ds._dict[element.tag] = element._replace(value=padded, length=len(padded))
    return report, series


def _raw(ds: Dataset, keyword: str) -> bytes:
    return bytes(ds.get_item(keyword).value)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(("charset", "name"), NAMES.values(), ids=NAMES.keys())
def test_bytes_of_any_character_set_survive(charset: object, name: bytes, implicit: bool) -> None:
    """Patient, study and the scanner's institution reach every object as the bytes that arrived."""
    report, series = raw_case(charset, name, implicit=implicit)
    results = encode(report, series, identity(report, series), OPTIONS)  # type: ignore[arg-type]
    verify_all(results, report, series)  # type: ignore[arg-type]
    padded = name + b" " * (len(name) % 2)
    for result in results:
        ds = pydicom.dcmread(io.BytesIO(result.content))
        assert _raw(ds, "PatientName") == padded
        assert _raw(ds, "StudyDescription") == padded
        assert (ds.get_item("SpecificCharacterSet") is None) == (charset is None)
        assert _raw(ds.ContributingEquipmentSequence[0], "InstitutionName") == padded


def test_values_that_break_rules_are_not_repaired() -> None:
    """A bad date, an endless id and a decimal string that is too long stay as they are."""
    report, series = case()
    broken = {"PatientBirthDate": b"1970/1/2", "PatientID": b"X" * 70, "PatientWeight": b"70.1000000000000000001"}
    for ds in series.datasets:
        for keyword, value in broken.items():
            ds._dict[Tag(keyword)] = ds.get_item(keyword)._replace(value=value, length=len(value))
    for result in encode(report, series, identity(report, series), OPTIONS):
        ds = pydicom.dcmread(io.BytesIO(result.content))
        assert {keyword: _raw(ds, keyword) for keyword in broken} == broken


@pytest.mark.parametrize("implicit", [False, True])
def test_sequences_survive(implicit: bool) -> None:
    """Other patient ids with a qualifier come through nested, from explicit and implicit sources."""
    issuer, other = Dataset(), Dataset()
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = "1.2.3", "ISO"
    other.PatientID, other.TypeOfPatientID, other.IssuerOfPatientID = "Müller-1", "TEXT", "Süd"
    other.IssuerOfPatientIDQualifiersSequence = [issuer]
    wish = Wish(patient=(("OtherPatientIDsSequence", [other]),), implicit=implicit)
    report, series = case(wish)
    for result in encode(report, series, identity(report, series), OPTIONS):
        item = pydicom.dcmread(io.BytesIO(result.content)).OtherPatientIDsSequence[0]
        assert (item.PatientID, item.IssuerOfPatientID) == ("Müller-1", "Süd")
        assert item.IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID == "1.2.3"


def test_what_the_source_lacks_is_empty_or_absent() -> None:
    """Type 2 attributes are there without a value, optional ones are not there at all."""
    report, series = case()
    for ds in series.datasets:
        for keyword in ("AccessionNumber", "StudyID", "PatientAge"):
            del ds[keyword]
    for result in encode(report, series, identity(report, series), OPTIONS):
        ds = pydicom.dcmread(io.BytesIO(result.content))
        assert (ds.AccessionNumber, ds.StudyID) == ("", "")
        assert "PatientAge" not in ds


def test_the_sources_are_not_changed() -> None:
    """Encoding leaves every source dataset with the same elements and values."""
    report, series = case()
    before = [{tag: repr(ds[tag].value) for tag in ds.keys()} for ds in case()[1].datasets]  # noqa: SIM118
    encode(report, series, identity(report, series), OPTIONS)
    assert [{tag: repr(ds[tag].value) for tag in ds.keys()} for ds in series.datasets] == before  # noqa: SIM118


def test_the_scanner_is_named_and_the_equipment_is_ours() -> None:
    """The modality stands in ContributingEquipment, we in the equipment module."""
    report, series = case()
    for result in encode(report, series, identity(report, series), OPTIONS):
        ds = pydicom.dcmread(io.BytesIO(result.content))
        scanner = ds.ContributingEquipmentSequence[0]
        assert scanner.PurposeOfReferenceCodeSequence[0].CodeValue == "109101"
        assert (scanner.Manufacturer, scanner.DeviceSerialNumber) == ("Magnets", "4711")
        assert list(scanner.SoftwareVersions) == ["syngo", "MR"]
        assert (ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions) == ("spineps-pacs", "SPINEPS", "0.1.0")


@pytest.mark.parametrize("value", [None, "", " "])
def test_a_scanner_without_a_maker_is_not_named(value: str | None) -> None:
    """Images without a Manufacturer, or an anonymised one, give no equipment item that would lack it (type 1)."""
    report, series = case()
    for ds in series.datasets:
        if value is None:
            del ds.Manufacturer
        else:
            ds.Manufacturer = value
    for result in encode(report, series, identity(report, series), replace(OPTIONS, pictures=False)):
        items = pydicom.dcmread(io.BytesIO(result.content)).ContributingEquipmentSequence
        assert [item.PurposeOfReferenceCodeSequence[0].CodeValue for item in items] == ["109102"]
        assert all(item.Manufacturer for item in items)


def test_every_name_in_the_lists_is_an_attribute() -> None:
    """No misspelt keyword hides in the tables."""
    keywords = (*PATIENT_AND_STUDY, *SCANNER)
    assert len(set(keywords)) == len(keywords)
    assert [k for k in keywords if pydicom.datadict.tag_for_keyword(k) is None] == []
