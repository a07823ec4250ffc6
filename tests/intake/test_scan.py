"""DICOM files in a folder tree: all that can be read are found, all else is named, links do not loop."""

from __future__ import annotations

import struct
from pathlib import Path

import made_dicom as made
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.intake import scan


def one() -> Dataset:
    dataset = made.series(*made.grid())[0]
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def test_a_tree_is_walked_once_in_order_though_links_loop(tmp_path: Path) -> None:
    """Nested folders are entered, a link to a folder above is not followed twice."""
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "deep").write_text("x")
    (tmp_path / "a").write_text("x")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert [path.name for path in scan.files(tmp_path)] == ["a", "deep"]
    assert list(scan.files(tmp_path / "a")) == [tmp_path / "a"]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_headers_and_whole_files_are_read(syntax: str, tmp_path: Path) -> None:
    """A header ends before the pixels; the whole file has them."""
    dataset = one()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(tmp_path / "x", enforce_file_format=True)
    assert "PixelData" not in scan.header(tmp_path / "x")
    assert len(scan.dataset(tmp_path / "x").PixelData) == 384


@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_without_preamble_and_meta_is_read(implicit: bool, tmp_path: Path) -> None:
    """A bare dataset that begins with group 8 is DICOM."""
    dataset = one()
    del dataset.file_meta
    dataset.save_as(tmp_path / "x", implicit_vr=implicit, little_endian=True)
    assert scan.dataset(tmp_path / "x").Rows == 16


@pytest.mark.parametrize("declared", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_transfer_syntax_that_is_not_true_is_seen_through(declared: str, tmp_path: Path) -> None:
    """Explicit data declared implicit, and the other way round."""
    dataset = one()
    dataset.file_meta.TransferSyntaxUID = declared
    dataset.save_as(tmp_path / "head", enforce_file_format=True)
    head = (tmp_path / "head").read_bytes()
    (length,) = struct.unpack_from("<I", head, 140)
    del dataset.file_meta
    dataset.save_as(tmp_path / "body", implicit_vr=declared != ImplicitVRLittleEndian, little_endian=True)
    (tmp_path / "x").write_bytes(head[: 144 + length] + (tmp_path / "body").read_bytes())
    assert scan.header(tmp_path / "x").Rows == 16
    assert len(scan.dataset(tmp_path / "x").PixelData) == 384


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"hello, this is no image at all, only some words in a file", "not DICOM"),
        (b"\x08\x00" + b"\xff" * 200, "DICOM"),
        (bytes(128) + b"DICM", "DICOM"),
        (bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\xff\xff\xff\xff" + bytes(200), "DICOM"),
    ],
)
def test_what_is_no_dicom_is_refused_with_a_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    """Empty files, junk, and heads without a body."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(Unusable, match=sentence):
        scan.header(tmp_path / "x")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """The operating system's words, not its traceback."""
    with pytest.raises(Unusable, match="cannot be read: "):
        scan.header(tmp_path / "absent")
