"""The second labeller's two ONNX networks behind the socket SmallFovEngine.

A folder holds two `.onnx` files; which is which is read from their output: three classes segment, more give names.
A file `small-fov.json` beside them may say `name`, `version`, `pixel_mm` and `demonstration`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.errors import ModelError, SettingsError
from spineps_pacs.domain.ports import ModelInfo, Watch
from spineps_pacs.engines.weights import checksums, differences, digest_of, read_record

DESCRIPTION = "small-fov.json"
INPUT = (3, 320, 896)
SEGMENTATION_CLASSES = 3
NAMING_CLASSES = (25, 26)
"""Background and the names C2 to S1, without or with L6."""
NOT_INSTALLED = "the small-field-of-view labeller needs onnxruntime: install spineps-pacs[small-fov]"


@dataclass(frozen=True)
class Description:
    """What a folder says of its networks; all of it optional."""

    name: str
    version: str = ""
    pixel_mm: float | None = None
    demonstration: bool = False


class OnnxNetwork:
    """One ONNX file that turns slices (n, 3, 320, 896) into classes (n, C, 320, 896)."""

    def __init__(self, path: Path, device: str) -> None:
        self.path = path
        self._session = _session(path, device)
        self._input = _only(path, "input", self._session.get_inputs())
        _expect_shape(path, "takes", self._input.shape, (None, *INPUT))
        _expect_float(path, self._input.type)
        output = _only(path, "output", self._session.get_outputs())
        _expect_shape(path, "gives", output.shape, (None, None, *INPUT[1:]))
        first = self._input.shape[0]
        self._batch = first if isinstance(first, int) and first > 0 else 1
        self.classes = _known(path, output.shape[1] if isinstance(output.shape[1], int) else self._counted())

    def __call__(self, slices: NDArray[np.float32], watch: Watch) -> NDArray[np.uint8]:
        """The likeliest class of each voxel."""
        if slices.shape[1:] != INPUT:
            raise ModelError(f"{self.path.name} takes slices of {INPUT}, not {slices.shape[1:]}")
        found = np.zeros((len(slices), *INPUT[1:]), dtype=np.uint8)
        for at in range(0, len(slices), self._batch):
            watch(at, len(slices))
            part = slices[at : at + self._batch]
            found[at : at + len(part)] = self._run(part)[: len(part)].argmax(axis=1)
        watch(len(slices), len(slices))
        return found

    def _counted(self) -> int:
        """The number of classes where the file does not state it: from its answer to a blank slice."""
        return int(self._answer(np.zeros((self._batch, *INPUT), dtype=np.float32)).shape[1])

    def _answer(self, full: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            (scores,) = self._session.run(None, {self._input.name: np.ascontiguousarray(full, dtype=np.float32)})
        except Exception as error:  # onnxruntime's own errors share no root below Exception
            raise ModelError(f"{self.path.name} failed on {len(full)} slices: {_first_line(error)}") from error
        return np.asarray(scores)

    def _run(self, part: NDArray[np.float32]) -> NDArray[np.float32]:
        """One batch; a network of a fixed batch gets the last slice repeated."""
        scores = self._answer(np.concatenate([part, np.repeat(part[-1:], self._batch - len(part), axis=0)]))
        expected = (self._batch, self.classes, *INPUT[1:])
        if scores.shape != expected:
            raise ModelError(f"{self.path.name} gave an array of {scores.shape}, not {expected}")
        if not np.isfinite(scores).all():
            raise ModelError(f"{self.path.name} gave scores that are no numbers")
        return scores


class OnnxSmallFov:
    """Both networks of a folder."""

    def __init__(self, segmentation: OnnxNetwork, naming: OnnxNetwork, said: Description) -> None:
        self._segmentation, self._naming = segmentation, naming
        sums = checksums(segmentation.path.parent, (segmentation.path, naming.path))
        self.info = ModelInfo("small-fov", said.name, said.version, digest_of(sums), said.demonstration)
        self.pixel_mm = said.pixel_mm
        self.names = naming.classes - 1

    def segment(self, slices: NDArray[np.float32], watch: Watch) -> NDArray[np.uint8]:
        return self._segmentation(slices, watch)

    def name(self, slices: NDArray[np.float32], watch: Watch) -> NDArray[np.uint8]:
        return self._naming(slices, watch)


def open_small_fov(folder: Path, device: str = "auto", recorded_in: Path | None = None) -> OnnxSmallFov:
    """The two networks of a folder; ModelError names the file that cannot be used, or is not as it was recorded."""
    files = sorted(folder.glob("*.onnx"))
    if not files:
        raise ModelError(f"{folder} holds no .onnx file of the small-field-of-view labeller")
    if recorded_in is not None:
        _hold_to_record(folder, recorded_in)
    networks = [OnnxNetwork(path, device) for path in files]
    return OnnxSmallFov(
        _one("segments", [n for n in networks if n.classes == SEGMENTATION_CLASSES], folder),
        _one("names vertebrae", [n for n in networks if n.classes in NAMING_CLASSES], folder),
        description(folder),
    )


def description(folder: Path) -> Description:
    """What small-fov.json says; the folder's name where there is none."""
    path = folder / DESCRIPTION
    if not path.exists():
        return Description(folder.name)
    try:
        said = Description(**{"name": folder.name, **json.loads(path.read_text(encoding="utf-8"))})
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path} is not a description of a small-field-of-view model: {error}") from error
    if said.pixel_mm is not None and (not isinstance(said.pixel_mm, int | float) or not 0.1 <= said.pixel_mm <= 10):
        raise ModelError(f"{path} states a pixel of {said.pixel_mm} mm; 0.1 to 10 are possible")
    return said


