"""Twins of the three networks that look the truth up, for tests and the demonstration of everything around networks.

They are built with volumes whose truth is known. A query is found by its frame of reference and the place that it
covers, and answered by the truth at each of its voxels (nearest; background outside).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.domain.anatomy import HEAD_TO_TAIL, LEVEL_IDS, SACRUM_ID
from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.ports import (
    CutoutPlan,
    Cutouts,
    Engines,
    ModelInfo,
    PatchPlan,
    SemanticGrid,
    SemanticPrediction,
    Watch,
)
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.engines.inference_config import DEFAULT_CLASSES

Array = NDArray[np.integer]

STRUCTURES, INSTANCES, FACTS = "structures.nii.gz", "instances.nii.gz", "truth.json"
MODEL_SPACING = (0.75, 0.75, 1.65)
CUTOUT, PATCH = (248, 304, 64), (152, 168, 32)
HEADS = (("REGION", 3), ("VERT", 24), ("VERTEX", 26), ("VT13", 2), ("VERTREL", 6), ("VERTGRP", 12), ("FULLYVISIBLE", 2))
_GROUPS = (2, 5, 7, 9, 11, 14, 16, 18, 19, 21, 23, 24)
"""Where each of the twelve groups of classes ends: C1-2, C3-5, C6-7, T1-2, T3-4, T5-7, T8-9, T10-11, T12, ..."""
_SURE = 0.9
_T13 = LEVEL_IDS["T13"]
_NO_VERTEBRA = 40
"""Instance ids from here on are discs and endplates."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true on one grid: SPINEPS structure ids and instance ids, index order as in the geometry."""

    structures: Array
    instances: Array
    geometry: Geometry

    @cached_property
    def vertebrae(self) -> NDArray[np.uint8]:
        """The instances that are vertebrae: no discs, no endplates, no sacrum."""
        kept = (self.instances < _NO_VERTEBRA) & (self.instances != SACRUM_ID)
        return np.where(kept, self.instances, 0).astype(np.uint8)

    @cached_property
    def present(self) -> tuple[int, ...]:
        """The vertebrae that are there, from the head down."""
        found = set(np.unique(self.vertebrae).tolist())
        return tuple(i for i in HEAD_TO_TAIL if i in found)

    @cached_property
    def whole(self) -> frozenset[int]:
        """Vertebrae that touch no end of the grid."""
        faces = [self.vertebrae.take(end, axis=axis) for axis in range(3) for end in (0, -1)]
        return frozenset(self.present) - {int(i) for face in faces for i in np.unique(face)}

    def share(self, query: Geometry) -> float:
        """The share of a query's field of view that lies within this grid."""
        places = np.stack(np.meshgrid(*(np.linspace(0, n - 1, 9) for n in query.shape)), axis=-1).reshape(-1, 3)
        index = self.geometry.to_index(query.to_world(places))
        inside = (index > -0.5) & (index < np.asarray(self.geometry.shape) - 0.5)
        return float(inside.all(axis=1).mean())


class Truths:
    """All truths that are known, looked up by frame of reference and place."""

    def __init__(self, truths: Iterable[Truth]) -> None:
        self.all = tuple(truths)
        if not self.all:
            raise ModelError("a phantom engine needs at least one truth")

    def at(self, query: Geometry) -> Truth:
        """The truth that covers most of a query; a frame of reference that is known narrows the choice."""
        frame = query.frame_of_reference_uid
        same = [t for t in self.all if frame and t.geometry.frame_of_reference_uid == frame]
        able = same or [t for t in self.all if not frame or not t.geometry.frame_of_reference_uid]
        shares = [t.share(query) for t in able]
        if not able or max(shares) == 0:
            raise ModelError("no truth is known for this image")
        return able[int(np.argmax(shares))]

    @property
    def digest(self) -> str:
        """A digest over the grids and their labels."""
        whole = hashlib.sha256()
        for truth in self.all:
            whole.update(np.ascontiguousarray(truth.structures).tobytes() + truth.geometry.affine.tobytes())
        return whole.hexdigest()


