"""Writes ONNX files byte by byte, as protocol buffers of the standard (onnx.proto): no further package is needed."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Dim = int | str
Attribute = int | str | tuple[int, ...]
IR_VERSION, OPERATORS = 8, 13
_INT, _STRING, _INTS = 2, 3, 7
"""AttributeProto.AttributeType."""


def model(nodes: Sequence[bytes], tensors: Sequence[bytes], inlet: bytes, outlet: bytes) -> bytes:
    """A whole file: one graph of nodes with its constant tensors, one input and one output."""
    parts = [*(part(1, n) for n in nodes), text(2, "graph"), *(part(5, t) for t in tensors)]
    graph = b"".join([*parts, part(11, inlet), part(12, outlet)])
    return number(1, IR_VERSION) + part(7, graph) + part(8, text(1, "") + number(2, OPERATORS))


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> bytes:
    """One operation with its attributes."""
    wires = b"".join(text(1, name) for name in inputs) + text(2, output) + text(4, kind)
    return wires + b"".join(part(5, _attribute(name, value)) for name, value in attributes.items())


def tensor(name: str, values: NDArray[np.generic]) -> bytes:
    """A constant of floats."""
    dims = b"".join(number(1, n) for n in values.shape)
    return dims + number(2, 1) + text(8, name) + part(9, struct.pack(f"<{values.size}f", *values.ravel()))


def value(name: str, form: Sequence[Dim]) -> bytes:
    """An input or output of floats; a dimension without a number has a name."""
    dims = b"".join(part(1, number(1, n) if isinstance(n, int) else text(2, n)) for n in form)
    return text(1, name) + part(2, part(1, number(1, 1) + part(2, dims)))


def _attribute(name: str, held: Attribute) -> bytes:
    if isinstance(held, str):
        return text(1, name) + text(4, held) + number(20, _STRING)
    if isinstance(held, int):
        return text(1, name) + number(3, held) + number(20, _INT)
    return text(1, name) + b"".join(number(8, n) for n in held) + number(20, _INTS)


def varint(count: int) -> bytes:
    """A whole number, seven bits a byte, the lowest first."""
    out = bytearray()
    while count > 0x7F:
        out.append(count & 0x7F | 0x80)
        count >>= 7
    return bytes([*out, count])


def number(field: int, content: int) -> bytes:
    """A field that holds a whole number."""
    return varint(field << 3) + varint(content)


def part(field: int, content: bytes) -> bytes:
    """A field that holds a message or bytes."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def text(field: int, content: str) -> bytes:
    """A field that holds text."""
    return part(field, content.encode())
