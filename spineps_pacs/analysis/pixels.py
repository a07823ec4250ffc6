"""Stored pixels of one plane: checked against what the bytes can hold before any memory is taken, then decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import config, encaps
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from spineps_pacs.analysis.codestreams import declared, decodable
from spineps_pacs.analysis.planes import Plane, Rescale, colours
from spineps_pacs.domain.attributes import items, quietly, text, whole
from spineps_pacs.domain.errors import Unusable

Stored = NDArray[Any]

LARGEST_BYTES = 1 << 28
"""One image of 256 MiB: a header that claims more is wrong or hostile."""

_LARGEST_VALUE = 1e15
_ITEM = b"\xfe\xff\x00\xe0"
_DECODERS = {RLELossless: "pydicom", JPEGLSLossless: "gdcm", JPEGLSNearLossless: "gdcm"}
"""Where another decoder panics (RLE) or takes 10 s (JPEG-LS) on broken data; else any that succeeds."""

_GE_BIG_ENDIAN = UID("1.2.840.113619.5.2")
_PLAIN = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    _GE_BIG_ENDIAN,
)
_KINDS: dict[str, np.dtype[Any]] = {"FloatPixelData": np.dtype("<f4"), "DoubleFloatPixelData": np.dtype("<f8")}


class Decoder:
    """Pixels of planes; keeps the last dataset's frames, since neighbours often share one."""

    def __init__(self, dataset: Callable[[int], Dataset]) -> None:
        self._dataset = dataset
        self._source: int | None = None
        self._image: _Image | None = None
        self._last: tuple[int, Stored] | None = None

    def values(self, plane: Plane) -> Stored:
        """Real values (rescaled) of one plane (row, column)."""
        image = self._open(plane.source)
        whole_frame = self._frame(image, plane.frame or 0)
        part = whole_frame if plane.tile is None else _tile(whole_frame, plane)
        if part.shape != plane.shape:
            raise Unusable(f"an image decodes to {part.shape}, its header says {plane.shape}")
        return _rescaled(image.dataset, part, plane.rescale)

    def _open(self, source: int) -> _Image:
        if self._image is None or self._source != source:
            self._image, self._source, self._last = _Image(self._dataset(source)), source, None
        return self._image

    def _frame(self, image: _Image, index: int) -> Stored:
        if self._last is None or self._last[0] != index:
            self._last = (index, image.frame(index))
        return self._last[1]


def _tile(picture: Stored, plane: Plane) -> Stored:
    """One tile of a mosaic; tiles run along the rows first."""
    index, across, _ = plane.tile or (0, 1, 1)
    top, left = index // across * plane.shape[0], index % across * plane.shape[1]
    return picture[top : top + plane.shape[0], left : left + plane.shape[1]]


def _rescaled(dataset: Dataset, stored: Stored, rescale: Rescale) -> Stored:
    """Stored to real values: a modality LUT if there is one, else slope and intercept; integers where they stay so."""
    if items(dataset, "ModalityLUTSequence"):
        return _looked_up(dataset, stored)
    if rescale == Rescale():
        return stored
    if rescale.integral and stored.dtype.kind in "iu":
        return stored.astype(np.int64) * int(rescale.slope) + int(rescale.intercept)
    wide = np.float64 if stored.dtype.itemsize > 2 else np.float32
    real = stored.astype(np.float64) * rescale.slope + rescale.intercept
    if np.abs(real).max() > _LARGEST_VALUE:
        raise Unusable(f"a rescale slope of {rescale.slope:g} and intercept of {rescale.intercept:g} are out of range")
    return real.astype(wide)


def _looked_up(dataset: Dataset, stored: Stored) -> Stored:
    try:
        with quietly():
            return np.asarray(apply_modality_lut(stored, dataset))
    except Exception as error:
        raise Unusable(f"the modality LUT cannot be applied: {type(error).__name__}") from error


