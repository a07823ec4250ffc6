"""The small-field-of-view labeller from end to end with a twin of its networks, and what is said of weak fits."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spineps_pacs.analysis.small_fov import (
    SmallFovSettings,
    instance_ids,
    label_array,
    levels,
    named,
    names_of,
    positions,
    structure_ids,
)
from spineps_pacs.analysis.small_fov_fit import NAMES, SACRUM
from spineps_pacs.analysis.small_fov_input import PIXEL_MM
from spineps_pacs.domain.anatomy import LEVEL_IDS
from spineps_pacs.domain.errors import ModelError, Unusable
from tests.analysis.columns import Twin, as_series, column, run

SPACING = (3.3, PIXEL_MM, PIXEL_MM)


def _names(first: str, last: str, lumbar: int = 5, **how: float) -> tuple[str, ...]:
    """What the labeller calls the vertebrae of a constructed column."""
    made = column(run(first, last, lumbar=lumbar), **how)
    found = named(made.classes, made.said)
    assert found.fit is not None
    return tuple(NAMES[at - 1] for at in found.fit.positions)


@pytest.mark.parametrize("start", range(1, SACRUM + 1))
def test_all_starts(start: int) -> None:
    """A spine that starts at any of the 25 names is named right."""
    true = tuple(range(start, min(start + 4, SACRUM + 1)))
    made = column(true)
    found = named(made.classes, made.said)
    assert found.fit is not None
    assert found.fit.positions == true
    assert found.fit.margin >= 0.5  # less than 1 near the sacrum, where leaving L6 out costs little


@pytest.mark.parametrize(("lumbar", "last"), [(4, "L4"), (5, "L5"), (6, "L6")])
def test_lumbar_variants(lumbar: int, last: str) -> None:
    """With four, five and six lumbar vertebrae the next one is S1, and the disc between is named after both."""
    made = column(run("T10", "S1", lumbar=lumbar))
    found = named(made.classes, made.said)
    assert set(found.names.values()) >= {"S1", last, f"{last}-S1", "T12-L1"}
    flags = levels(found).flags if found.fit else ()
    assert flags == {4: ("L5 absent",), 5: (), 6: ("L6 present",)}[lumbar]


@pytest.mark.parametrize("lean", [-0.12, 0.05, 0.12])
def test_a_leaning_spine(lean: float) -> None:
    """A spine that leans is split and named as one that stands."""
    assert _names("T8", "S1", lean=lean, shape=(6, 110, 440)) == _names("T8", "S1")


def test_ids_and_masks() -> None:
    """Vertebra k has 2k-1, the disc below 2k; every voxel of the column has the id of its block."""
    made = column(run("L1", "S1"))
    found = named(made.classes, made.said)
    bones = made.classes == 1
    assert (found.instances[bones] == 2 * made.said[bones].astype(int) - 1).all()
    assert found.names == {
        37: "L1", 38: "L1-L2", 39: "L2", 40: "L2-L3", 41: "L3", 42: "L3-L4", 43: "L4", 44: "L4-L5", 45: "L5",
        46: "L5-S1", 49: "S1",
    }  # fmt: skip


def test_ids_of_the_project() -> None:
    """Bodies are 49, discs 100, the sacrum 26; instances are 1-26 and 100+X."""
    made = column(run("L4", "S1"))
    found = named(made.classes, made.said)
    assert set(np.unique(structure_ids(found))) == {0, 26, 49, 100}
    assert set(np.unique(instance_ids(found))) == {0, 23, 24, 26, 123, 124}


def test_one_vertebra() -> None:
    """A single vertebra is named, and its name is said to rest on its looks alone."""
    made = column(run("T5", "T5"))
    found = named(made.classes, made.said)
    assert set(found.names.values()) == {"T5"}
    assert found.notes == ("one vertebra is in view: its name rests on its looks alone",)


def test_a_missing_disc() -> None:
    """Two vertebrae that no disc divides get one name, and the doubt is told with that name."""
    made = column(run("T10", "L5"), without_disc=6)
    found = named(made.classes, made.said)
    assert {"T10", "T11", "T12", "L1", "L2"} <= set(found.names.values())
    assert found.notes == ("the naming network saw two names within L3: a disc may be missed",)


def test_a_second_object_does_not_matter() -> None:
    """Only the largest connected piece counts: a false vertebra elsewhere changes no name."""
    made = column(run("L1", "S1"))
    made.classes[0:3, 0:8, 0:9] = 1
    assert set(named(made.classes, made.said).names.values()) >= {"L1", "S1"}
    assert not named(made.classes, made.said).instances[0:3, 0:8, 0:9].any()


def test_a_disc_above_the_first_vertebra_is_named_upstream_and_left_out_by_us() -> None:
    """A disc cut off from its upper vertebra keeps its id of the 49, and belongs to no instance of the project."""
    made = column(run("T12", "L3"))
    top = int(np.argwhere(made.classes.any(axis=(0, 1))).max())
    made.classes[..., top - 11 : top + 1] = 0
    found = named(made.classes, made.said)
    assert found.names[2 * LEVEL_IDS["T12"] - 2] == "T12-L1"
    assert 100 + LEVEL_IDS["T12"] not in np.unique(instance_ids(found))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 60), st.integers(0, 1), st.integers(0, 20), st.sampled_from(["C2", "T4", "L1"]))
def test_moving_the_spine_changes_no_name(up: int, aside: int, across: int, first: str) -> None:
    """The same spine shifted by whole voxels gets the same ids, shifted."""
    still = column(run(first, "L5")[:8])
    moved_classes, moved_said = (np.roll(a, (aside, across, -up), (0, 1, 2)) for a in (still.classes, still.said))
    before = np.roll(named(still.classes, still.said).instances, (aside, across, -up), (0, 1, 2))
    assert (named(moved_classes, moved_said).instances == before).all()


def test_there_and_back_in_the_input_s_shape() -> None:
    """A usual sagittal array gives masks of its own shape, each voxel as the twin of the networks drew it."""
    made = column(run("T12", "S1"), shape=(6, 60, 200))
    image = as_series(made.classes).astype(np.float32)
    found = label_array(image, SPACING, Twin(made))
    assert found.semantic.shape == image.shape
    assert (found.semantic == as_series(made.classes)).all()
    assert (found.instances[image == 1] % 2 == 1).all()


def test_the_networks_see_what_they_were_trained_on() -> None:
    """Slices come with their neighbours, in 0..1, rows to Anterior, columns to Superior, at the upper end."""
    made = column(run("L1", "S1"), shape=(6, 60, 200))
    twin = Twin(made)
    label_array(as_series(made.classes).astype(np.int16) * 100, SPACING, twin)
    assert twin.seen is not None
    assert twin.seen.shape == (6, 3, 320, 896)
    middle = twin.seen[2, 1]
    assert (middle[130:190, 696:] == made.classes[2] / np.float32(2)).all()
    assert (twin.seen[2, 0] == twin.seen[1, 1]).all()
    assert (twin.seen[0, 0] == twin.seen[1, 1]).all()
    assert (twin.seen[5, 2] == twin.seen[4, 1]).all()


def test_semantic_only() -> None:
    """Without naming there are no instances, and the naming network is not asked."""
    made = column(run("L1", "S1"), shape=(6, 60, 200))
    twin = Twin(made)
    twin.name = None  # type: ignore[assignment]
    found = label_array(as_series(made.classes).astype(np.float32), SPACING, twin, SmallFovSettings(semantic_only=True))
    assert found.fit is None
    assert not found.instances.any()
    assert found.semantic.any()


def test_one_slice() -> None:
    """A volume of one slice is labelled, and it is said that the networks saw it three times."""
    made = column(run("L1", "S1"), shape=(6, 60, 200))
    thin = type(made)(made.classes[2:3], made.said[2:3], made.positions)
    found = label_array(as_series(thin.classes).astype(np.float32), SPACING, Twin(thin))
    assert found.semantic.shape[0] == 1
    assert "one slice" in found.notes[0]


@pytest.mark.parametrize(
    ("voxels", "sentence"),
    [
        (np.ones((2, 900, 330)), "every voxel in the field of the networks has the value 1"),
        (np.full((2, 40, 40), np.nan), "no numbers"),
        (np.ones((40, 40)), "has slices, rows and columns"),
    ],
)
def test_what_cannot_be_read_is_said(voxels: np.ndarray, sentence: str) -> None:
    """An image without contrast, without numbers or without slices is refused with a sentence."""
    with pytest.raises(Unusable, match=sentence):
        label_array(voxels, (3.3, PIXEL_MM, PIXEL_MM), Twin(column(run("L1", "L2"))))


def test_nothing_found_is_said() -> None:
    """No vertebra, nothing at all, and no name: a sentence each."""
    made = column(run("L1", "L3"))
    nothing = np.zeros_like(made.classes)
    with pytest.raises(Unusable, match="neither a vertebra nor a disc"):
        named(nothing, nothing)
    with pytest.raises(Unusable, match="discs, but no vertebra"):
        named(np.where(made.classes == 2, 2, 0).astype(np.uint8)[..., 400:424], made.said[..., 400:424])
    with pytest.raises(Unusable, match="named no voxel"):
        named(made.classes, nothing)


def test_networks_with_and_without_l6() -> None:
    """The last of 24 names is S1, as is the last of 25; another number is refused with the number."""
    assert list(positions(np.array([0, 1, 23, 24]), 24)) == [0, 1, 23, 25]
    assert list(positions(np.array([0, 24, 25]), 25)) == [0, 24, 25]
    with pytest.raises(ModelError, match="has 7 names"):
        positions(np.array([1]), 7)


def test_names_of_all_ids() -> None:
    """A whole spine with L6 has the 49 names in order."""
    whole = names_of(range(1, 50))
    assert len(whole) == 49
    assert (whole[1], whole[2], whole[34], whole[47], whole[48], whole[49]) == (
        "C2", "C2-C3", "T11-T12", "L6", "L6-S1", "S1",
    )  # fmt: skip


@pytest.mark.parametrize("last", ["L4", "L5", "S1"])
def test_thirteen_thoracic_vertebrae_reach_the_masks(last: str) -> None:
    """T13, and every name below it, is the project's own id in the mask, with the disc below; so are its levels."""
    names = ["T9", "T10", "T11", "T12", "T13", "L1", "L2", "L3", "L4", "L5", "S1"]
    names = names[: names.index(last) + 1]
    seen = [NAMES.index("L1" if name == "T13" else name) + 1 for name in names]
    made = column(tuple(seen))
    found = named(made.classes, made.said)
    wanted = [LEVEL_IDS[name] for name in names]
    discs = [100 + i for i in wanted[:-1]]
    assert set(np.unique(instance_ids(found))) == {0, *wanted, *discs}
    assert [c.level for c in levels(found).choices] == [i for i in wanted if i != 26]
    assert "T13 present" in levels(found).flags


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.randoms(use_true_random=False))
def test_whatever_the_network_says_there_are_masks_and_levels(count: int, chance: random.Random) -> None:
    """Names without any order give names that run downwards, and masks of the same ones."""
    made = column(tuple(chance.randint(1, SACRUM) for _ in range(count)))
    found = named(made.classes, made.said)
    told = [c.level for c in levels(found).choices]
    assert set(told) <= set(np.unique(instance_ids(found)))
    assert len(set(told)) == len(told)