def sample(labels: Array, source: Geometry, target: Geometry) -> Array:
    """Labels at the voxels of another grid, the nearest each, background outside."""
    both = np.linalg.inv(source.affine) @ target.affine
    return np.asarray(
        ndimage.affine_transform(labels, both[:3, :3], both[:3, 3], target.shape, order=0, mode="grid-constant")
    )


class PhantomSemantic:
    """A SemanticEngine that knows the structures."""

    def __init__(self, truths: Truths, info: ModelInfo, spacing: tuple[float, float, float] = MODEL_SPACING) -> None:
        self._truths, self.info, self.grid = truths, info, SemanticGrid(spacing)

    def predict(self, image: Volume, watch: Watch) -> SemanticPrediction:
        """The true structures at every voxel of the image."""
        watch(0, 1)
        truth = self._truths.at(image.geometry)
        labels = sample(truth.structures, truth.geometry, image.geometry).astype(np.uint8)
        watch(1, 1)
        return SemanticPrediction(labels)


class PhantomVertebra:
    """A VertebraEngine that knows the vertebrae: the one at the cutout's centre is 2, its neighbours are 1 and 3."""

    def __init__(self, truths: Truths, info: ModelInfo, plan: CutoutPlan) -> None:
        self._truths, self.info, self.plan = truths, info, plan

    def predict(self, cutouts: Cutouts, watch: Watch) -> NDArray[np.uint8]:
        """Parts of every cutout."""
        out = np.zeros(cutouts.arrays.shape, dtype=np.uint8)
        watch(0, len(out))
        for number, geometry in enumerate(cutouts.geometries):
            truth = self._truths.at(geometry)
            out[number] = parts(sample(truth.vertebrae, truth.geometry, geometry), truth.present)
            watch(number + 1, len(out))
        return out


def parts(vertebrae: Array, present: Sequence[int]) -> NDArray[np.uint8]:
    """2 for the vertebra at (or nearest to) the centre, 1 for the one above it, 3 for the one below."""
    out = np.zeros(vertebrae.shape, dtype=np.uint8)
    centre = central(vertebrae)
    if centre is None:
        return out
    place = present.index(centre)
    for part, neighbour in ((1, place - 1), (2, place), (3, place + 1)):
        if 0 <= neighbour < len(present):
            out[vertebrae == present[neighbour]] = part
    return out


