"""Examines the embedded model on one volume of the hold-out: Dice, counts, sides, and whether it ended in a result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.errors import SpinepsPacsError
from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.volume import Volume
from spineps_pacs.evaluation.cases import GLOBAL, VERTEBRAE, compare_instances, regions
from spineps_pacs.evaluation.overlap import dice
from training.holdout import Case, Truth, render

Masks = tuple[SemanticMask, InstanceMask | None]
Segment = Callable[[Volume], Masks]
"""An image to its structures and, where they could be told apart, its vertebrae."""

SEEN = 0.25
"""A vertebra of which at least this part of the body lies in the field of view has to be counted."""
SLIVER_MM3 = 400.0
"""One of which less than `SEEN`, but this much, is in view may be counted or not; one of less must not."""
SIDES = ((43, 44), (45, 46), (47, 48))
SWAPPED = 0.5
"""Left and right have changed places when more than this part of a side's voxels carries the other side's id."""
LEAST_SIDE_MM3 = 300.0
"""A side smaller than this in the truth is not asked."""


@dataclass(frozen=True)
class Outcome:
    """What came of one case; `dice` by structure, `regional` by "region/structure", `sentence` where it failed."""

    case: str
    region: str
    family: str
    variants: tuple[str, ...]
    height_mm: float
    slice_mm: float
    dice: dict[str, float] = field(default_factory=dict)
    regional: dict[str, float] = field(default_factory=dict)
    vertebrae: int = 0
    slivers: int = 0
    counted: int | None = None
    rq: float = math.nan
    instance_dice: float = math.nan
    swapped: bool = False
    seconds: float = 0.0
    sentence: str = ""

    @property
    def exact(self) -> bool:
        """True when as many vertebrae were told apart as the field of view shows; slivers at its ends are free."""
        return self.counted is not None and self.vertebrae <= self.counted <= self.vertebrae + self.slivers

    @property
    def strict(self) -> bool:
        """The same with slivers as mistakes."""
        return self.counted == self.vertebrae

    def plain(self) -> dict[str, Any]:
        """For JSON: rounded, numbers that are none left out."""
        record = {k: v for k, v in asdict(self).items() if not (isinstance(v, float) and math.isnan(v))}
        for name in ("dice", "regional"):
            record[name] = {k: round(v, 4) for k, v in record[name].items()}
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in record.items()}


def examine(case: Case, segment: Segment) -> Outcome:
    """Renders the case, segments it and compares; a refusal of ours is kept as its sentence."""
    truth = render(case)
    shown = visible(truth)
    facts: dict[str, Any] = {
        "case": case.name,
        "region": case.region,
        "family": case.family,
        "variants": case.variants,
        "height_mm": case.height_mm,
        "slice_mm": case.slice_mm,
        "vertebrae": len(shown),
        "slivers": len(touched(truth)) - len(shown),
    }
    began = time.monotonic()
    try:
        structures, instances = segment(truth.image)
    except SpinepsPacsError as error:
        return Outcome(**facts, sentence=str(error), seconds=time.monotonic() - began)
    facts["seconds"] = time.monotonic() - began
    facts |= {"dice": structure_dice(structures, truth), "regional": regional_dice(structures, truth)}
    facts["swapped"] = sides_swapped(structures, truth)
    return Outcome(**facts, **(_instances(instances, truth) if instances else {}))


def visible(truth: Truth) -> tuple[int, ...]:
    """The vertebrae of which the field of view shows enough: `SEEN` of the body that the whole spine would have."""
    volumes = body_volumes(truth)
    shown = []
    for vertebra in truth.spine.vertebrae:
        body = vertebra.body
        whole = 0.8 * body.width * body.depth * body.height * (1 - body.collapse / 2)
        if volumes[vertebra.id] >= SEEN * whole:
            shown.append(vertebra.id)
    return tuple(shown)


def touched(truth: Truth) -> tuple[int, ...]:
    """The vertebrae of which any body worth speaking of is in view."""
    volumes = body_volumes(truth)
    shown = visible(truth)
    return tuple(v.id for v in truth.spine.vertebrae if volumes[v.id] >= SLIVER_MM3 or v.id in shown)


def body_volumes(truth: Truth) -> NDArray[np.float64]:
    """Cubic millimetres of body in view, by instance id."""
    inside = truth.instances.labels[truth.structures.labels == 49]
    return np.asarray(np.bincount(inside, minlength=300) * truth.structures.geometry.voxel_volume)


def structure_dice(found: SemanticMask, truth: Truth) -> dict[str, float]:
    """Dice of every structure of the paper that one of the masks has."""
    values = {n: dice(np.isin(found.labels, ids), np.isin(truth.structures.labels, ids)) for n, ids in GLOBAL}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def regional_dice(found: SemanticMask, truth: Truth) -> dict[str, float]:
    """Dice of the same by region, each voxel in the region of the true vertebra next to it."""
    areas, values = regions(truth.instances), {}
    for number, region in enumerate(("cervical", "thoracic", "lumbar"), start=1):
        here = areas == number
        for name, ids in GLOBAL:
            true = here & np.isin(truth.structures.labels, ids)
            if true.any():
                values[f"{region}/{name}"] = dice(here & np.isin(found.labels, ids), true)
    return values


def sides_swapped(found: SemanticMask, truth: Truth) -> bool:
    """True when most of a true left structure is called right, or the other way round."""
    least = LEAST_SIDE_MM3 / truth.structures.geometry.voxel_volume
    for pair in SIDES:
        for side, other in (pair, pair[::-1]):
            here = truth.structures.labels == side
            if here.sum() >= least and (found.labels[here] == other).mean() > SWAPPED:
                return True
    return False


def _instances(instances: InstanceMask, truth: Truth) -> dict[str, Any]:
    compared = compare_instances(instances, truth.instances).get("vertebra")
    counted = sum(1 for identity in instances.ids() if identity in VERTEBRAE)
    if compared is None:
        return {"counted": counted}
    return {"counted": counted, "rq": compared.rq, "instance_dice": compared.dice}
