"""A report reviewed by the second labeller: names, masks, numbers and flags belong together afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spineps_pacs.analysis.measurements import measure
from spineps_pacs.analysis.opinion_pairs import renumbered
from spineps_pacs.analysis.second_opinion import OpinionSettings
from spineps_pacs.analysis.second_report import SecondSettings, reviewed
from spineps_pacs.analysis.small_fov import instance_ids, named, structure_ids
from spineps_pacs.analysis.small_fov_input import PIXEL_MM
from spineps_pacs.analysis.station_votes import Known, known, votes
from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.masks import UNCONFIRMED, InstanceMask, LevelChoice, LevelMethod, Levels, SemanticMask
from spineps_pacs.domain.report import Flag, ModelUsed, Report
from spineps_pacs.domain.volume import Geometry, Volume
from tests.analysis.columns import Column, Twin, as_series, column, run

SHAPE = (6, 60, 160)
ROWS = np.array([[3.3, 0, 0, 0], [0, 0, PIXEL_MM, 0], [0, -PIXEL_MM, 0, 0], [0, 0, 0, 1]])
TRUE = column(run("T12", "L5"), shape=SHAPE)


def _report(made: Column = TRUE, *, lower: int = 0) -> Report:
    """What a first labeller would say of a column; `lower` shifts its names down."""
    found = named(made.classes, made.said)
    instances, kinds = as_series(instance_ids(found)), as_series(structure_ids(found))
    ids = [int(i) for i in np.unique(instances) if 0 < i < 26]
    instances = renumbered(instances, [(i, i + lower) for i in ids])
    geometry = Geometry(ROWS, instances.shape, "1.2.3")
    volume = Volume(np.ascontiguousarray(as_series(made.classes)).astype(np.float32), geometry)
    levels = Levels(
        LevelMethod.MODEL, tuple(LevelChoice(i + lower, n, i + lower, 0.9) for n, i in enumerate(ids, 1)), margin=2.0
    )
    masks = SemanticMask(np.ascontiguousarray(kinds), geometry), InstanceMask(instances, geometry)
    used = (ModelUsed("semantic", "a", "1", "0" * 64),)
    return Report(volume, *masks, levels, measure(volume, *masks, levels), used, "corrected")


def _kinds(report: Report) -> list[str]:
    return [flag.kind for flag in report.flags]


def test_agreement_leaves_the_report_as_it_is() -> None:
    """Names, masks, numbers and margin stay; the second model is listed, and the reason says that both agree."""
    before = _report()
    after = reviewed(before, Twin(TRUE))
    assert after.flags == ()
    assert [c.level for c in after.levels.choices] == [c.level for c in before.levels.choices]
    assert after.measurements == before.measurements
    assert after.levels.margin == 2.0
    assert after.models[-1].role == "small-fov"
    assert "agree on 6 vertebrae" in after.levels.reason
    assert after.second is not None
    assert (after.second.verdict, after.second.flagged, after.second.shift) == ("agree", False, None)
    assert dict(after.second.names) == {19: "T12", 20: "L1", 21: "L2", 22: "L3", 23: "L4", 24: "L5"}
    assert after.second.confidence is not None
    assert after.second.confidence > 0.99


def test_a_first_labeller_one_too_high_is_flagged() -> None:
    """Shifted names stay the leader's, and are flagged with the shift."""
    after = reviewed(_report(lower=-1), Twin(TRUE))
    assert _kinds(after) == ["labellers-disagree"]
    assert "differ by 1 on all vertebrae: T11 is T12 in small-fov" in after.flags[0].sentence
    assert after.second is not None
    assert (after.second.verdict, after.second.flagged, after.second.shift) == ("shifted", True, 1)
    assert after.second.names[0] == (18, "T12")
    assert all(UNCONFIRMED in c.flags for c in after.levels.choices)
    assert after.levels.choices[0].level == 18


def test_the_second_as_leader_moves_masks_and_numbers() -> None:
    """With the second leading, instances, discs and measurements speak of its names."""
    truth, wanted = _report(), SecondSettings(opinion=OpinionSettings(leader="small-fov"))
    after = reviewed(_report(lower=-1), Twin(TRUE), wanted)
    assert (after.instances.labels == truth.instances.labels).all()
    assert after.measurements == truth.measurements
    assert "labellers-disagree" in _kinds(after)


