"""Tests of the plan of segments: labels, codes, colours, numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encode.cases import Wish, case, whole_spine
from spineps_pacs.domain.anatomy import METAL_ID, PRIVATE_SCHEME, SACRUM_ID, STRUCTURES, VERTEBRAE
from spineps_pacs.domain.masks import UNCONFIRMED, LevelChoice, SemanticMask
from spineps_pacs.encode.segments import absent_structures, level_segments, picked, relabelled, structure_segments


def test_levels_are_labelled_as_a_radiologist_writes_them() -> None:
    """Vertebrae from the head down, then the discs between them."""
    report, _ = case()
    labels = [segment.label for segment in level_segments(report)]
    assert labels == ["L3", "L4", "L5", "Sacrum", "L3-L4", "L4-L5", "L5-S1"]
    assert [segment.number for segment in level_segments(report)] == [1, 2, 3, 4, 5, 6, 7]


def test_unconfirmed_names_end_with_a_question_mark() -> None:
    """A name that the second labeller does not confirm is "L4?", also for the disc below; its code stays that of L4."""
    report, _ = case()
    choices = [replace(c, flags=(UNCONFIRMED,)) if c.level == 23 else c for c in report.levels.choices]
    doubted = replace(report, levels=replace(report.levels, choices=tuple(choices)))
    before, after = level_segments(report), level_segments(doubted)
    assert [s.label for s in after] == ["L3", "L4?", "L5", "Sacrum", "L3-L4", "L4-L5?", "L5-S1"]
    assert [(s.key, s.code) for s in after] == [(s.key, s.code) for s in before]


def test_counted_vertebrae_say_that_they_are_counted() -> None:
    """Without levels the labels hold the position and the word, and the codes are the generic ones."""
    report, _ = case(Wish(levels=(None, None, None)))
    segments = level_segments(report)
    assert [segment.label for segment in segments] == [
        "vertebra 1 (counted)",
        "vertebra 2 (counted)",
        "vertebra 3 (counted)",
        "disc below vertebra 1 (counted)",
        "disc below vertebra 2 (counted)",
    ]
    assert {segment.code.value for segment in segments} == {"51282000", "360499006"}
    assert all(segment.level.scheme == PRIVATE_SCHEME for segment in segments)


@pytest.mark.parametrize(
    ("levels", "labels"),
    [
        ((24, 25, SACRUM_ID), ["L5", "L6", "Sacrum", "L5-L6", "L6-S1"]),
        ((19, 28, 20), ["T12", "T13", "L1", "T12-T13", "T13-L1"]),
        ((18, 20), ["T11", "L1", "T11-L1"]),
        ((24,), ["L5"]),
        ((24, 24), ["L5", "L5 (2)", "L5-L5"]),
    ],
)
def test_anomalies_keep_distinct_labels(levels: tuple[int, ...], labels: list[str]) -> None:
    """L6, T13, an absent T12 and a level named twice are told as they are, never twice under one label."""
    report, _ = case(Wish(levels=levels))
    if levels == (24, 24):  # two instances, one name
        choices = (LevelChoice(24, 1, 24), LevelChoice(23, 2, 24))
        mask = report.instances.labels.copy()
        mask[:, 80:][mask[:, 80:] == 24] = 23
        report = replace(
            report,
            levels=replace(report.levels, choices=choices),
            instances=replace(report.instances, labels=np.where(mask > 200, 0, mask).astype(np.uint16)),
        )
    assert [segment.label for segment in level_segments(report)] == labels


def test_a_disc_at_the_lower_edge_is_named_by_the_usual_neighbour() -> None:
    """A disc below L4 is L4-L5 also when L5 is out of view, and never L4 to an anomaly."""
    report, _ = case(Wish(levels=(22, 23)))
    mask = report.instances.labels.copy()
    mask[3, 150:155, 9:20] = 123
    found = level_segments(replace(report, instances=replace(report.instances, labels=mask)))
    assert [segment.label for segment in found if segment.disc] == ["L3-L4", "L4-L5"]


@pytest.mark.parametrize(
    ("levels", "label", "code"),
    [
        ((20, 21), "T12-L1", "76206002"),
        ((28, 20), "T12-T13", "IVD_T12_T13"),
        ((25, SACRUM_ID), "L5-L6", "IVD_L5_L6"),
        ((2, 3), "C1-C2", "IVD_C1_C2"),
        ((None, None), "disc above vertebra 1 (counted)", "DCOUNT0"),
        ((1, 2), "disc above vertebra 1 (counted)", "DCOUNT0"),
    ],
)
def test_a_disc_at_the_upper_edge_is_named_by_the_vertebra_below(
    levels: tuple[int | None, ...], label: str, code: str
) -> None:
    """A disc over the topmost vertebra is T12-L1 over L1, first of the discs, with a code of its own."""
    report, _ = case(Wish(levels=levels))
    mask = report.instances.labels.copy()
    mask[3, 1:5, 9:20] = 119  # whatever its number, no vertebra above it is in the mask
    found = [s for s in level_segments(replace(report, instances=replace(report.instances, labels=mask))) if s.disc]
    assert (found[0].label, found[0].level.value, found[0].ids) == (label, code, (119,))
    assert len({s.level for s in found}) == len({s.key for s in found}) == len(found) == 2


def test_the_disc_over_an_unconfirmed_name_is_as_unsure() -> None:
    """What is named after "L1?" is "T12-L1?"."""
    report, _ = case(Wish(levels=(20, 21)))
    mask = report.instances.labels.copy()
    mask[3, 1:5, 9:20] = 119
    choices = tuple(replace(c, flags=(UNCONFIRMED,)) if c.level == 20 else c for c in report.levels.choices)
    doubted = replace(report, levels=replace(report.levels, choices=choices))
    segments = level_segments(replace(doubted, instances=replace(report.instances, labels=mask)))
    assert [segment.label for segment in segments] == ["L1?", "L2", "T12-L1?", "L1-L2?"]


def test_metal_is_no_vertebra() -> None:
    """An implant (80) keeps its voxels in the mask, and is no segment among the levels."""
    report, _ = case()
    mask = report.instances.labels.copy()
    mask[2:4, 20:25, 30:34] = METAL_ID
    implanted = replace(report, instances=replace(report.instances, labels=mask))
    assert [s.label for s in level_segments(implanted)] == [s.label for s in level_segments(report)]


def test_endplates_are_one_segment() -> None:
    """Ids 52, 53 and 62 become "Vertebral endplate", 49 and 50 the body; each id has one segment at most."""
    report, _ = case()
    labels = report.structures.labels.copy()
    labels[3, 100, 50] = 50
    report = replace(report, structures=SemanticMask(labels, report.structures.geometry))
    assert {52, 53, 62} <= set(report.structures.ids())
    segments = structure_segments(report)
    assert [s.ids for s in segments if s.label == "Vertebral endplate"] == [(62, 52, 53)]
    assert [s.ids for s in segments if s.label == "Vertebral body"] == [(49, 50)]
    ids = [i for s in segments for i in s.ids]
    assert len(ids) == len(set(ids))


def test_absent_structures_are_left_out_and_named() -> None:
    """What has no voxel has no segment; both lists together are the 14."""
    report, _ = case()
    present = [segment.label for segment in structure_segments(report)]
    assert "Spinous process" in absent_structures(report)
    assert sorted([*present, *absent_structures(report)]) == sorted(item.name for item in STRUCTURES)


def test_a_level_has_one_colour_everywhere() -> None:
    """L4 is as blue in a lumbar series as in a whole spine; neighbours differ."""
    lumbar, whole = case()[0], case(Wish(levels=whole_spine(), rows=320))[0]
    colours = {segment.label: segment.rgb for segment in level_segments(whole)}
    assert all(colours[segment.label] == segment.rgb for segment in level_segments(lumbar))
    assert colours["L4"] == VERTEBRAE[23].rgb
    assert len(colours) == 49


def test_numbers_replace_ids_voxel_by_voxel() -> None:
    """Each voxel of a picked segment gets its number, everything else 0."""
    report, _ = case()
    bones = picked(level_segments(report), lambda segment: not segment.disc)
    numbers = relabelled(report.instances.labels, bones)
    assert [s.number for s in bones] == [1, 2, 3, 4]
    for segment in bones:
        np.testing.assert_array_equal(numbers == segment.number, report.instances.labels == segment.instance)
    assert not numbers[report.instances.labels > 100].any()


def test_a_vertebra_that_nobody_named_is_counted_on() -> None:
    """An instance without a choice is no reason to lose its voxels."""
    report, _ = case()
    report = replace(report, levels=replace(report.levels, choices=report.levels.choices[:2]))
    assert "vertebra 3 (counted)" in [segment.label for segment in level_segments(report)]
