"""What a compressed image says of its own size, read before anything is decoded: a lying header costs no memory."""

from __future__ import annotations

import struct

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

Size = tuple[int, int, int]
"""Rows, columns, samples per pixel."""

_FAMILIES = (
    (JPEGLosslessSV1, JPEGLossless, JPEGBaseline8Bit),
    (JPEGLSLossless, JPEGLSNearLossless),
    (JPEG2000Lossless, JPEG2000, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL),
)
"""Transfer syntaxes whose decoder reads the same codestreams; the first stands for one that is not among them.

JPEG Extended is not: the decoder that pydicom lets at it stops at 12 bits, under another name it reads them.
"""

_SOF_LS = 0xF7
_SOF = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, _SOF_LS})


def declared(stream: bytes) -> Size | None:
    """The size that a JPEG, JPEG-LS or JPEG 2000 codestream declares; none when it is none of these or broken."""
    try:
        if stream[:2] == b"\xff\xd8":
            return _jpeg(stream)
        if stream[:4] == b"\xff\x4f\xff\x51":
            return _jpeg2000(stream, 0)
        at = stream.find(b"\xff\x4f\xff\x51", 0, 4096) if stream[4:8] == b"jP  " else -1
        return _jpeg2000(stream, at) if at > 0 else None
    except (struct.error, IndexError):
        return None


def decodable(stream: bytes, stated: UID) -> UID:
    """The transfer syntax to decode by: the stated one, unless the codestream is of another family."""
    if declared(stream) is None:
        return stated
    at = _frame_header(stream) if stream[:2] == b"\xff\xd8" else None
    family = _FAMILIES[2] if at is None else _FAMILIES[stream[at + 1] == _SOF_LS]
    return stated if stated in family else family[0]


def _jpeg(stream: bytes) -> Size | None:
    """From the frame header: ITU-T T.81 B.2.2."""
    at = _frame_header(stream)
    if at is None:
        return None
    _, rows, columns, samples = struct.unpack_from(">BHHB", stream, at + 4)
    return rows, columns, samples


def _frame_header(stream: bytes) -> int | None:
    """Where the frame header (SOFn, or SOF55 of JPEG-LS) stands, behind segments of any other kind."""
    at = 2
    while at + 4 <= len(stream):
        if stream[at] != 0xFF:
            return None
        marker = stream[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _SOF:
            return at
        at += 2 + (0 if 0xD0 <= marker <= 0xD8 else struct.unpack_from(">H", stream, at + 2)[0])
    return None


def _jpeg2000(stream: bytes, at: int) -> Size:
    """From the SIZ segment: ITU-T T.800 A.5.1."""
    right, bottom, left, top = struct.unpack_from(">4I", stream, at + 8)
    (samples,) = struct.unpack_from(">H", stream, at + 40)
    return bottom - top, right - left, samples
