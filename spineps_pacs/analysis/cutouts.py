"""Cuts a box around every body for the instance network, and remembers where it came from.

Arrays are indexed (P, I, R) on the instance model's grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.geometry import Box, pad
from spineps_pacs.analysis.pieces import Centre, Labels
from spineps_pacs.domain.ports import CutoutPlan, Cutouts
from spineps_pacs.domain.volume import Geometry

STEP = 5
"""Voxels by which a centre that lies on background is moved towards I."""


@dataclass(frozen=True)
class Place:
    """One cutout: the box in the volume that it covers, and where that box lies within the cutout."""

    box: Box
    inner: Box
    start: tuple[int, int, int]
    shape: tuple[int, int, int]


def classes(semantic: Labels, plan: CutoutPlan) -> NDArray[np.uint8]:
    """The structures as the classes that the instance network knows; everything else is 0."""
    table = np.zeros(256, dtype=np.uint8)
    for structure, number in plan.classes:
        table[structure] = number if number < plan.channels else 0
    return table[semantic]


def places(found: Sequence[Centre], known: NDArray[np.uint8], plan: CutoutPlan) -> list[Place]:
    """The cutout around each centre; a centre on background moves down until it meets a structure."""
    return [_place(_on_structure(centre, known), known.shape, plan.size_pir) for centre in found]


def _on_structure(centre: Centre, known: NDArray[np.uint8]) -> tuple[int, int, int]:
    p, i, r = (int(c) for c in centre)
    column = known[p, i::STEP, r]
    hit = np.flatnonzero(column)
    return (p, i + STEP * int(hit[0]), r) if hit.size else (p, i, r)


def _place(centre: tuple[int, int, int], shape: tuple[int, ...], size: tuple[int, int, int]) -> Place:
    spans, inner, start, whole = [], [], [], []
    for at, n, wanted in zip(centre, shape, size, strict=True):
        half = wanted // 2
        low, high = max(at - half, 0), min(at + half, n)
        spans.append(slice(low, high))
        inner.append(slice(low - (at - half), high - (at - half)))
        start.append(at - half)
        whole.append(2 * half)
    (a, b, c), (d, e, f) = spans, inner
    return Place((a, b, c), (d, e, f), (start[0], start[1], start[2]), (whole[0], whole[1], whole[2]))


def cut(known: NDArray[np.uint8], geometry: Geometry, wanted: Sequence[Place]) -> Cutouts:
    """The boxes, zero where they reach beyond the volume."""
    arrays = np.zeros((len(wanted), *wanted[0].shape), dtype=np.uint8)
    for array, place in zip(arrays, wanted, strict=True):
        array[place.inner] = known[place.box]
    return Cutouts(arrays, tuple(_geometry(geometry, place) for place in wanted))


def _geometry(geometry: Geometry, place: Place) -> Geometry:
    low = [-s for s in place.start]
    high = [s + w - n for s, w, n in zip(place.start, place.shape, geometry.shape, strict=True)]
    return pad(geometry, list(zip(low, high, strict=True))).after
