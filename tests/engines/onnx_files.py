"""Small ONNX files written byte by byte: a 1 x 1 convolution over the middle slice, in the published form.

The protocol buffers are those of the ONNX standard (onnx.proto): ModelProto, GraphProto, NodeProto, TensorProto.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spineps_pacs.analysis.small_fov_fit import SACRUM

Dim = int | str
FORM: tuple[Dim, ...] = ("batch", 3, 320, 896)
BONE_FROM, DISC_AT = 0.3, 0.2
"""Grey values by which the files tell classes: background 0, disc, then vertebrae from C2 up to 1."""


def bone(position: int) -> float:
    """The grey value that the naming file calls by this position."""
    return BONE_FROM + (1 - BONE_FROM) * position / SACRUM


def segmentation(folder: Path, name: str = "Seg2.onnx") -> Path:
    """Background below 0.1, disc up to 0.25, vertebra above."""
    return write(folder / name, [(0.0, 0.0), (2.0, -0.35), (1.0, -0.1)])


def naming(folder: Path, name: str = "Seg25.onnx", names: int = SACRUM) -> Path:
    """The nearest grey value of all names; background below the first."""
    greys = [DISC_AT, *(bone(at) for at in range(1, names)), bone(SACRUM)]
    return write(folder / name, [(2 * grey, -grey * grey) for grey in greys])


def write(
    path: Path,
    lines: Sequence[tuple[float, float]],
    form: Sequence[Dim] = FORM,
    classes: Dim | None = None,
) -> Path:
    """A file whose class c scores slope * grey + offset of its line; `classes` is what it states of its output."""
    count = len(lines)
    weights = np.zeros((count, 3, 1, 1), np.float32)
    weights[:, 1, 0, 0] = [slope for slope, _ in lines]
    offsets = np.array([offset for _, offset in lines], np.float32)
    node = b"".join(_text(1, n) for n in ("image", "weights", "offsets")) + _text(2, "scores") + _text(4, "Conv")
    graph = (
        _part(1, node) + _text(2, "graph")
        + _part(5, _tensor("weights", weights)) + _part(5, _tensor("offsets", offsets))
        + _part(11, _value("image", form))
        + _part(12, _value("scores", (form[0], count if classes is None else classes, *form[2:])))
    )  # fmt: skip
    path.write_bytes(_number(1, 8) + _part(7, graph) + _part(8, _text(1, "") + _number(2, 13)))
    return path


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode())


def _tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(_number(1, n) for n in values.shape)
    return dims + _number(2, 1) + _text(8, name) + _part(9, struct.pack(f"<{values.size}f", *values.ravel()))


def _value(name: str, form: Sequence[Dim]) -> bytes:
    dims = b"".join(_part(1, _number(1, n) if isinstance(n, int) else _text(2, n)) for n in form)
    return _text(1, name) + _part(2, _part(1, _number(1, 1) + _part(2, dims)))
