"""Two labellers compared: the verdicts, what is flagged or withheld, and how other votes count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings as limits
from hypothesis import strategies as st

from spineps_pacs.analysis.opinion_pairs import USUAL, Pair, by_overlap, renumbered
from spineps_pacs.analysis.opinion_verdict import Verdict, compare
from spineps_pacs.analysis.second_opinion import (
    OpinionSettings,
    Vote,
    anchor_votes,
    opinion,
    said_by,
    second_opinion,
)
from spineps_pacs.domain.anatomy import LEVEL_IDS, SACRUM_ID
from spineps_pacs.domain.masks import LevelChoice, LevelMethod, Levels


def _ids(names: str) -> list[int | None]:
    return [None if n == "-" else LEVEL_IDS[n] for n in names.split()]


def _pairs(first: str, second: str) -> list[Pair]:
    """Pairs whose instances are the first's names; "-" is no name, and then the instance counts from 30."""
    return [Pair(a or 30 + n, b, a, b) for n, (a, b) in enumerate(zip(_ids(first), _ids(second), strict=True))]


def _names(levels: Levels) -> list[int | None]:
    return [c.level for c in levels.choices]


@pytest.mark.parametrize(
    ("first", "second", "verdict", "shift"),
    [
        ("L1 L2 L3", "L1 L2 L3", Verdict.AGREE, None),
        ("L1 L2 L3", "L1 - L3", Verdict.AGREE, None),
        ("L1 L2 L3 L4", "T12 L1 L2 L3", Verdict.SHIFTED, -1),
        ("T3 T4 T5", "T5 T6 T7", Verdict.SHIFTED, 2),
        ("L2 L3 L4 L5", "L3 L4 L5 L6", Verdict.SHIFTED, 1),
        ("T12 T13 L1 L2", "T11 T12 T13 L1", Verdict.SHIFTED, -1),
        ("L2 L3 L4 L5 S1", "L3 L4 L5 L6 S1", Verdict.SHIFTED, 1),
        ("L5", "L6", Verdict.TRANSITION, None),
        ("L4 L5 S1", "L4 L6 S1", Verdict.TRANSITION, None),
        ("T11 T12 T13 L1 L2", "T11 T12 L1 L2 L3", Verdict.TRANSITION, None),
        ("T5 T6 T7 T8 L1", "T5 T7 T8 T9 L1", Verdict.DIFFER, None),
        ("T10 T11 L1 L2", "T10 T11 T12 L1", Verdict.TRANSITION, None),
        ("L3 L4 L5 L6 S1", "L3 L4 L5 S1 S1", Verdict.TRANSITION, None),
        ("T3 T4 T5 T6", "T3 T4 T6 T7", Verdict.DIFFER, None),
        ("L1 L2", "- -", Verdict.ONE_ONLY, None),
        ("- -", "L1 L2", Verdict.ONE_ONLY, None),
        ("- -", "- -", Verdict.NEITHER, None),
        ("L1 -", "- L2", Verdict.DIFFER, None),
    ],
)
def test_verdicts(first: str, second: str, verdict: Verdict, shift: int | None) -> None:
    """Every way in which two namings can stand to each other has its verdict, and a shift its size."""
    found = compare(_pairs(first, second))
    assert (found.verdict, found.shift) == (verdict, shift)


def test_agreement_is_shown_without_a_flag() -> None:
    """Where both agree the names stand, and the confidence is above either labeller's own."""
    found = opinion(_pairs("L1 L2 L3 L4 L5", "L1 L2 L3 L4 L5"))
    assert found.flags == ()
    assert _names(found.levels) == _ids("L1 L2 L3 L4 L5")
    assert found.confidence is not None
    assert found.confidence > 0.99
    assert found.levels.reason.startswith("spineps and small-fov agree on 5 vertebrae")


def test_disagreement_is_flagged_with_its_reason() -> None:
    """The leader's names are shown, flagged on the vertebrae concerned, with who said what."""
    found = opinion(_pairs("T11 T12 L1 L2", "T11 T12 L1 L3"))
    (flag,) = found.flags
    assert flag.kind == "labellers-disagree"
    assert flag.instances == (LEVEL_IDS["L2"],)
    assert "L2 is L3 in small-fov; names by spineps; joined confidence 0." in flag.sentence
    assert _names(found.levels) == _ids("T11 T12 L1 L2")
    assert [bool(c.flags) for c in found.levels.choices] == [False, False, False, True]
    assert found.levels.choices[0].confidence > found.levels.choices[3].confidence