class _Image:
    """The image pixel module of one dataset (PS3.3 C.7.6.3), checked."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        with quietly():
            self.rows, self.columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
            self.frames = max(whole(dataset, "NumberOfFrames") or 1, 1)
            self.allocated = whole(dataset, "BitsAllocated") or 0
            self.keyword, self.content = _content(dataset)
            self._check_kind()
            self.stored = whole(dataset, "BitsStored") or self.allocated
            self.stored = self.stored if 0 < self.stored <= self.allocated else self.allocated
            self.high = whole(dataset, "HighBit")
            self.signed = whole(dataset, "PixelRepresentation") == 1
            self.syntax = _transfer_syntax(dataset)
        self._streams: list[bytes] | None = None

    def _check_kind(self) -> None:
        if refusal := colours(self.dataset):
            raise Unusable(refusal)
        if self.keyword == "PixelData" and self.allocated not in (1, 8, 16, 32, 64):
            raise Unusable(f"{self.allocated} bits allocated per pixel cannot be read, only 1, 8, 16, 32 or 64")
        claimed = self.rows * self.columns * max(self.allocated, 8) // 8
        if claimed > LARGEST_BYTES:
            raise Unusable(f"an image of {self.rows} x {self.columns} pixels would take {claimed / 1e9:.1f} GB")

    def frame(self, index: int) -> Stored:
        """Stored values of one frame (row, column)."""
        if self.keyword != "PixelData":
            return self._native(index, _KINDS[self.keyword])
        if self._compressed():
            return self._settled(self._decoded(index))
        if self.allocated == 1:
            return self._bits(index)
        order = ">" if self.syntax in (ExplicitVRBigEndian, _GE_BIG_ENDIAN) else "<"
        kind = np.dtype(f"{order}{'i' if self.signed else 'u'}{self.allocated // 8}")
        return self._settled(self._native(index, kind))

    def _compressed(self) -> bool:
        """True when pixels are encapsulated; some senders forget to say so, or say so of plain pixels."""
        size = self.rows * self.columns * self.allocated // 8
        plain = len(self.content) in (size * self.frames, size * self.frames + 1)
        if self.syntax in _PLAIN:
            return self.content.startswith(_ITEM) and not plain
        return self.content.startswith(_ITEM) or not plain

    def _native(self, index: int, kind: np.dtype[Any]) -> Stored:
        count = self.rows * self.columns
        start = index * count * kind.itemsize
        if len(self.content) < start + count * kind.itemsize:
            wanted = self.frames * count * kind.itemsize
            raise Unusable(f"the pixel data hold {len(self.content)} of {wanted} bytes")
        content = self.content
        if kind.itemsize == 1 and kind.byteorder == "|" and self.syntax == ExplicitVRBigEndian:
            content = _swapped(self.dataset, content)
        found = np.frombuffer(content, kind, count, start).reshape(self.rows, self.columns)
        return np.asarray(found.astype(kind.newbyteorder("="), copy=False))

    def _bits(self, index: int) -> Stored:
        """One bit a pixel, the first in the lowest bit; frames follow each other without padding (PS3.5 8.1.1)."""
        count = self.rows * self.columns
        if len(self.content) * 8 < (index + 1) * count:
            raise Unusable(f"the pixel data hold {len(self.content)} of {-(-self.frames * count // 8)} bytes")
        start, skipped = divmod(index * count, 8)
        packed = np.frombuffer(self.content, np.uint8, -(-(skipped + count) // 8), start)
        return np.unpackbits(packed, bitorder="little")[skipped : skipped + count].reshape(self.rows, self.columns)

    def _decoded(self, index: int) -> Stored:
        if self._streams is None:
            self._streams = _streams(self.content, self.frames)
        if index >= len(self._streams):
            raise Unusable(f"frame {index + 1} is missing: the pixel data hold {len(self._streams)} of {self.frames}")
        stream = self._streams[index]
        size = declared(stream)
        if size is None and self.syntax != RLELossless:
            raise Unusable(f"frame {index + 1} is no image of the transfer syntax {self.syntax.name}")
        if size is not None and size != (self.rows, self.columns, 1):
            raise Unusable(
                f"frame {index + 1} holds {size[0]} x {size[1]} pixels of {size[2]} samples, "
                f"its header says {self.rows} x {self.columns} of 1"
            )
        return _decompressed(self, stream, index)

    def _settled(self, found: Stored) -> Stored:
        """Without what is not pixel: bits above the high bit where an overlay lives there, missing sign bits."""
        high = self.stored - 1 if self.high is None or not self.stored - 1 <= self.high < self.allocated else self.high
        below = high + 1 - self.stored
        if found.dtype.kind not in "iu" or (self.stored == self.allocated and not below):
            return found
        if self.signed:
            return _signed(found, self.stored, below)
        if below or _overlay_in_pixels(self.dataset):
            mask = np.array((1 << self.stored) - 1, dtype=np.uint64).astype(found.dtype)
            return np.asarray((found >> np.array(below, found.dtype)) & mask)
        return found


def _signed(found: Stored, stored: int, below: int) -> Stored:
    """Two's complement of `stored` bits; values that are already extended, or that exceed what is declared, stay."""
    half = 1 << (stored - 1)
    low, top = int(found.min()), int(found.max())
    if below == 0 and (low < 0 or top < half or top >= 2 * half):
        return found
    bits = found.dtype.itemsize * 8
    up = np.array(bits - stored - below, found.dtype)
    return np.asarray((found << up) >> np.array(bits - stored, found.dtype))


