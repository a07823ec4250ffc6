"""All measures of one case: structures, instances, and structures by region of the spine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.evaluation.overlap import assd, dice
from spineps_pacs.evaluation.panoptic import Panoptic, panoptic

Ids = NDArray[np.integer]

GLOBAL: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("vertebra", tuple(range(40, 52))),
    ("IVD", (100,)),
    ("spinal canal", (61,)),
    ("spinal canal with cord", (60, 61)),
    ("spinal cord", (60,)),
    ("arcus", (41,)),
    ("spinous process", (42,)),
    ("articularis inferior", (47, 48)),
    ("articularis superior", (45, 46)),
    ("costal process", (43, 44)),
    ("vertebra corpus", (49, 50, 51)),
    ("endplate", (52, 53, 62)),
    ("sacrum", (26,)),
)
"""Rows of the paper's tables and the SPINEPS ids that each of them gathers; then those that the paper leaves out."""

REGIONS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("cervical", tuple(range(1, 8))),
    ("thoracic", (*range(8, 20), 28)),
    ("lumbar", tuple(range(20, 26))),
)

VERTEBRAE = (*range(1, 26), 28)
"""Instance ids that are vertebrae; the sacrum (26) is none."""


@dataclass(frozen=True)
class Value:
    """One number: where it was measured ("global", "instance-wise" or a region), of what, and by which measure."""

    scope: str
    structure: str
    measure: str
    value: float


def structure_values(found: SemanticMask, truth: SemanticMask) -> Iterator[Value]:
    """Dice and ASSD (mm) of every structure that one of the masks has."""
    for name, ids in GLOBAL:
        one, other = np.isin(found.labels, ids), np.isin(truth.labels, ids)
        if one.any() or other.any():
            yield Value("global", name, "DSC", dice(one, other))
            yield Value("global", name, "ASSD", assd(one, other, truth.geometry.spacing))


def instance_values(found: InstanceMask, truth: InstanceMask) -> Iterator[Value]:
    """The panoptic measures of vertebrae and of discs."""
    for name, compared in compare_instances(found, truth).items():
        for measure in ("DSC", "RQ", "SQ", "PQ", "ASSD"):
            yield Value(
                "instance-wise", name, measure, float(getattr(compared, measure.lower().replace("dsc", "dice")))
            )


def compare_instances(found: InstanceMask, truth: InstanceMask) -> dict[str, Panoptic]:
    """Vertebrae and discs, those that one of the masks has."""
    compared = {}
    for name, keep in (("vertebra", _vertebrae), ("IVD", _discs)):
        one, other = keep(found.labels), keep(truth.labels)
        if one.any() or other.any():
            compared[name] = panoptic(one, other, truth.geometry.spacing)
    return compared


def _vertebrae(labels: Ids) -> Ids:
    return np.where(np.isin(labels, VERTEBRAE), labels, 0)


def _discs(labels: Ids) -> Ids:
    return np.where((labels > 100) & (labels < 200), labels, 0)


def region_values(found: SemanticMask, truth: SemanticMask, instances: InstanceMask) -> Iterator[Value]:
    """Dice of every structure by region; a voxel belongs to the region of the reference's nearest vertebra."""
    areas = regions(instances)
    for number, (region, _) in enumerate(REGIONS, start=1):
        here = areas == number
        if not (here & (instances.labels > 0)).any():
            continue
        for name, ids in GLOBAL:
            one, other = here & np.isin(found.labels, ids), here & np.isin(truth.labels, ids)
            if one.any() or other.any():
                yield Value(region, name, "DSC", dice(one, other))


def regions(instances: InstanceMask) -> NDArray[np.uint8]:
    """1 cervical, 2 thoracic, 3 lumbar, 0 nearest to the sacrum (or nothing known), for every voxel."""
    known = np.isin(instances.labels, (*VERTEBRAE, 26))
    if not known.any():
        return np.zeros(instances.labels.shape, np.uint8)
    nearest = distance_transform_edt(
        ~known, sampling=instances.geometry.spacing, return_distances=False, return_indices=True
    )
    number = np.zeros(256, np.uint8)
    for place, (_, ids) in enumerate(REGIONS, start=1):
        number[list(ids)] = place
    return np.asarray(number[instances.labels[tuple(nearest)]])