def test_names_can_be_withheld() -> None:
    """By setting, names that the labellers dispute are not shown: the vertebrae are counted."""
    found = opinion(_pairs("L1 L2 L3", "T12 L1 L2"), settings=OpinionSettings(on_disagreement="withhold"))
    assert found.levels.method is LevelMethod.COUNTED
    assert _names(found.levels) == [None, None, None]
    assert found.flags[0].sentence.startswith("names are withheld")
    assert found.table == ()


def test_the_other_labeller_can_lead() -> None:
    """With the second as leader its names are shown, gaps counted on, and the instances move to them."""
    pairs = [Pair(20, 19, 20, 19), Pair(21, None, 21, None), Pair(22, 21, 22, 21)]
    found = opinion(pairs, settings=OpinionSettings(leader="small-fov"))
    assert _names(found.levels) == [19, 20, 21]
    assert found.table == ((20, 19), (21, 20), (22, 21))
    assert found.flags[0].instances == (19, 21)
    assert "names by small-fov" in found.levels.reason


def test_the_dens_refutes_a_shift_down_to_the_same_sacrum() -> None:
    """All names one further down, S1 the same: the dens settles it; that L5 stands on the sacrum alone does not."""
    whole, moved = " ".join(f"C{n}" for n in range(2, 8)), " ".join(f"C{n}" for n in range(3, 8))
    thorax = " ".join(f"T{n}" for n in range(1, 13))
    first = f"{whole} {thorax} L1 L2 L3 L4 L5 S1"
    pairs = _pairs(first, f"{moved} {thorax} L1 L2 L3 L4 L5 L6 S1")
    bones = [p.instance for p in pairs if p.instance not in {None, SACRUM_ID}]
    both = anchor_votes(bones, sacrum=True, axis=True)  # type: ignore[arg-type]
    sacrum = anchor_votes(bones, sacrum=True, axis=False)  # type: ignore[arg-type]
    assert "on all vertebrae above the sacrum: C2 is C3 in small-fov" in opinion(pairs).flags[0].sentence
    assert opinion(pairs, sacrum).flags
    assert not opinion(pairs, both).flags


def test_the_sacrum_settles_a_shift_of_a_labeller_that_did_not_see_it() -> None:
    """Names that all lie one too high leave L5 to nobody, unless the other counted from the same sacrum."""
    sacrum = anchor_votes(_ids("L2 L3 L4 L5"), sacrum=True, axis=False)  # type: ignore[arg-type]
    assert not opinion(_pairs("L2 L3 L4 L5", "L1 L2 L3 L4"), sacrum).flags
    assert opinion(_pairs("L2 L3 L4 L5 S1", "L1 L2 L3 L4 S1"), sacrum).flags


WHOLE = " ".join(
    [f"C{n}" for n in range(2, 8)] + [f"T{n}" for n in range(1, 13)] + [f"L{n}" for n in range(1, 6)] + ["S1"]
)


@pytest.mark.parametrize(
    ("second", "sacrum", "axis", "flagged"),
    [
        ("C2 " + WHOLE[:-3], True, True, False),
        ("C2 " + WHOLE[:-3], True, False, True),
        ("C2 " + WHOLE[:-3], False, True, True),
        (WHOLE.replace("T12 L1 L2 L3 L4 L5", "L1 L2 L3 L4 L5 L6"), True, True, True),
    ],
    ids=["one up but for C2", "no dens in view", "no sacrum in view", "11 thoracic and 6 lumbar"],
)
def test_anchors_at_both_ends_settle_what_lies_between(second: str, sacrum: bool, axis: bool, flagged: bool) -> None:
    """Dens and sacrum fit the first's names alone; where they fit both namings, or one end is free, all is flagged."""
    pairs = _pairs(WHOLE, second)
    bones = [p.instance for p in pairs if p.instance is not None and p.instance != SACRUM_ID]
    found = opinion(pairs, anchor_votes(bones, sacrum=sacrum, axis=axis))
    assert found.comparison.verdict in {Verdict.TRANSITION, Verdict.DIFFER}
    assert bool(found.flags) is flagged


