"""Instances beside a reference: which were found (IoU of at least one half), and how well."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from spineps_pacs.evaluation.overlap import Spacing, assd, dice

FOUND_AT = 0.5
Ids = NDArray[np.integer]


@dataclass(frozen=True)
class Panoptic:
    """Recognition, segmentation and panoptic quality of one case; `dice` and `assd` are means over found instances.

    `pairs` are the ids (found, reference) that belong together; ids need not be equal, so a shift by one level costs
    nothing here.
    """

    rq: float
    sq: float
    pq: float
    dice: float
    assd: float
    pairs: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]
    invented: tuple[int, ...]


def panoptic(found: Ids, truth: Ids, spacing: Spacing) -> Panoptic:
    """Compares two arrays of instance ids (0 is background); all NaN where neither has an instance."""
    rows, columns = _ids(found), _ids(truth)
    overlaps = _overlaps(found, truth, rows, columns)
    left, right = linear_sum_assignment(-overlaps)
    good = [(int(a), int(b)) for a, b in zip(left, right, strict=True) if overlaps[a, b] >= FOUND_AT]
    pairs = tuple((rows[a], columns[b]) for a, b in good)
    total = (len(rows) + len(columns)) / 2
    rq = len(pairs) / total if total else math.nan
    sq = float(np.mean([overlaps[a, b] for a, b in good])) if good else math.nan
    masks = [(found == a, truth == b) for a, b in pairs]
    return Panoptic(
        rq=rq,
        sq=sq,
        pq=(rq * sq if good else 0.0) if total else math.nan,
        dice=_mean([dice(a, b) for a, b in masks]),
        assd=_mean([assd(a, b, spacing) for a, b in masks]),
        pairs=pairs,
        missed=tuple(i for i in columns if i not in {b for _, b in pairs}),
        invented=tuple(i for i in rows if i not in {a for a, _ in pairs}),
    )


def _ids(labels: Ids) -> list[int]:
    return [int(i) for i in np.unique(labels) if i]


def _overlaps(found: Ids, truth: Ids, rows: list[int], columns: list[int]) -> NDArray[np.float64]:
    """IoU of every instance found with every one of the reference."""
    a = np.searchsorted([0, *rows], found.ravel())
    b = np.searchsorted([0, *columns], truth.ravel())
    width = len(columns) + 1
    common = np.bincount(a * width + b, minlength=(len(rows) + 1) * width).reshape(-1, width).astype(float)
    either = common.sum(1, keepdims=True) + common.sum(0, keepdims=True) - common
    return np.asarray((common / np.maximum(either, 1))[1:, 1:])


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan
