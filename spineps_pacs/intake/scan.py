"""Finds DICOM files in a folder tree, one at a time: what is read is handed on and forgotten."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pydicom import dcmread
from pydicom.dataset import Dataset

from spineps_pacs.domain.attributes import quietly, text
from spineps_pacs.domain.errors import Unusable

LARGEST_FILE = 3 << 29
"""1.5 GiB: larger files are refused before they are read whole."""

_LARGEST_INFLATED = 1 << 29
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory (DICOMDIR)


class _Clamped:
    """A file whose `read` never asks for more than there is: a length in a broken header allocates nothing."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, count: int = -1) -> bytes:
        left = max(self._size - self._file.tell(), 0)
        return self._file.read(left if count is None or count < 0 else min(count, left))


def files(root: Path) -> Iterator[Path]:
    """Every regular file under a folder, sorted, or the file itself; each folder once, however links loop."""
    if root.is_file():
        yield root
        return
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (path for name in sorted(names) if _regular(path := Path(folder) / name))


def _regular(path: Path) -> bool:
    """True for files, also behind links; what may not be asked is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def header(path: Path) -> Dataset:
    """A file's attributes up to the pixels; Unusable with a sentence when it is no DICOM image or report."""
    return _read(path, pixels=False)


def dataset(path: Path) -> Dataset:
    """A whole file."""
    return _read(path, pixels=True)


def is_directory(found: Dataset) -> bool:
    """True for a DICOMDIR, which lists other files and is no image."""
    meta = getattr(found, "file_meta", None) or Dataset()
    return text(meta, "MediaStorageSOPClassUID") == _DIRECTORY or "DirectoryRecordSequence" in found


def _read(path: Path, *, pixels: bool) -> Dataset:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE and pixels:
            raise Unusable(f"a file of {size / 1e9:.1f} GB is too large")
        with path.open("rb") as file, quietly():
            found = _parsed(file, size, pixels=pixels)
    except Unusable:
        raise
    except OSError as error:
        raise Unusable(f"the file cannot be read: {error.strerror or type(error).__name__}") from error
    except (Exception, RecursionError) as error:
        raise Unusable(f"not readable as DICOM: {type(error).__name__}") from error
    if not ({"SOPClassUID", "Modality", "Rows", "DirectoryRecordSequence"} & set(found.dir())):
        raise Unusable("not DICOM: neither SOP Class UID, Modality nor Rows")
    return found


def _parsed(file: BinaryIO, size: int, *, pixels: bool) -> Dataset:
    start = file.read(132)
    if not start:
        raise Unusable("the file is empty")
    if start[128:] != b"DICM" and not _may_begin(start):
        raise Unusable("not DICOM: neither the DICM mark nor a known first element")
    file.seek(0)
    opening = file.read(4096)
    file.seek(0)
    if start[128:] == b"DICM" and _DEFLATED in opening:
        return dcmread(_checked(file), force=True, stop_before_pixels=not pixels)
    return dcmread(cast("BinaryIO", _Clamped(file, size)), force=True, stop_before_pixels=not pixels)


def _may_begin(start: bytes) -> bool:
    """True when a file without preamble begins with an element of group 2 or 8, in either byte order."""
    return start[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08") and len(start) >= 16


def _checked(file: BinaryIO) -> BinaryIO:
    """The bytes of a deflated file, once it is known that they inflate to a sensible size."""
    content = file.read()
    inflater, total, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, content[_meta_end(content) :]
    while rest and not inflater.eof:
        total += len(inflater.decompress(rest, 1 << 24))
        rest = inflater.unconsumed_tail
        if total > _LARGEST_INFLATED:
            raise Unusable(f"a deflated file would inflate beyond {_LARGEST_INFLATED / 1e9:.1f} GB")
    return io.BytesIO(content)


def _meta_end(content: bytes) -> int:
    """Where group 2 ends: its elements are explicit little endian (PS3.10 7.1)."""
    at = 132
    while content[at : at + 2] == b"\x02\x00":
        long = content[at + 4 : at + 6] in (b"OB", b"UN", b"OW", b"UT", b"SQ")
        at += (
            12 + struct.unpack_from("<I", content, at + 8)[0]
            if long
            else (8 + struct.unpack_from("<H", content, at + 6)[0])
        )
    return at
