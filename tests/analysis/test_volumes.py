"""Tests of volumes, and of the column they belong to, where something stands in the mask that is no vertebra."""

from __future__ import annotations

import numpy as np

from spineps_pacs.analysis.column import find_column
from spineps_pacs.analysis.volumes import volumes
from spineps_pacs.domain.anatomy import METAL_ID
from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from tests.analysis.solids import Column, Masks, grid, named, paint

PAIR = (21, 22)


def test_metal_is_neither_a_vertebra_nor_measured_as_one() -> None:
    """An implant in a body leaves the column its two vertebrae, and no volume has it as its subject."""
    structures, instances = _with_metal(paint(Column(levels=PAIR), grid((4.0, 1.0, 1.0), (66.0, 100.0, 86.0))))
    assert METAL_ID in instances.ids()
    assert {m.subject for m in volumes(structures, instances) if m.kind == "volume"} == set(PAIR)
    assert find_column(structures, instances, named(PAIR), np.zeros((0, 3))).sequence == PAIR


def _with_metal(masks: Masks) -> Masks:
    structures, instances = masks
    middle = np.argwhere(instances.labels == 22).mean(axis=0).astype(int)
    block = tuple(slice(at - 2, at + 3) for at in middle)
    painted = [mask.labels.copy() for mask in masks]
    for labels in painted:
        labels[block] = METAL_ID
    return SemanticMask(painted[0], structures.geometry), InstanceMask(painted[1], instances.geometry)
