"""`inference_config.json`: what a model folder says of its model, every field read and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spineps_pacs.domain.anatomy import LEVEL_IDS
from spineps_pacs.domain.errors import ModelError

FILE = "inference_config.json"
Zoom = tuple[float, float, float]

STRUCTURE_IDS: dict[str, int] = {
    "Unknown": 0, "Vertebra_Full": 40, "Arcus_Vertebrae": 41, "Spinosus_Process": 42, "Costal_Process_Left": 43,
    "Costal_Process_Right": 44, "Superior_Articular_Left": 45, "Superior_Articular_Right": 46,
    "Inferior_Articular_Left": 47, "Inferior_Articular_Right": 48, "Vertebra_Corpus_border": 49,
    "Vertebra_Corpus": 50, "Dens_axis": 51, "Vertebral_Body_Endplate_Superior": 52,
    "Vertebral_Body_Endplate_Inferior": 53, "Vertebra_Disc_Superior": 58, "Vertebra_Disc_Inferior": 59,
    "Spinal_Cord": 60, "Spinal_Canal": 61, "Endplate": 62, "Rib_Left": 63, "Rib_Right": 64,
    "Sacrum_Sacral_Ala_Left": 70, "Sacrum_Sacral_Ala_Right": 71, "Sacrum_Posterior_Sacral_Elements": 72,
    "Sacrum_Body": 73, "Sacrum_Endplate": 74, "Metal": 80, "Vertebra_Disc": 100,
}  # fmt: skip
"""Names of structures that a model folder may use for its labels, with the ids that SPINEPS writes for them."""

SACRAL_IDS = {"Cocc": 27, "S2": 29, "S3": 30, "S4": 31, "S5": 32, "S6": 33}
"""Names of what lies below S1 (26), for models that tell it apart."""

DEFAULT_CLASSES = {41: 1, 42: 2, 43: 3, 44: 4, 45: 5, 46: 6, 47: 7, 48: 8, 49: 9, 50: 9, 51: 9, 26: 0}
"""Semantic id to class of the instance network, where a folder names none."""

REFERENCE_VOXEL_MM3 = 0.75 * 0.75 * 1.65
MODEL_TYPES = ("nnunet", "unet", "classifier")
MODALITIES = ("T2w", "T1w", "Vibe", "CT", "SEG", "MPR", "PD", "FLAIR")
PLANES = ("sag", "cor", "ax", "iso")
INPUTS = ("img", "seg", "ip", "oop", "water", "fat")


@dataclass(frozen=True)
class InferenceConfig:
    """One model folder's own description. Sizes that the file gives in voxels are cubic millimetres here."""

    path: Path
    log_name: str
    modalities: tuple[str, ...]
    acquisition: str
    modeltype: str
    orientation: str
    folds: tuple[str, ...]
    mirroring: bool
    spacing: Zoom
    largest_spacing: Zoom | None
    step_size: float
    labels: tuple[tuple[int, int], ...]
    inputs: tuple[str, ...] = ("img",)
    has_c1: bool = False
    needs_corp: bool = False
    sacrum_ids: tuple[int, ...] = (26,)
    metal_ids: tuple[int, ...] = (80,)
    cutout_size: tuple[int, int, int] = (248, 304, 64)
    corpus_size_mm3: float = 100 * REFERENCE_VOXEL_MM3
    corpus_border_threshold: float = 10
    vertebra_size_mm3: float = 250 * REFERENCE_VOXEL_MM3
    classes: tuple[tuple[int, int], ...] = tuple(DEFAULT_CLASSES.items())
    demonstration: bool = False
    version: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """semantic, instance or labeling; decided as the reference decides it."""
        if self.modeltype == "classifier":
            return "labeling"
        return "instance" if "SEG" in self.modalities else "semantic"


_KNOWN = {
    "log_name", "modality", "acquisition", "modeltype", "model_expected_orientation", "available_folds",
    "inference_augmentation", "resolution_range", "default_step_size", "labels", "expected_inputs", "has_c1",
    "needs_corp", "sacrum_ids", "metal", "cutout_size", "corpus_size_cleaning", "corpus_border_threshold",
    "vert_size_threshold", "mapping", "demonstration", "version",
}  # fmt: skip


