"""The recipe: classes, mirroring, and the exported plan agree with each other."""

from __future__ import annotations

import numpy as np

from spineps_pacs.domain.anatomy import STRUCTURES
from training.export import dataset, instance_config, plans, semantic_config
from training.recipe import CLASSES, CUTOUT_PIR, MAPPING, class_table, mirror_table


def test_every_structure_is_a_class() -> None:
    """Each of the 14 structures has its class, under all ids that it gathers; everything else is background."""
    table = class_table()
    for number, structure in enumerate(STRUCTURES, start=1):
        assert {table[identity] for identity in structure.ids} == {number}
    assert table[0] == 0
    assert sum(1 for value in table if value) == sum(len(s.ids) for s in STRUCTURES)


def test_mirroring_twice_changes_nothing() -> None:
    """Left and right change places, nothing else does, and twice is not at all."""
    mirror = np.array(mirror_table())
    assert (mirror[mirror] == np.arange(15)).all()
    moved = {CLASSES[number - 1] for number in range(1, 15) if mirror[number] != number}
    assert moved == {43, 44, 45, 46, 47, 48}


def test_the_folders_of_the_model_agree() -> None:
    """Classes of dataset.json are those that inference_config.json maps; the plan's axes are the reversed ones."""
    labels = dataset()["labels"]
    assert {int(raw) for raw in semantic_config()["labels"]} == set(labels.values()) - {0}
    assert plans()["transpose_forward"] == [0, 1, 2]
    finest, coarsest = semantic_config()["resolution_range"]
    assert all(low <= high for low, high in zip(finest, coarsest, strict=True))


def test_cutouts_fit_the_network() -> None:
    """Each side divides by eight; the mapping fills channels 1 to 9 and leaves the sacrum out."""
    assert all(n % 8 == 0 for n in CUTOUT_PIR)
    assert set(MAPPING.values()) == set(range(1, 10))
    assert instance_config()["mapping"]["26"] == 0
