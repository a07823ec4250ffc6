"""Each defect of the reference: mode `upstream` repeats it, mode `corrected` does not (docs/parity.md lists them)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from spineps_pacs.analysis.corpora import corpus_centres
from spineps_pacs.analysis.discs import completed
from spineps_pacs.analysis.fusion import Prediction, fuse
from spineps_pacs.analysis.level_path import cheapest, likeliest, names, steps_for
from spineps_pacs.analysis.levels import ranks
from spineps_pacs.analysis.matching import Matched, match, with_missing
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.naming import with_bodies
from spineps_pacs.analysis.scores import FOLDED, Scores, combined
from spineps_pacs.domain.errors import Unusable

Labels = NDArray[np.uint8]
SPACING = (1.0, 1.0, 1.0)
BOTH = (Mode.UPSTREAM, Mode.CORRECTED)


def column(vertebrae: list[int], *, sacrum: bool = False, first_disc: bool = False) -> tuple[Labels, Labels]:
    """Blocks from the head down: each vertebra a body with endplates above and below, a disc between two."""
    step = 16
    height = step * (len(vertebrae) + 2)
    structures, numbers = np.zeros((20, height, 12), np.uint8), np.zeros((20, height, 12), np.uint8)
    inner = (slice(4, 16), slice(None), slice(2, 10))
    for at, number in enumerate(vertebrae):
        top = 10 + at * step
        for part, low, high in ((62, top - 1, top), (49, top, top + 10), (62, top + 10, top + 11)):
            structures[inner][:, low:high] = part
        numbers[inner][:, top : top + 10] = number
        if at + 1 < len(vertebrae):
            structures[inner][:, top + 11 : top + 15] = 100
    if first_disc:
        structures[inner][:, 4:8] = 100
    if sacrum:
        structures[inner][:, 10 + len(vertebrae) * step : -2] = 26
    return structures, numbers


@pytest.mark.parametrize(("mode", "disc"), [(Mode.UPSTREAM, 126), (Mode.CORRECTED, 119)])
def test_a_disc_above_the_topmost_vertebra_belongs_to_the_one_before(mode: Mode, disc: int) -> None:
    """With a sacrum in view the disc above L1 is T12's (119), not the sacrum's (126)."""
    structures, vertebrae = column([20, 21, 22], sacrum=True, first_disc=True)
    _, instances = completed(structures, vertebrae, (26,), (80,), mode)
    assert instances[10, 5, 5] == disc


@pytest.mark.parametrize("mode", BOTH)
def test_without_a_sacrum_the_disc_above_is_right_in_both_modes(mode: Mode) -> None:
    """The reference errs only where something without a body is listed."""
    structures, vertebrae = column([20, 21, 22], first_disc=True)
    _, instances = completed(structures, vertebrae, (26,), (80,), mode)
    assert instances[10, 5, 5] == 119


def _split(vertebrae: list[int], mode: Mode) -> tuple[Labels, Labels]:
    structures, numbers = column(vertebrae, sacrum=True)
    kinds, _ = completed(structures, numbers, (26,), (80,), mode)
    return structures, kinds


@pytest.mark.parametrize(("mode", "whole"), [(Mode.UPSTREAM, False), (Mode.CORRECTED, True)])
def test_endplates_around_a_thirteenth_thoracic_vertebra_are_told_apart(mode: Mode, whole: bool) -> None:
    """T13 (28) lies between T12 and L1: the plates above and below it are 52 and 53, none is lost."""
    structures, kinds = _split([18, 19, 28, 20, 21], mode)
    top = 10 + 2 * 16
    found = [int(kinds[10, height, 5]) for height in (top - 1, top + 10, top + 15)]
    assert (found == [52, 53, 52]) is whole
    assert ((structures == 62) & (kinds == 0)).any() is np.bool_(not whole)


@pytest.mark.parametrize(("mode", "kind"), [(Mode.UPSTREAM, 53), (Mode.CORRECTED, 52)])
def test_the_topmost_endplate_is_an_upper_one(mode: Mode, kind: int) -> None:
    """The plate above the first body is its upper one; without a sacrum the reference calls it a lower one."""
    structures, numbers = column([20, 21, 22])
    kinds, instances = completed(structures, numbers, (26,), (80,), mode)
    assert kinds[10, 9, 5] == kind
    assert instances[10, 9, 5] == (219 if mode is Mode.CORRECTED else 220)


@pytest.mark.parametrize(("mode", "number"), [(Mode.UPSTREAM, 21), (Mode.CORRECTED, 221)])
def test_endplates_that_come_split_are_endplates_in_the_instance_mask(mode: Mode, number: int) -> None:
    """A model that writes 52 and 53 itself still gets 200 + vertebra."""
    structures, numbers = column([20, 21, 22])
    structures[:, 36][structures[:, 36] == 62] = 53
    _, instances = completed(structures, numbers, (26,), (80,), mode)
    assert instances[10, 36, 5] == number


def _prediction(low: int, high: int) -> Prediction:
    mask = np.ones((4, high - low, 4), dtype=bool)
    return Prediction((slice(0, 4), slice(low, high), slice(0, 4)), mask, mask.size)


def test_one_empty_couple_does_not_end_the_work() -> None:
    """Three predictions that nowhere share a voxel are left out; the reference gives the whole scan up."""
    found = {(n, 1): _prediction(4 * n, 4 * n + 4) for n in range(4)}
    ranked = [(((0, 1), (1, 1), (2, 1)), 0.9), (((3, 1),), 0.0)]
    with pytest.raises(Unusable, match="couple of 3"):
        fuse(found, ranked, (4, 16, 4), Mode.UPSTREAM)
    vertebrae, empty = fuse(found, ranked, (4, 16, 4), Mode.CORRECTED)
    assert empty == 1
    assert vertebrae[0].any(axis=1).tolist() == [False] * 12 + [True] * 4


def side_by_side() -> Labels:
    """Three bodies with discs between; the middle one in two halves at nearly the same height."""
    semantic = np.zeros((20, 90, 60), np.uint8)
    for top in (5, 35, 65):
        semantic[4:16, top : top + 16, 10:50] = 49
    semantic[:, 35:51, 24:36] = 0
    semantic[4:16, 37:51, 36:50] = 49
    semantic[:, 35:37, 36:50] = 0
    for top in (24, 54):
        semantic[4:16, top : top + 6, 10:50] = 100
    return semantic


@pytest.mark.parametrize(("mode", "count"), [(Mode.UPSTREAM, 4), (Mode.CORRECTED, 3)])
def test_two_pieces_of_a_body_at_one_height_give_one_centre(mode: Mode, count: int) -> None:
    """The reference strikes the second piece from a list only, and still cuts two cutouts."""
    assert len(corpus_centres(side_by_side(), 1.0, 10, mode)) == count


@pytest.mark.parametrize(("mode", "expected"), [(Mode.UPSTREAM, 10), (Mode.CORRECTED, 0)])
def test_vertebrae_grow_only_from_where_they_may_be(mode: Mode, expected: int) -> None:
    """Voxels of the first vertebra outside vertebral structures are dropped before growth, not after its first step."""
    structures = np.zeros((9, 12, 9), np.uint8)
    structures[2:7, 1:5, 2:7] = 100
    structures[2:7, 5:7, 2:7] = 49
    structures[2:7, 8:11, 2:7] = 49
    vertebrae = np.zeros((9, 12, 9), np.uint16)
    vertebrae[2:7, 3:5, 2:7] = 10
    vertebrae[2:7, 8:10, 2:7] = 12
    found = with_missing(vertebrae, structures, mode)
    assert found.vertebrae[4, 5, 4] == expected


@pytest.mark.parametrize(("mode", "joined"), [(Mode.UPSTREAM, False), (Mode.CORRECTED, True)])
def test_the_topmost_vertebra_is_looked_for_along_the_body_axis(mode: Mode, joined: bool) -> None:
    """A split C2 is joined whatever the order of the file's axes; the reference looks along the file's second axis."""
    structures, vertebrae = column([2, 3, 4, 5])
    structures[:, :10] = 0
    vertebrae[:, 10:13][vertebrae[:, 10:13] == 2] = 9
    lowest_first = (1, -1)
    found = match(structures, vertebrae, SPACING, mode, lowest_first)
    assert (len(np.unique(found.vertebrae[:, 10:20])) == 2) is joined


@pytest.mark.parametrize(("mode", "number"), [(Mode.UPSTREAM, 26), (Mode.CORRECTED, 29)])
def test_a_twentyfifth_vertebra_is_not_taken_for_the_sacrum(mode: Mode, number: int) -> None:
    """Counted numbers go on at 29, as 26 is the sacrum and 28 is T13."""
    assert ranks(mode, has_c1=False)(25) == number


def _scores(classes: list[int]) -> NDArray[np.float64]:
    table = np.full((len(classes), 24), 0.01)
    table[np.arange(len(classes)), classes] = 1.0
    return table


def test_a_cell_is_solved_again_when_its_best_way_has_a_class_three_times() -> None:
    """Three vertebrae that look like T12: the best path with two of them is found, where the reference loses it."""
    table = _scores([16, 17, 18, 18, 18, 19, 20])
    table[[4, 5, 6], [19, 20, 21]] = 0.9
    scores = Scores(FOLDED, table, np.zeros((7, 6)), np.zeros(7))
    ours, _ = likeliest(scores, steps_for(scores, Mode.CORRECTED, has_c1=False), Mode.CORRECTED)
    theirs, _ = likeliest(scores, steps_for(scores, Mode.UPSTREAM, has_c1=False), Mode.UPSTREAM)
    assert names(ours, scores) == (17, 18, 19, 28, 20, 21, 22)
    assert ours.cost < theirs.cost - 0.5


def _heads(t13: str) -> dict[str, NDArray[np.float32]]:
    """A spine of T10 to L2 with a thirteenth thoracic vertebra that only the head for it knows."""
    vert = np.full((6, 24), 0.01, np.float32)
    for row, level in enumerate((16, 17, 18)):
        vert[row, level] = 0.77
    for row in (3, 4, 5):
        vert[row, row + 15], vert[row, row + 16] = 0.31, 0.46
    thirteenth = np.tile(np.array([0.97, 0.03], np.float32), (6, 1))
    thirteenth[3] = (0.02, 0.98)
    return {"VERT": vert, t13: thirteenth}


@pytest.mark.parametrize(("mode", "found"), [(Mode.UPSTREAM, False), (Mode.CORRECTED, True)])
def test_the_head_for_t13_is_heard(mode: Mode, found: bool) -> None:
    """The network's head is called VT13; the reference looks for VERTT13."""
    scores = combined(_heads("VT13"), mode)
    path, _ = likeliest(scores, steps_for(scores, mode, has_c1=False), mode)
    assert (28 in names(path, scores)) is found