def _hold_to_record(folder: Path, root: Path) -> None:
    """Files that were recorded when they were installed must still be the same; others are taken as they are."""
    recorded = read_record(root).models.get(folder.relative_to(root).as_posix())
    changed = differences(recorded, checksums(folder)) if recorded is not None else ()
    if changed:
        raise ModelError(f"the networks in {folder.name} are not as they were recorded: {'; '.join(changed)}")


def _one(what: str, able: list[OnnxNetwork], folder: Path) -> OnnxNetwork:
    if len(able) != 1:
        found = ", ".join(n.path.name for n in able) or "none"
        raise ModelError(f"{folder} must hold one network that {what}; it holds {found}")
    return able[0]


def _session(path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SettingsError(NOT_INSTALLED) from error
    able = set(onnxruntime.get_available_providers())
    cuda = device.startswith("cuda") or (device == "auto" and "CUDAExecutionProvider" in able)
    if device.startswith("cuda") and "CUDAExecutionProvider" not in able:
        raise SettingsError(f"the device {device} needs onnxruntime-gpu; this one has {', '.join(sorted(able))}")
    number = int(device.partition(":")[2] or 0)
    providers = [("CUDAExecutionProvider", {"device_id": number})] if cuda else []
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    try:
        return onnxruntime.InferenceSession(path, options, providers=[*providers, "CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no root below Exception
        raise ModelError(f"{path.name} cannot be read as an ONNX network: {_first_line(error)}") from error


def _only(path: Path, what: str, found: list[Any]) -> Any:
    if len(found) != 1:
        raise ModelError(f"{path.name} has {len(found)} {what}s, not one")
    return found[0]


def _expect_shape(path: Path, verb: str, shape: list[Any], wanted: tuple[int | None, ...]) -> None:
    """Numbers that a file states must fit; names and gaps stand for any number."""
    fits = len(shape) == len(wanted) and all(
        want is None or not isinstance(size, int) or size == want for size, want in zip(shape, wanted, strict=True)
    )
    if not fits:
        told = ["n" if want is None else want for want in wanted]
        raise ModelError(f"{path.name} {verb} an array of {shape}, not {told}")


def _expect_float(path: Path, kind: str) -> None:
    if kind != "tensor(float)":
        raise ModelError(f"{path.name} takes {kind}, not tensor(float)")


def _known(path: Path, stated: int) -> int:
    if stated != SEGMENTATION_CLASSES and stated not in NAMING_CLASSES:
        raise ModelError(f"{path.name} gives {stated} classes; 3 segment, 25 or 26 name vertebrae")
    return stated


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
