"""Checkpoints are read without running anything that they ask for.

A pickle is a program: it names functions and has them called. Here it gets harmless ones for tensors and plain values,
and for every other name a class that does nothing but remember what it was called with.
"""

from __future__ import annotations

import io
import pickle
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from spineps_pacs.domain.errors import ModelError

_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"


class Stub:
    """Stands for an object of a class that is not loaded: the class's name, its arguments and its attributes."""

    origin = ""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.args = args
        self.__dict__.update(named)

    def __setstate__(self, state: Any) -> None:
        plain, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        for part in (plain, slots):
            if isinstance(part, dict):
                self.__dict__.update({str(key): value for key, value in part.items()})

    def __call__(self, *args: Any) -> Stub:
        return Stub(self, *args)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__.setdefault("items", {})[str(key)] = value

    def append(self, value: Any) -> None:
        self.__dict__.setdefault("values", []).append(value)

    def extend(self, values: Any) -> None:
        for value in values:
            self.append(value)


class _Rebuild:
    """A function that a pickle may call. It has no attributes, so that the pickle cannot change it."""

    __slots__ = ("_call",)
    _call: Any

    def __init__(self, call: Any) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f"a checkpoint may not change {name}")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a checkpoint may not change a function")


_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class NumpyType(Stub):
    """A NumPy type as the pickle describes it; only plain numbers are made from one."""

    def number(self, data: Any) -> Any:
        """The number whose bytes are `data`, or a Stub."""
        code = str(self.args[0]) if self.args else ""
        if code not in _NUMBERS or not isinstance(data, bytes) or len(data) != int(code[1:]):
            return Stub(self, data)
        return np.frombuffer(data, dtype=np.dtype(f"<{code}"))[0].item()


def _scalar(kind: Any, data: Any = b"") -> Any:
    return kind.number(data) if isinstance(kind, NumpyType) else Stub(kind, data)


def _encode(text: Any, coding: Any = "latin1") -> Any:
    return text.encode("latin1") if isinstance(text, str) and coding == "latin1" else Stub(text, coding)


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Any:
    import torch

    return torch._utils._rebuild_tensor_v2(storage, offset, tuple(size), tuple(stride), False, OrderedDict())


def _old_tensor(storage: Any, offset: int, size: Any, stride: Any) -> Any:
    return _tensor(storage, offset, size, stride)


def _parameter(data: Any, *_: Any) -> Any:
    return data


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _Rebuild(_old_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Rebuild(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): _Rebuild(_parameter),
    ("torch", "Size"): _Rebuild(tuple),
    ("_codecs", "encode"): _Rebuild(_encode),
    ("numpy", "dtype"): NumpyType,
    ("numpy.core.multiarray", "scalar"): _Rebuild(_scalar),
    ("numpy._core.multiarray", "scalar"): _Rebuild(_scalar),
} | {
    (module, kind.__name__): _Rebuild(kind)
    for module in ("builtins", "__builtin__")
    for kind in (set, frozenset, list, tuple, dict, int, float, str, bool, complex, bytearray)
}
"""All that a checkpoint may call; nothing in it opens, imports or runs anything."""


class SafeUnpickler(pickle.Unpickler):
    """Unpickles plain values and tensors; every other class becomes a Stub."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        dtype = _dtype(name) if module == "torch" else None
        return dtype if dtype is not None else type("Stub", (Stub,), {"origin": f"{module}.{name}"})


def _dtype(name: str) -> Any:
    import torch

    found = getattr(torch, name, None) if name.isidentifier() and not name.startswith("_") else None
    return found if isinstance(found, torch.dtype) else None


def _load(file: Any, **options: Any) -> Any:
    return SafeUnpickler(file, **options).load()


def _safe_pickle() -> types.ModuleType:
    """What torch.load takes for the module `pickle`."""
    module = types.ModuleType("safe_pickle")
    vars(module).update(Unpickler=SafeUnpickler, load=_load, UnpicklingError=pickle.UnpicklingError)
    return module


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary that torch.save or Lightning wrote, tensors on the CPU; unknown objects are Stubs."""
    import torch

    source = _source(path)
    try:
        content = torch.load(source, map_location="cpu", pickle_module=_safe_pickle(), weights_only=False)
    except Exception as error:  # whatever a broken or hostile file provokes, it is the file that is at fault
        raise ModelError(f"{path} cannot be read as a checkpoint: {type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not the dictionary of a checkpoint")
    return content


def _source(path: Path) -> Any:
    """What torch.load shall read: a zip by its path, an older pickle from memory (a file would be tried as a tar)."""
    if not path.is_file():
        raise ModelError(f"{path} does not exist")
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_PICKLE_MAGIC):
        return io.BytesIO(path.read_bytes())
    if start != _ZIP_MAGIC:
        raise ModelError(f"{path} is no checkpoint: {f'it starts with {start!r}' if start else 'it is empty'}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path} is truncated or damaged: {error}") from error
    if any(Path(name).name == "constants.pkl" for name in names):
        raise ModelError(f"{path} is a TorchScript program, not a checkpoint")
    return str(path)


def plain(value: Any) -> Any:
    """A Stub's text (the last name of its class, or its only argument), anything else as it is."""
    if isinstance(value, type) and issubclass(value, Stub):
        return value.origin.rpartition(".")[2]
    if isinstance(value, Stub):
        return plain(value.args[0]) if len(value.args) == 1 else plain(type(value))
    return value
