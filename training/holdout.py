"""The hold-out: a hundred spines that training never sees, drawn from fixed seeds, each variant in at least ten.

Seeds lie below a million, those of training above. Nothing here may be eased to make a model pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.contrast import FAMILIES, random_contrast
from spineps_pacs.phantom.image import scan
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.voxels import voxelise
from spineps_pacs.phantom.wishes import Wishes, level_names

Rng = np.random.Generator

SEED = 500_000
SIZE = 100
QUICK = (79, 16, 44, 23, 56, 24, 10, 31, 71, 36)
"""The ten volumes of the quick form, chosen by size alone: the smallest lumbosacral and the smallest cervical volume of
each contrast family, the smallest thoracic and the smallest lumbar one."""

VARIANTS: tuple[str, ...] = (
    "ordinary", "11 thoracic", "13 thoracic", "4 lumbar", "6 lumbar", "sacralisation", "block vertebra", "degeneration",
    "fracture", "listhesis", "scoliosis", "haemangioma", "metal", "post-operative gap", "stenosis", "osteophytes",
)  # fmt: skip
LOW = frozenset({"4 lumbar", "6 lumbar", "sacralisation", "11 thoracic", "13 thoracic"})
"""Variants that only a field of view with the sacrum and the last ribs can show."""

REGIONS: dict[str, tuple[str, str, tuple[float, float]]] = {
    "lumbar": ("T12", "S1", (260, 420)),
    "lumbosacral": ("L3", "S1", (150, 240)),
    "cervical": ("C2", "T2", (160, 280)),
    "thoracic": ("T3", "T11", (260, 420)),
    "whole": ("C2", "S1", (540, 600)),
}
"""First and last level around which a field of view is centred, and its height in mm."""


@dataclass(frozen=True)
class Case:
    """One volume of the hold-out: what is asked of the spine and of the scanner."""

    number: int
    region: str
    variants: tuple[str, ...]
    family: str
    height_mm: float
    slice_mm: float

    @property
    def name(self) -> str:
        """For tables and file names."""
        return f"{self.number:03d} {self.region} {self.family} {' + '.join(self.variants)}"


@dataclass(frozen=True, eq=False)
class Truth:
    """A rendered case: the image, its structures and its instances on the same grid, and the spine behind it."""

    image: Volume
    structures: SemanticMask
    instances: InstanceMask
    spine: Spine


def cases(size: int = SIZE) -> list[Case]:
    """The definition, without rendering anything."""
    return [_case(number) for number in range(size)]


def _case(number: int) -> Case:
    rng = np.random.default_rng([SEED, number])
    first = VARIANTS[number % len(VARIANTS)]
    second = VARIANTS[(number // len(VARIANTS) * 3 + number + 5) % len(VARIANTS)]
    variants = tuple(dict.fromkeys(v for v in (first, second) if v != "ordinary")) or ("ordinary",)
    if LOW & {first, second}:
        region = ("lumbar", "lumbar", "whole", "lumbar")[number % 4]
        variants = tuple(v for v in variants if v not in LOW or v == next(w for w in variants if w in LOW))
    else:
        region = ("cervical", "thoracic", "lumbosacral", "cervical", "thoracic", "whole", "lumbar")[number % 7]
    low, high = REGIONS[region][2]
    return Case(
        number=number,
        region=region,
        variants=variants,
        family=FAMILIES[(number + number // 16) % len(FAMILIES)],
        height_mm=float(rng.uniform(low, high)),
        slice_mm=float(rng.uniform(2.5, 5.0)),
    )


def render(case: Case) -> Truth:
    """The image of a case and its truth."""
    rng = np.random.default_rng([SEED, case.number, 1])
    spine = draw_spine(SEED + case.number, _wishes(case, rng))
    geometry = _geometry(case, spine, rng)
    contrast = random_contrast(rng, family=case.family)
    image = scan(spine, geometry, contrast, rng, thickness=case.slice_mm * float(rng.uniform(0.8, 1.0)))
    labels = voxelise(spine, geometry)
    grey = np.rint(image / max(float(np.percentile(image, 99.5)), 1e-6) * 900).clip(0, 4095).astype(np.uint16)
    return Truth(
        Volume(grey, geometry),
        SemanticMask(labels.structures, geometry),
        InstanceMask(labels.instances, geometry),
        spine,
    )


def _wishes(case: Case, rng: Rng) -> Wishes:
    """An ordinary spine with the case's variants at levels that its field of view shows."""
    wishes = Wishes(
        degeneration=float(rng.uniform(0.0, 0.6)),
        scoliosis=float(rng.uniform(0, 4)),
        size=float(np.clip(rng.normal(1.0, 0.07), 0.82, 1.18)),
    )
    for variant in case.variants:
        count, _, name = variant.partition(" ")
        asked: dict[str, Any] = {name: int(count)} if count.isdigit() else {}
        wishes = replace(wishes, **asked)
    names = [n for n in level_names(wishes.thoracic, wishes.lumbar) if n != "S1"]
    first, last, _ = REGIONS[case.region]
    low = names.index(first) if first in names else 0
    shown = names[max(low, 1) : names.index(last) if last in names else len(names) - 1]
    for variant in case.variants:
        wishes = replace(wishes, **_asked(variant, shown, rng))
    return wishes


