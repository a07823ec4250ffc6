"""Facts: all that selection knows of a series, plain and storable, so that changed limits can be tried on it later."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from spineps_pacs.intake.headers import Sample, Shot, sample

_PLANES = ("sagittal", "coronal", "axial")
_MOST_KINDS = 32


@dataclass(frozen=True)
class Orientation:
    """Images that lie in one anatomical plane: how many, and how far the farthest is turned out of it (degrees)."""

    plane: str
    degrees: float
    images: int


@dataclass(frozen=True)
class Facts:
    """What was measured on a series; times in ms, lengths in mm. Nothing here names a patient."""

    files: int = 0
    images: int = 0
    sop_classes: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()
    image_types: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    contrasts: tuple[str, ...] = ()
    volumetric: tuple[str, ...] = ()
    echo_times: tuple[float, ...] = ()
    b_values: tuple[float, ...] = ()
    orientations: tuple[Orientation, ...] = ()
    slices: int = 0
    places: int = 0
    step_mm: float | None = None
    thickness_mm: float | None = None
    field_of_view_mm: float | None = None
    rows: int = 0
    columns: int = 0
    frame_of_reference: bool = False

    def text(self, name: str) -> str:
        """A text attribute by its DICOM keyword; empty when absent."""
        return dict(self.texts).get(name, "")

    def number(self, name: str) -> float | None:
        """A numeric attribute by its DICOM keyword."""
        return dict(self.numbers).get(name)

    @property
    def kinds(self) -> frozenset[str]:
        """Every word of every Image Type."""
        return frozenset(word for kind in self.image_types for word in kind.upper().split("\\"))

    @property
    def main(self) -> Orientation | None:
        """The orientation of most images."""
        return self.orientations[0] if self.orientations else None

    def to_json(self) -> str:
        """For the record."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, stored: str) -> Facts:
        """Back from the record; unknown keys of another version are left out."""
        known = {it.name for it in fields(cls)}
        content: dict[str, Any] = {name: _tuples(it) for name, it in json.loads(stored).items() if name in known}
        turned = tuple(Orientation(**it) for it in content.get("orientations", ()))
        return cls(**{**content, "orientations": turned})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def measure(datasets: Sequence[Dataset]) -> Facts:
    """The facts of a series, from its headers; whatever they hold, no exception."""
    return combine([sample(dataset) for dataset in datasets])


def combine(samples: Sequence[Sample]) -> Facts:
    """The facts of a series, from what was read of each dataset."""
    if not samples:
        return Facts()
    shots = [shot for it in samples for shot in it.shots]
    flat = [shot for shot in shots if len(shot.orientation) == 6]
    rows, columns = Counter((it.rows, it.columns) for it in samples).most_common(1)[0][0]
    slices, places, step = _places(flat)
    return Facts(
        files=len(samples),
        images=len(shots),
        sop_classes=_each(it.sop_class for it in samples),
        texts=tuple((name, _common(dict(it.texts)[name] for it in samples)) for name, _ in samples[0].texts),
        numbers=_numbers(samples),
        image_types=_each("\\".join(shot.image_type) for shot in shots),
        components=_each(shot.component for shot in shots),
        contrasts=_each(shot.contrast for shot in shots),
        volumetric=_each(shot.volumetric for shot in shots),
        echo_times=tuple(sorted({shot.echo_time for shot in shots if shot.echo_time}))[:_MOST_KINDS],
        b_values=tuple(sorted({shot.b_value for shot in shots if shot.b_value is not None}))[:_MOST_KINDS],
        orientations=_orientations(flat),
        slices=slices,
        places=places,
        step_mm=step,
        thickness_mm=next((shot.thickness for shot in shots if shot.thickness), None),
        field_of_view_mm=_field_of_view(shots, rows, columns),
        rows=rows,
        columns=columns,
        frame_of_reference=all(it.frame_of_reference for it in samples),
    )


def _each(found: Iterable[str]) -> tuple[str, ...]:
    """Distinct values, the most frequent first; empty ones left out."""
    return tuple(value for value, _ in Counter(found).most_common(_MOST_KINDS) if value)


def _common(found: Iterable[str]) -> str:
    return next(iter(_each(found)), "")


def _numbers(samples: Sequence[Sample]) -> tuple[tuple[str, float], ...]:
    found: dict[str, list[float]] = {}
    for it in samples:
        for name, value in it.numbers:
            if value is not None:
                found.setdefault(name, []).append(value)
    return tuple((name, float(np.median(several))) for name, several in found.items())


def _normals(shots: Sequence[Shot]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    cosines = np.array([shot.orientation for shot in shots]).reshape(-1, 6)
    normals = np.cross(cosines[:, :3], cosines[:, 3:])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 1e-6))


def _orientations(shots: Sequence[Shot]) -> tuple[Orientation, ...]:
    if not shots:
        return ()
    normals = np.abs(_normals(shots))
    nearest = normals.argmax(axis=1)
    degrees = np.degrees(np.arccos(np.clip(normals.max(axis=1), 0, 1)))
    found = [
        Orientation(name, round(float(degrees[nearest == axis].max()), 1), int((nearest == axis).sum()))
        for axis, name in enumerate(_PLANES)
        if (nearest == axis).any()
    ]
    return tuple(sorted(found, key=lambda it: -it.images))


def _places(shots: Sequence[Shot]) -> tuple[int, int, float | None]:
    """In the most frequent plane: slices along the normal, distinct places, the usual distance between neighbours."""
    placed = [shot for shot in shots if len(shot.position) == 3]
    if not placed:
        return 0, 0, None
    normals = _normals(placed)
    nearest = np.abs(normals).argmax(axis=1)
    main = np.flatnonzero(nearest == np.bincount(nearest).argmax())
    corners = np.array([placed[at].position for at in main])
    steps = np.diff(np.sort(corners @ normals[main[0]]))
    steps = steps[steps > 0.05]
    step = round(float(np.median(steps)), 3) if len(steps) else None
    return len(steps) + 1, len(np.unique(np.round(corners, 1), axis=0)), step


def _field_of_view(shots: Sequence[Shot], rows: int, columns: int) -> float | None:
    """The extent of an image from head to foot, mm; of one that has none (axial), its longer side."""
    shot = next((shot for shot in shots if len(shot.spacing) == 2), None)
    if shot is None:
        return None
    height, width = rows * shot.spacing[0], columns * shot.spacing[1]
    if len(shot.orientation) != 6:
        return round(max(height, width), 1)
    upright = height * abs(shot.orientation[5]) + width * abs(shot.orientation[2])
    return round(upright if upright > 1 else max(height, width), 1)