def test_a_sacrum_alone_has_no_ends() -> None:
    """Nothing but a sacrum, which the second takes for L6: there is nothing between two ends that could be settled."""
    found = opinion(_pairs("S1", "L6"), (said_by("an earlier study", {SACRUM_ID: SACRUM_ID}, 0.97),))
    assert found.comparison.verdict is Verdict.TRANSITION
    assert found.flags


def test_one_alone_is_flagged_unless_something_speaks_for_it() -> None:
    """When only one could name, an anchor that fits lets the names stand; without one they are flagged."""
    pairs = _pairs("L3 L4 L5", "- - -")
    assert opinion(pairs).flags
    fits = anchor_votes(_ids("L3 L4 L5"), sacrum=True, axis=False)  # type: ignore[arg-type]
    assert not opinion(pairs, fits).flags
    against = (said_by("an earlier study", {LEVEL_IDS["L4"]: LEVEL_IDS["L3"]}, 0.9),)
    assert "an earlier study speaks against them" in opinion(pairs, against).flags[0].sentence


def test_an_anchor_settles_a_shift() -> None:
    """When the second's names are all shifted and an anchor fits the first's alone, these stand without a flag."""
    pairs = _pairs("C2 C3 C4 C5", "C3 C4 C5 C6")
    dens = anchor_votes(_ids("C2 C3 C4 C5"), sacrum=False, axis=True)  # type: ignore[arg-type]
    assert opinion(pairs).flags
    assert not opinion(pairs, dens).flags
    wrong = _pairs("C3 C4 C5 C6", "C2 C3 C4 C5")
    votes = anchor_votes(_ids("C3 C4 C5 C6"), sacrum=False, axis=True)  # type: ignore[arg-type]
    assert "the dens in view speaks against them" in opinion(wrong, votes).flags[0].sentence
    other = (said_by("the station below", {LEVEL_IDS["C4"]: LEVEL_IDS["C5"]}, 0.9),)
    assert opinion(pairs, (*dens, *other)).flags


def test_a_vote_about_other_vertebrae_says_nothing() -> None:
    """An empty vote, or one about vertebrae that are not in view, vouches for nothing."""
    pairs = _pairs("L3 L4 L5", "- - -")
    for names in ({}, {5: 5}):
        found = opinion(pairs, [said_by("the station above", names, 0.99)])
        assert found.flags
        assert "speaks" not in found.levels.reason


def test_only_the_second_could_name() -> None:
    """Counted vertebrae get the second's names, and their ids move there; a gap is counted on."""
    pairs = [Pair(2, 20, None, 20), Pair(3, None, None, None), Pair(4, 22, None, 22)]
    found = opinion(pairs)
    assert _names(found.levels) == [20, 21, 22]
    assert found.table == ((2, 20), (3, 21), (4, 22))
    assert found.comparison.sentence == "only small-fov could name the vertebrae"


def test_names_that_do_not_run_downwards_are_not_shown() -> None:
    """Two vertebrae of one name, from the only labeller that could name, leave the vertebrae counted and flagged."""
    found = opinion([Pair(2, 20, None, 20), Pair(3, 21, None, 20)])
    assert found.levels.method is LevelMethod.COUNTED
    assert found.flags


def test_an_anchor_against_both_flags_or_weighs() -> None:
    """The sacrum under L3 speaks against names that both gave: flagged, or by setting only weighed."""
    pairs = _pairs("L1 L2 L3", "L1 L2 L3")
    votes = anchor_votes(_ids("L1 L2 L3"), sacrum=True, axis=False)  # type: ignore[arg-type]
    assert "the sacrum in view speaks against them" in opinion(pairs, votes).flags[0].sentence
    assert not opinion(pairs, votes, OpinionSettings(anchors="weigh")).flags


def test_anchors() -> None:
    """Sacrum, dens and last rib each vote for the one level that they mark; none in view gives no vote."""
    assert anchor_votes([5, 6], sacrum=False, axis=False) == ()
    found = anchor_votes([5, 6, 7], sacrum=True, axis=True, last_rib=6)
    assert [v.names for v in found] == [
        ((7, LEVEL_IDS["L5"]),), ((5, LEVEL_IDS["C2"]),), ((6, LEVEL_IDS["T12"]),),
    ]  # fmt: skip