def central(vertebrae: Array) -> int | None:
    """The vertebra at the centre of a box, or the one nearest to it; None in an empty box."""
    middle = tuple(n // 2 for n in vertebrae.shape)
    if vertebrae[middle]:
        return int(vertebrae[middle])
    index = np.argwhere(vertebrae)
    if not len(index):
        return None
    return int(vertebrae[tuple(index[np.argmin(((index - middle) ** 2).sum(axis=1))])])


class PhantomLevel:
    """A LevelEngine that knows the levels; it is nine tenths sure of each."""

    def __init__(self, truths: Truths, info: ModelInfo, plan: PatchPlan) -> None:
        self._truths, self.info, self.plan = truths, info, plan

    def predict(self, patches: Cutouts, watch: Watch) -> dict[str, NDArray[np.float32]]:
        """Scores of every patch: head to (n, classes)."""
        watch(0, len(patches.geometries))
        answers = [self._answer(geometry) for geometry in patches.geometries]
        watch(len(answers), len(answers))
        return {
            head: np.stack([_sure(answer.get(head), count) for answer in answers])
            if answers
            else np.zeros((0, count), np.float32)
            for head, count in self.plan.heads
        }

    def _answer(self, geometry: Geometry) -> dict[str, int]:
        truth = self._truths.at(geometry)
        instance = central(sample(truth.vertebrae, truth.geometry, geometry))
        return {} if instance is None else classes_of(instance, truth.present, instance in truth.whole)


def _sure(choice: int | None, count: int) -> NDArray[np.float32]:
    if choice is None:
        return np.full(count, 1 / count, dtype=np.float32)
    scores = np.full(count, (1 - _SURE) / (count - 1), dtype=np.float32)
    scores[choice] = _SURE
    return scores


def classes_of(instance: int, present: Sequence[int], whole: bool) -> dict[str, int]:
    """The right class of every head for one vertebra among those present (from the head down)."""
    exact = 18 if instance == _T13 else min(instance, 24) - 1
    extended = 19 if instance == _T13 else instance - 1 if instance <= 19 else instance
    return {
        "REGION": region(instance),
        "VERT": exact,
        "VERTEX": min(extended, 25),
        "VT13": int(instance == _T13),
        "VERTREL": relation(instance, present),
        "VERTGRP": next(group for group, end in enumerate(_GROUPS) if exact < end),
        "FULLYVISIBLE": int(whole),
    }


def region(instance: int) -> int:
    """0 cervical, 1 thoracic, 2 lumbar."""
    if instance == _T13:
        return 1
    return 0 if instance <= 7 else 1 if instance <= 19 else 2


def relation(instance: int, present: Sequence[int]) -> int:
    """Whether a vertebra is the first or last of its region: 0 neither, 1 last C, 2, 3 first, last T, 4, 5 of L."""
    place, own = present.index(instance), region(instance)
    if own and place and region(present[place - 1]) != own:
        return 2 * own
    if place + 1 < len(present) and region(present[place + 1]) != own:
        return 2 * own + 1
    return 5 if own == 2 and instance in {LEVEL_IDS["L5"], LEVEL_IDS["L6"]} and place + 1 == len(present) else 0


@dataclass(frozen=True)
class PhantomEngines:
    """The three twins over the same truths."""

    semantic: PhantomSemantic
    vertebra: PhantomVertebra
    levels: PhantomLevel

    @staticmethod
    def over(truths: Iterable[Truth], spacing: tuple[float, float, float] = MODEL_SPACING) -> Engines:
        """Twins for truths in memory. Cutouts and patches cover the published size in mm, whatever the spacing."""
        known = Truths(truths)
        info = ModelInfo("semantic", "phantom", "", known.digest, demonstration=True)
        voxel = spacing[0] * spacing[1] * spacing[2]
        cutout = CutoutPlan(
            spacing, _scaled(CUTOUT, spacing), 10, tuple(DEFAULT_CLASSES.items()), 100 * voxel, 250 * voxel
        )
        patch = PatchPlan(spacing, _scaled(PATCH, spacing), rotate=False, heads=HEADS)
        return Engines(
            PhantomSemantic(known, info, spacing),
            PhantomVertebra(known, replace(info, role="instance"), cutout),
            PhantomLevel(known, replace(info, role="labeling"), patch),
        )

    @staticmethod
    def from_folder(*folders: Path, spacing: tuple[float, float, float] = MODEL_SPACING) -> Engines:
        """Twins for all truths below some folders: structures.nii.gz, instances.nii.gz and truth.json side by side."""
        found = sorted({path.parent for folder in folders for path in folder.glob(f"**/{STRUCTURES}")})
        if not found:
            raise ModelError(f"no {STRUCTURES} lies below {', '.join(str(f) for f in folders)}")
        return PhantomEngines.over((read_truth(folder) for folder in found), spacing)


def _scaled(size: tuple[int, int, int], spacing: tuple[float, float, float]) -> tuple[int, int, int]:
    a, b, c = (max(round(n * m / s / 8), 1) * 8 for n, m, s in zip(size, MODEL_SPACING, spacing, strict=True))
    return (a, b, c)


def read_truth(folder: Path) -> Truth:
    """One truth from a folder; truth.json knows the grid (slice, row, column) more exactly than a NIfTI header does."""
    structures, affine = _labels(folder / STRUCTURES)
    instances, _ = _labels(folder / INSTANCES)
    if structures.shape != instances.shape:
        raise ModelError(f"{folder}: structures are {structures.shape}, instances {instances.shape}")
    facts = folder / FACTS
    stated = json.loads(facts.read_text(encoding="utf-8")).get("geometry", {}) if facts.is_file() else {}
    frame = str(stated.get("frame_of_reference_uid", ""))
    if "affine" in stated:  # NIfTI has columns first
        structures, instances = structures.transpose(2, 1, 0), instances.transpose(2, 1, 0)
    i, j, k = structures.shape
    return Truth(structures, instances, Geometry(np.array(stated.get("affine", affine)), (i, j, k), frame))


def _labels(path: Path) -> tuple[Array, NDArray[np.float64]]:
    """The labels of a NIfTI file and their affine, LPS."""
    import nibabel

    image = nibabel.load(path)
    return np.asarray(image.dataobj), np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
