"""Mosaics: one picture that holds all slices of a volume as tiles (Siemens MOSAIC, UIH VFRAME), and where each lies.

Siemens gives the position of the corner that the picture would have if it were one slice as large as the mosaic, so the
first slice's own corner lies half the difference further in; slices follow each other along the slice normal of the
CSA header by Spacing Between Slices. UIH lists a position for each tile.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from spineps_pacs.domain.attributes import as_number, items, number, numbers, private_tag, texts, values, whole

_MOST_TILES = 1024


@dataclass(frozen=True)
class Mosaic:
    """How a picture is cut: tiles in a row and in a column, size of a tile (rows, columns), place of each tile."""

    grid: tuple[int, int]
    shape: tuple[int, int]
    positions: tuple[tuple[float, ...], ...]
    step: float


def is_mosaic(dataset: Dataset) -> bool:
    """True when one picture holds several slices."""
    return not {"MOSAIC", "VFRAME"}.isdisjoint(texts(dataset, "ImageType"))


def mosaic(dataset: Dataset) -> Mosaic | None:
    """How a mosaic is tiled; none when its header does not say."""
    return _siemens(dataset) if "MOSAIC" in texts(dataset, "ImageType") else _uih(dataset)


def _cut(dataset: Dataset, count: int, columns: int, rows: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Grid and tile size, when the picture divides evenly."""
    height, width = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    if not 1 <= count <= _MOST_TILES or height % rows or width % columns:
        return None
    return (columns, rows), (height // rows, width // columns)


def _siemens(dataset: Dataset) -> Mosaic | None:
    header = csa(dataset)
    tag = private_tag(dataset, 0x0019, "SIEMENS MR HEADER", 0x0A)
    stated = next(iter(header.get("NumberOfImagesInMosaic", ())), 0)
    count = int(stated) or (tag and whole(dataset, tag)) or _by_acquisition(dataset)
    side = math.ceil(math.sqrt(max(count, 1)))
    cut = _cut(dataset, count, side, side)
    corner, cosines = numbers(dataset, "ImagePositionPatient", 3), numbers(dataset, "ImageOrientationPatient", 6)
    spacing = numbers(dataset, "PixelSpacing", 2)
    step = number(dataset, "SpacingBetweenSlices") or number(dataset, "SliceThickness")
    if cut is None or not (corner and cosines and spacing and step):
        return None
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    (height, width), normal = cut[1], np.cross(row, column)
    across = header.get("SliceNormalVector", ())
    if len(across) == 3 and float(np.dot(across, normal)) < 0:
        normal = -normal
    first = np.array(corner) + row * spacing[1] * (side - 1) * width / 2 + column * spacing[0] * (side - 1) * height / 2
    places = tuple(tuple(map(float, first + normal * step * index)) for index in range(count))
    return Mosaic(cut[0], cut[1], places, step)


def _by_acquisition(dataset: Dataset) -> int:
    """How many acquired images (Acquisition Matrix: rows and columns of frequency, then of phase) a picture holds.

    Exports without private attributes leave nothing else; tiles that were left empty count as slices then.
    """
    matrix = numbers(dataset, "AcquisitionMatrix", 4)
    rows, columns = (int(max(pair)) for pair in (matrix[::2], matrix[1::2])) if matrix else (0, 0)
    height, width = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    if rows < 1 or columns < 1 or height % rows or width % columns or height // rows != width // columns:
        return 0
    return (height // rows) ** 2


def _uih(dataset: Dataset) -> Mosaic | None:
    places: tuple[tuple[float, ...], ...] = ()
    for block in range(0x10, 0x18):
        frames = items(dataset, (0x0065 << 16) | (block << 8) | 0x51)
        places = places or tuple(numbers(frame, "ImagePositionPatient", 3) for frame in frames)
    columns = math.ceil(math.sqrt(max(len(places), 1)))
    cut = _cut(dataset, len(places), columns, math.ceil(len(places) / columns)) if places else None
    if cut is None or not all(places):
        return None
    step = number(dataset, "SpacingBetweenSlices") or number(dataset, "SliceThickness") or 1.0
    return Mosaic(cut[0], cut[1], places, step)


def csa(dataset: Dataset) -> dict[str, tuple[float, ...]]:
    """The numbers of Siemens' CSA image header (0029,xx10), by name; empty when there is none or it is broken."""
    tag = private_tag(dataset, 0x0029, "SIEMENS CSA HEADER", 0x10)
    content = next(iter(values(dataset, tag)), None) if tag is not None else None
    if not isinstance(content, bytes):
        return {}
    try:
        return _csa_entries(content)
    except (struct.error, ValueError, IndexError):
        return {}


def _csa_entries(content: bytes) -> dict[str, tuple[float, ...]]:
    """Entries: a name of 64 bytes, six numbers; each item: four numbers (the second is its length), text, padding."""
    start = 8 if content[:4] == b"SV10" else 0
    (count,) = struct.unpack_from("<I", content, start)
    at, found = start + 8, {}
    for _ in range(min(count, 512)):
        name = content[at : at + 64].split(b"\0")[0].decode("latin-1")
        (length,) = struct.unpack_from("<I", content, at + 76)
        at += 84
        kept = []
        for _ in range(min(length, 4096)):
            size = struct.unpack_from("<4I", content, at)[1]
            kept.append(as_number(content[at + 16 : at + 16 + size].split(b"\0")[0].decode("latin-1").strip()))
            at += 16 + (size + 3) // 4 * 4
        found[name] = tuple(value for value in kept if value is not None)
    return found