def test_withheld_names_leave_a_counted_report() -> None:
    """By setting disputed names are withheld: counted, and both flags say so."""
    wanted = SecondSettings(opinion=OpinionSettings(on_disagreement="withhold"))
    after = reviewed(_report(lower=1), Twin(TRUE), wanted)
    assert after.levels.method is LevelMethod.COUNTED
    assert {"counted", "labellers-disagree"} <= set(_kinds(after))


def test_a_second_labeller_that_sees_nothing_is_told() -> None:
    """When the second cannot name, the first's names stay, flagged and all unconfirmed, and a note says why."""
    blind = Twin(replace(TRUE, classes=np.zeros_like(TRUE.classes)))
    after = reviewed(_report(), blind)
    assert _kinds(after) == ["labellers-disagree"]
    assert "only spineps could name" in after.flags[0].sentence
    assert all(UNCONFIRMED in c.flags for c in after.levels.choices)
    assert any("neither a vertebra nor a disc" in note for note in after.volume.notes)


def test_an_earlier_study_remembers_an_unusual_last_vertebra() -> None:
    """That L6 stands on the sacrum stays so for life: an earlier study with it speaks against L5 there."""
    own, before = Known("1.2.3", {}, {19: 19, 20: 20}, 20), Known("9.9", {}, {25: 25}, 25)
    (vote,) = votes(own, [before])
    assert (vote.source, vote.names) == ("an earlier study", ((20, 25),))
    usual, unseen = Known("9.9", {}, {24: 24}, 24), Known("9.9", {}, {25: 25})
    assert votes(own, [usual, unseen]) == ()
    assert votes(Known("1.2.3", {}, {19: 19}), [before]) == ()


def test_without_vertebrae_nobody_is_asked() -> None:
    """A report without vertebrae stays as it is, with a flag; the networks are not run."""
    before, idle = _report(), Twin(TRUE)
    after = reviewed(replace(before, levels=Levels(LevelMethod.COUNTED, ())), idle)
    assert idle.seen is None
    assert "second was not asked" in after.flags[0].sentence
    assert after.second is not None
    assert after.second.verdict == "not asked"
    assert after.models == before.models


def test_a_broken_model_is_an_error() -> None:
    """A network of another kind is not taken for a difference of opinion."""
    odd = Twin(TRUE)
    odd.names = 7
    with pytest.raises(ModelError, match="7 names"):
        reviewed(_report(), odd)


def test_a_neighbouring_station_votes() -> None:
    """A station that shares vertebrae votes for its own names of them; one elsewhere, counted or disputed does not."""
    report, other = _report(), _report(lower=1)
    (vote,) = votes(known(report), [known(other)])
    assert dict(vote.names) == {i: i + 1 for i in (19, 20, 21, 22, 23, 24)}
    far = replace(other.volume, geometry=Geometry(other.volume.geometry.affine, other.volume.geometry.shape, "9.9"))
    disputed = replace(other, flags=(Flag("labellers-disagree", "x"),))
    counted = replace(other, levels=replace(other.levels, method=LevelMethod.COUNTED))
    silent = [known(one) for one in (replace(other, volume=far), disputed, counted)]
    assert votes(known(report), silent) == ()
    after = reviewed(report, Twin(TRUE), others=[known(other)])
    assert "another station (1) speaks against them" in after.flags[0].sentence


def test_what_only_the_second_names_is_as_sure_as_it_says() -> None:
    """Where the first only counted, the joined confidence is no higher than the second's own margin."""
    said = TRUE.said.copy()
    said[:, ::2] = np.where(said[:, ::2] > 0, said[:, ::2] - 1, 0)  # half of the voxels one name higher
    counted = replace(_report(), levels=Levels(LevelMethod.COUNTED, _report().levels.choices))
    after = reviewed(counted, Twin(replace(TRUE, said=said)))
    assert after.second is not None
    assert after.second.verdict == "only one could name"
    assert after.second.confidence is not None
    assert after.second.confidence < 0.1
    sure = reviewed(counted, Twin(TRUE)).second
    assert sure is not None
    assert sure.confidence == pytest.approx(0.9)