def read_config(path: Path) -> InferenceConfig:
    """Reads and checks one file; a field that is missing, impossible or unreadable is named."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ModelError(f"{path} holds a {type(raw).__name__}, not an object")
    return _Reader(path, raw).config()


class _Reader:
    """Takes fields out of the JSON object; each refusal names the file, the field and the value."""

    def __init__(self, path: Path, raw: Mapping[str, Any]) -> None:
        self.path, self.raw = path, raw

    def config(self) -> InferenceConfig:
        spacing, largest = self.resolution()
        voxel = spacing[0] * spacing[1] * spacing[2]
        return InferenceConfig(
            path=self.path,
            log_name=str(self.need("log_name")),
            modalities=self.some("modality", MODALITIES),
            acquisition=self.one("acquisition", PLANES),
            modeltype=self.one("modeltype", MODEL_TYPES),
            orientation=self.orientation(),
            folds=self.folds(),
            mirroring=bool(self.need("inference_augmentation")),
            spacing=spacing,
            largest_spacing=largest,
            step_size=self.step(),
            labels=self.labels(),
            inputs=self.some("expected_inputs", INPUTS, ["img"]),
            has_c1=bool(self.raw.get("has_c1", False)),
            needs_corp=bool(self.raw.get("needs_corp", False)),
            sacrum_ids=self.ids("sacrum_ids", [26]),
            metal_ids=self.ids("metal", [80]),
            cutout_size=self.cutout(),
            corpus_size_mm3=self.number("corpus_size_cleaning", 100) * voxel,
            corpus_border_threshold=self.number("corpus_border_threshold", 10),
            vertebra_size_mm3=self.number("vert_size_threshold", 250) * voxel,
            classes=self.classes(),
            demonstration=self.raw.get("demonstration") is True or "demonstration" in str(self.raw["log_name"]).lower(),
            version=str(self.raw.get("version", "")),
            warnings=tuple(self.warnings()),
        )

    def warnings(self) -> Iterator[str]:
        """What is asked for and not done: fields that nobody knows, and the crop by yet another network."""
        yield from (f"{self.path}: unknown field {name}" for name in self.raw if name not in _KNOWN)
        if self.raw.get("needs_corp"):
            yield f"{self.path}: needs_corp: the image is not cropped to the spine by a further network"

    def refuse(self, field: str, why: str) -> ModelError:
        return ModelError(f"{self.path}: {field} {why}: {self.raw.get(field)!r}")

    def need(self, field: str) -> Any:
        if field not in self.raw:
            raise ModelError(f"{self.path}: {field} is missing")
        return self.raw[field]

    def one(self, field: str, allowed: tuple[str, ...]) -> str:
        value = self.need(field)
        if value not in allowed:
            raise self.refuse(field, f"must be one of {', '.join(allowed)}")
        return str(value)

    def some(self, field: str, allowed: tuple[str, ...], default: list[str] | None = None) -> tuple[str, ...]:
        value = self.need(field) if default is None else self.raw.get(field, default)
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not values or any(v not in allowed for v in values):
            raise self.refuse(field, f"must be out of {', '.join(allowed)}")
        return tuple(str(v) for v in values)

    def orientation(self) -> str:
        value = self.need("model_expected_orientation")
        axes = "".join(str(a) for a in value) if isinstance(value, (str, list)) else ""
        if axes != "PIR":
            raise self.refuse("model_expected_orientation", "must be P, I, R")
        return axes

    def folds(self) -> tuple[str, ...]:
        value = self.need("available_folds")
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return tuple(str(n) for n in range(value))
        if isinstance(value, str) and value:
            return (value,)
        if isinstance(value, list) and value and all(isinstance(f, (int, str)) for f in value):
            return tuple(str(f) for f in value)
        raise self.refuse("available_folds", "must be a number above 0, a name or a list of them")

    def resolution(self) -> tuple[Zoom, Zoom | None]:
        value = self.need("resolution_range")
        rows = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
        try:
            zooms = [(float(a), float(b), float(c)) for a, b, c in rows]
        except (TypeError, ValueError) as error:
            raise self.refuse("resolution_range", "must be three numbers, or two rows of three") from error
        if not 1 <= len(zooms) <= 2 or any(not 0.05 <= z <= 50 for zoom in zooms for z in zoom):
            raise self.refuse("resolution_range", "must hold millimetres from 0.05 to 50")
        if len(zooms) == 2 and any(low > high for low, high in zip(*zooms, strict=True)):
            raise self.refuse("resolution_range", "has a minimum above its maximum")
        return zooms[0], zooms[1] if len(zooms) == 2 else None

    def step(self) -> float:
        step = self.number("default_step_size", None)
        if not 0 < step <= 1:
            raise self.refuse("default_step_size", "must be above 0 and at most 1")
        return step

    def number(self, field: str, default: float | None) -> float:
        value = self.need(field) if default is None else self.raw.get(field, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise self.refuse(field, "must be a number, 0 or more")
        return float(value)

    def ids(self, field: str, default: list[int]) -> tuple[int, ...]:
        value = self.raw.get(field, default)
        values = [value] if isinstance(value, int) else value
        if not isinstance(values, list) or any(not isinstance(v, int) or v < 0 for v in values):
            raise self.refuse(field, "must be whole numbers")
        return tuple(values)

    def cutout(self) -> tuple[int, int, int]:
        size = self.raw.get("cutout_size", [248, 304, 64])
        if not isinstance(size, list) or len(size) != 3 or any(not isinstance(n, int) or n <= 0 or n % 8 for n in size):
            raise self.refuse("cutout_size", "must be three whole numbers, each divisible by 8")
        return (size[0], size[1], size[2])

    def labels(self) -> tuple[tuple[int, int], ...]:
        table = self.need("labels")
        if not isinstance(table, dict):
            raise self.refuse("labels", "must be an object of class to structure")
        return tuple((self.whole("labels", key), self.label(value)) for key, value in table.items())

    def label(self, value: Any) -> int:
        for names in (STRUCTURE_IDS, LEVEL_IDS, SACRAL_IDS):
            if isinstance(value, str) and value in names:
                return names[value]
        return self.whole("labels", value)

    def whole(self, field: str, value: Any) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.refuse(field, f"has {value!r}, which is neither a number nor a known structure") from error
        if not 0 <= number <= 255:
            raise self.refuse(field, f"has {number}, which is not in 0..255")
        return number

    def classes(self) -> tuple[tuple[int, int], ...]:
        table = self.raw.get("mapping")
        if table is None:
            return tuple(DEFAULT_CLASSES.items())
        if not isinstance(table, dict):
            raise self.refuse("mapping", "must be an object of semantic id to class")
        return tuple((self.whole("mapping", key), self.whole("mapping", value)) for key, value in table.items())