def _asked(variant: str, shown: list[str], rng: Rng) -> dict[str, Any]:
    """What a variant adds to the wishes."""
    level = str(rng.choice(shown))
    asked: dict[str, dict[str, Any]] = {
        "sacralisation": {"sacralisation": True},
        "block vertebra": {"merged": level},
        "degeneration": {"degeneration": float(rng.uniform(0.75, 1.0))},
        "fracture": {"fracture": ((level, float(rng.uniform(0.25, 0.6))),)},
        "listhesis": {"listhesis": ((level, float(rng.uniform(3, 10))),)},
        "scoliosis": {"scoliosis": float(rng.uniform(10, 30))},
        "haemangioma": {"haemangioma": (level,)},
        "metal": {"metal": level},
        "post-operative gap": {"gap": level},
        "stenosis": {"stenosis": ((level, float(rng.uniform(0.25, 0.5))),)},
        "osteophytes": {"osteophytes": float(rng.uniform(0.5, 1.0))},
    }
    return asked.get(variant, {})


def _geometry(case: Case, spine: Spine, rng: Rng) -> Geometry:
    """A sagittal field of view around the region, a little oblique and off centre."""
    step = float(rng.uniform(0.6, 0.95))
    spacing = np.array([case.slice_mm, step, step])
    extent = (float(rng.uniform(56, 84)), case.height_mm, float(rng.uniform(150, 230)))
    shape = tuple(max(8, round(mm / s)) for mm, s in zip(extent, spacing, strict=True))
    tilt = np.deg2rad(rng.normal(0, 2.5))
    turned = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine = np.eye(4)
    affine[:3, :3] = turned @ (np.array([[-1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]) * spacing[:, None]).T
    centre = _middle(case, spine) + rng.normal(0, (3.0, 8.0, 10.0))
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, (shape[0], shape[1], shape[2]))


def _middle(case: Case, spine: Spine) -> NDArray[np.float64]:
    """The middle of the region's levels, 15 mm behind the bodies."""
    first, last, _ = REGIONS[case.region]
    names = [v.name for v in spine.vertebrae]
    top = names.index(first) if first in names else 0
    bottom = names.index(last) if last in names else len(names) - 1
    places = [v.placed.origin for v in spine.vertebrae[top : bottom + 1]]
    places += [spine.sacrum[0].placed.origin] if last == "S1" else []
    middle = (np.min(places, axis=0) + np.max(places, axis=0)) / 2
    return np.asarray(middle + np.array([0.0, 15.0, 0.0]))