def _overlay_in_pixels(dataset: Dataset) -> bool:
    """True when an overlay is kept in unused bits of the pixels (PS3.5 8.1.2, retired)."""
    return any(
        (whole(dataset, (group << 16) | 0x0100) or 1) > 1 and whole(dataset, (group << 16) | 0x0102)
        for group in range(0x6000, 0x6020, 2)
    )


def _content(dataset: Dataset) -> tuple[str, bytes]:
    for keyword in ("PixelData", *_KINDS):
        try:
            content = dataset.get(keyword)
        except Exception as error:
            raise Unusable(f"the pixel data cannot be read: {type(error).__name__}") from error
        if isinstance(content, bytes) and content:
            return keyword, content
    raise Unusable("an image has no pixel data")


def _transfer_syntax(dataset: Dataset) -> UID:
    """As the file says; without a word, what its header was read as."""
    found = text(getattr(dataset, "file_meta", None) or Dataset(), "TransferSyntaxUID")
    if found == _GE_BIG_ENDIAN:
        return _GE_BIG_ENDIAN
    syntax = UID(found, validation_mode=config.IGNORE)
    if syntax.is_transfer_syntax:
        return syntax
    if found:
        raise Unusable(f"the transfer syntax {found[:64]} is unknown")
    little = getattr(dataset, "original_encoding", (None, None))[1]
    return ExplicitVRBigEndian if little is False else ExplicitVRLittleEndian


def _swapped(dataset: Dataset, content: bytes) -> bytes:
    """Bytes of 8-bit pixels in 16-bit words of a big-endian file change places (PS3.5 A.3)."""
    if dataset["PixelData"].VR != "OW" or len(content) % 2:
        return content
    return np.frombuffer(content, np.uint16).byteswap().tobytes()


def _streams(content: bytes, frames: int) -> list[bytes]:
    """The compressed frames, fragments joined."""
    try:
        with quietly():
            return list(encaps.generate_frames(content, number_of_frames=frames))
    except Exception as error:
        raise Unusable(f"the compressed pixel data are broken: {type(error).__name__}") from error


def _decompressed(image: _Image, stream: bytes, index: int) -> Stored:
    syntax = decodable(stream, image.syntax)
    try:
        with quietly():
            found, _ = get_decoder(syntax).as_array(
                encaps.encapsulate([stream], has_bot=False),
                index=0,
                raw=True,
                decoding_plugin=_DECODERS.get(syntax, ""),
                transfer_syntax_uid=syntax,
                rows=image.rows,
                columns=image.columns,
                number_of_frames=1,
                samples_per_pixel=1,
                photometric_interpretation="MONOCHROME2",
                bits_allocated=image.allocated,
                bits_stored=image.stored,
                pixel_representation=int(image.signed),
                pixel_keyword="PixelData",
            )
    except Exception as error:
        raise Unusable(f"frame {index + 1} ({image.syntax.name}) cannot be decoded: {type(error).__name__}") from error
    return np.asarray(found)