def test_votes_move_the_confidence() -> None:
    """A vote that fits raises the confidence of disputed names, one that does not lowers it."""
    pairs = _pairs("L1 L2 L3", "T12 L1 L2")
    alone = opinion(pairs).confidence or 0
    fits = opinion(pairs, [Vote("the station above", ((LEVEL_IDS["L1"], LEVEL_IDS["L1"]),), 0.9)]).confidence or 0
    against = opinion(pairs, [Vote("the station above", ((LEVEL_IDS["L1"], LEVEL_IDS["T12"]),), 0.9)]).confidence or 0
    assert against < alone < fits


def test_agreement_on_few_vertebrae_is_no_agreement() -> None:
    """A second labeller that saw one vertebra of five does not vouch for the series."""
    assert opinion(_pairs("L1 L2 L3 L4 L5", "- - L3 - -")).flags


@limits(max_examples=50, deadline=None)
@drawn(st.integers(0, 15), st.integers(2, 8), st.integers(-3, 3))
def test_a_shift_is_never_shown_without_a_flag(start: int, count: int, shift: int) -> None:
    """Whatever part of the spine is in view, names shifted against each other are flagged, and only those."""
    row = USUAL[start + 3 : start + 3 + count]
    other = USUAL[start + 3 + shift : start + 3 + shift + count]
    found = opinion([Pair(a, b, a, b) for a, b in zip(row, other, strict=False)])
    assert bool(found.flags) == (shift != 0)
    assert found.comparison.shift == (shift or None)


def _column(ids: list[int], thick: int = 4) -> np.ndarray:
    labels = np.zeros((2, 6, thick * len(ids)), np.uint16)
    for n, i in enumerate(ids):
        labels[..., thick * n : thick * (n + 1)] = i
    return labels


def _levels(ids: list[int]) -> Levels:
    return Levels(LevelMethod.MODEL, tuple(LevelChoice(i, n, i, 0.9) for n, i in enumerate(ids, 1)), margin=0.7)


def test_masks_are_paired_by_overlap() -> None:
    """Vertebrae are the same where one lies mostly in the other; a sacrum in the mask names itself."""
    own, other = _column([22, 23, 24, SACRUM_ID]), _column([22, 23, 24, SACRUM_ID])
    other[:, 2:] = 0
    other[..., :4] = 0
    pairs = by_overlap((own, _levels([22, 23, 24])), (other, _levels([22, 23, 24])))
    assert [(p.instance, p.other) for p in pairs] == [(22, None), (23, 23), (24, 24), (26, 26), (None, 22)]


def test_from_masks_to_an_opinion() -> None:
    """Whole results join: the margin of the first stays when its names do, and ids of discs move with a vertebra."""
    own = _column([22, 122, 23, 123])
    same = second_opinion((own, _levels([22, 23])), (own, _levels([22, 23])))
    assert same.levels.margin == 0.7
    other = renumbered(own, ((22, 21), (23, 22)))
    assert set(np.unique(other)) == {21, 121, 22, 122}
    moved = second_opinion(
        (own, _levels([22, 23])), (other, _levels([21, 22])), settings=OpinionSettings(leader="small-fov")
    )
    assert (renumbered(own, moved.table) == other).all()
    assert moved.comparison.verdict is Verdict.SHIFTED


def test_renumbering_moves_all_at_once() -> None:
    """Ids that move onto each other's places do not run into each other."""
    assert list(renumbered(np.array([20, 21, 120, 221]), ((20, 21), (21, 22)))) == [21, 22, 121, 222]


def test_an_anomaly_that_both_see_answers_the_sacrum() -> None:
    """The sacrum counts on L5; where both name L6 above it, or L4, the report tells the anomaly and no dispute."""
    for row in ("L4 L5 L6", "L2 L3 L4"):
        votes = anchor_votes(_ids(row), sacrum=True, axis=False)  # type: ignore[arg-type]
        assert opinion(_pairs(row, row), votes).flags == ()
    pairs = _pairs("L4 L5 L6", "L3 L4 L5")
    assert opinion(pairs, anchor_votes(_ids("L4 L5 L6"), sacrum=True, axis=False)).flags  # type: ignore[arg-type]
