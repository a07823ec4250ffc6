"""Measures of one case."""

from __future__ import annotations

import numpy as np
import pytest

from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.evaluation.cases import instance_values, region_values, regions, structure_values

SHAPE = (2, 30, 6)
GRID = Geometry(np.diag([3.0, 1.0, 1.0, 1.0]), SHAPE)


def _structures(**bars: tuple[int, int]) -> SemanticMask:
    labels = np.zeros(SHAPE, np.uint8)
    for name, (low, high) in bars.items():
        labels[:, low:high, 1:5] = int(name[1:])
    return SemanticMask(labels, GRID)


def _instances(**bars: tuple[int, int]) -> InstanceMask:
    return InstanceMask(_structures(**bars).labels.astype(np.uint16), GRID)


def test_a_vertebra_gathers_its_parts() -> None:
    """A body called arch costs body and arch their Dice, but not the vertebra."""
    truth = _structures(s49=(0, 10), s41=(10, 20))
    found = _structures(s49=(0, 5), s41=(5, 20))
    values = {(v.structure, v.measure): v.value for v in structure_values(found, truth)}
    assert values["vertebra", "DSC"] == 1
    assert values["vertebra corpus", "DSC"] == pytest.approx(2 * 5 / 15)
    assert values["arcus", "DSC"] == pytest.approx(2 * 10 / 25)
    assert ("sacrum", "DSC") not in values


def test_the_canal_with_its_cord() -> None:
    """Cord called canal costs both, but not the canal with its cord."""
    values = {
        v.structure: v.value
        for v in structure_values(_structures(s61=(0, 12)), _structures(s60=(0, 6), s61=(6, 12)))
        if v.measure == "DSC"
    }
    assert values["spinal canal with cord"] == 1
    assert values["spinal cord"] == 0
    assert values["spinal canal"] == pytest.approx(2 * 6 / 18)


def test_discs_and_vertebrae_are_counted_apart() -> None:
    """The sacrum is no vertebra, endplates are no discs."""
    truth = _instances(i24=(0, 8), i124=(9, 12), i26=(14, 20), i224=(22, 24))
    found = _instances(i24=(0, 8), i26=(14, 20))
    values = {(v.structure, v.measure): v.value for v in instance_values(found, truth)}
    assert values["vertebra", "RQ"] == 1
    assert values["IVD", "RQ"] == 0
    assert values["IVD", "PQ"] == 0


def test_regions_follow_the_nearest_vertebra() -> None:
    """Between C7 and T1 the region changes half way; what hangs on the sacrum has none."""
    areas = regions(_instances(i7=(0, 4), i8=(10, 14), i26=(26, 30)))
    assert set(np.unique(areas[:, 0:7])) == {1}
    assert set(np.unique(areas[:, 8:19])) == {2}
    assert set(np.unique(areas[:, 22:])) == {0}


def test_a_fault_stays_in_its_region() -> None:
    """A canal that is missing in the neck costs the neck only."""
    truth, instances = _structures(s61=(0, 30)), _instances(i7=(0, 10), i20=(20, 30))
    found = _structures(s61=(15, 30))
    values = {(v.scope, v.structure): v.value for v in region_values(found, truth, instances)}
    assert values["lumbar", "spinal canal"] == 1
    assert values["cervical", "spinal canal"] == 0