def test_upstream_hears_the_head_under_the_other_name() -> None:
    """A checkpoint with a head VERTT13 is heard in both modes."""
    for mode in BOTH:
        scores = combined(_heads("VERTT13"), mode)
        assert scores.t13.min() < -0.2


@pytest.mark.parametrize(("mode", "thirteen"), [(Mode.UPSTREAM, True), (Mode.CORRECTED, False)])
def test_twelve_thoracic_vertebrae_can_be_asked_for_on_26_classes(mode: Mode, thirteen: bool) -> None:
    """The reference then no longer lets T13 be left out, so that every spine has one."""
    exact = np.full((4, 26), 0.01, np.float32)
    exact[np.arange(4), [17, 18, 20, 21]] = 0.75
    scores = combined({"VERTEX": exact}, mode)
    steps = steps_for(scores, mode, has_c1=False, only_twelve=True)
    path, _ = likeliest(scores, steps, mode)
    assert (28 in names(path, scores)) is thirteen


def test_the_margin_is_the_cost_to_the_best_different_numbering() -> None:
    """Second best minus best, and never negative in mode corrected."""
    scores = Scores(FOLDED, _scores([1, 2, 3, 4]), np.zeros((4, 6)), np.zeros(4))
    best, second = cheapest(scores, steps_for(scores, Mode.CORRECTED, has_c1=False), 2)
    _, margin = likeliest(scores, steps_for(scores, Mode.CORRECTED, has_c1=False), Mode.CORRECTED)
    assert best.classes == (1, 2, 3, 4)
    assert margin == pytest.approx(second.cost - best.cost)
    assert margin == pytest.approx(4 * 0.99)


def test_what_has_no_body_is_no_vertebra() -> None:
    """Mended: a process without a body gets no number; a vertebra with one keeps its own."""
    structures = np.zeros((20, 20, 20), dtype=np.uint8)
    vertebrae = np.zeros((20, 20, 20), dtype=np.uint16)
    structures[2:8, 2:8, 2:8], vertebrae[2:8, 2:8, 2:8] = 43, 1
    structures[2:8, 10:16, 2:8], vertebrae[2:8, 10:16, 2:8] = 49, 2
    found = with_bodies(Matched(structures, vertebrae), voxel_mm3=1.0)
    assert set(np.unique(found.vertebrae)) == {0, 2}
    assert found.unmatched == 1
    assert with_bodies(found, voxel_mm3=1.0) is found
