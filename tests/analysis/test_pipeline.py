"""The whole analysis on phantoms: what comes out, and what still comes out when a part fails."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.pipeline import PHASES, AnalysisSettings, overall
from spineps_pacs.analysis.pipeline import analyse as analyse_all
from spineps_pacs.analysis.semantic import SemanticSettings
from spineps_pacs.domain.anatomy import SACRUM_ID
from spineps_pacs.domain.errors import Cancelled, Unusable
from spineps_pacs.domain.masks import LevelMethod
from spineps_pacs.domain.ports import Engines
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.volume import Geometry, Volume
from tests.analysis import spines


def analyse(volume: Volume, engines: Engines, mode: Mode = Mode.CORRECTED, **more: Any) -> Report:
    """Without the bias correction, which phantoms do not need."""
    settings = AnalysisSettings(mode, semantic=SemanticSettings(correct_bias=False))
    return analyse_all(volume, engines, settings, **more)


def kinds(report: Report) -> set[str]:
    return {flag.kind for flag in report.flags}


@pytest.fixture(scope="module")
def lumbar() -> Report:
    ticks = iter(range(100))
    return analyse(spines.volume("lumbar"), spines.engines("lumbar"), clock=lambda: float(next(ticks)))


def test_masks_lie_on_the_grid_of_the_image(lumbar: Report) -> None:
    """Structures and instances have the volume's geometry."""
    assert lumbar.structures.geometry.same_grid(spines.volume("lumbar").geometry)
    assert lumbar.instances.geometry.same_grid(lumbar.structures.geometry)


def test_vertebrae_are_found_where_they_are(lumbar: Report) -> None:
    """Every whole vertebra of the truth is found under its name, Dice at least 0.9."""
    truth = spines.spine("lumbar").vertebrae
    for level in range(20, 25):
        found, true = lumbar.instances.labels == level, truth == level
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.9


def test_levels_carry_confidence_and_margin(lumbar: Report) -> None:
    """Each level has the probability that the heads give it, the numbering its distance to the next best."""
    assert lumbar.levels.method is LevelMethod.MODEL
    assert [c.position for c in lumbar.levels.choices] == list(range(1, len(lumbar.levels.choices) + 1))
    assert all(c.confidence == pytest.approx(0.9) for c in lumbar.levels.choices)
    assert lumbar.levels.margin is not None
    assert lumbar.levels.margin > 0


def test_timings_are_those_of_the_clock(lumbar: Report) -> None:
    """One time per phase, in the order of the story."""
    assert [phase for phase, _ in lumbar.timings_s] == list(PHASES)
    assert all(seconds == 1.0 for _, seconds in lumbar.timings_s)


def test_numbers_belong_to_instances_of_the_mask(lumbar: Report) -> None:
    """Measurements are of what the masks hold."""
    assert {m.subject for m in lumbar.measurements if m.kind == "volume"} <= set(lumbar.instances.ids())
    assert lumbar.measurements


def test_the_lumbar_lordosis_is_measured_down_to_the_sacrum(lumbar: Report) -> None:
    """The sacrum is no vertebra that is named, and yet the angle's lower end; L1 is whole, so there is a number."""
    (angle,) = (m for m in lumbar.measurements if m.kind == "lordosis_lumbar")
    assert angle.value is not None, angle.reason
    assert angle.other == SACRUM_ID


def test_structures_are_delivered_when_vertebrae_cannot_be_told_apart() -> None:
    """An instance network that sees nothing costs the vertebrae only; the report says so."""
    loaded = spines.engines("lumbar")
    report = analyse(spines.volume("lumbar"), spines.engines("lumbar", vertebra=spines.Blind(loaded.vertebra)))
    assert {49, 61, 100} <= set(report.structures.ids())
    assert not report.instances.ids()
    assert report.levels.choices == ()
    assert "instance-phase-failed" in kinds(report)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("broken", [spines.Mute, spines.Refusing])
def test_a_failed_labelling_counts_from_the_top(mode: Mode, broken: type[spines.Wrapped]) -> None:
    """Vertebrae keep numbers, have no level, and are marked as counted."""
    loaded = spines.engines("lumbar")
    given = spines.engines("lumbar", levels=broken(loaded.levels))
    report = analyse(spines.volume("lumbar"), given, mode)
    assert report.levels.method is LevelMethod.COUNTED
    assert all(c.level is None for c in report.levels.choices)
    assert [c.instance for c in report.levels.choices] == [c.position + 1 for c in report.levels.choices]
    assert "counted" in kinds(report)
    assert "labelling failed" in report.levels.reason


def test_without_a_labelling_model_the_sacrum_is_the_anchor() -> None:
    """Named upwards from L5, with a stated confidence below one."""
    report = analyse(spines.volume("lumbar"), spines.engines("lumbar", levels=None))
    assert report.levels.method is LevelMethod.ANCHOR
    assert report.levels.choices[-1].level == 24
    assert {c.confidence for c in report.levels.choices} == {0.9}


def test_without_a_labelling_model_upstream_keeps_the_ranks() -> None:
    """Mode upstream knows no anchor: numbers from 2 on, as the reference has them."""
    report = analyse(spines.volume("lumbar"), spines.engines("lumbar", levels=None), Mode.UPSTREAM)
    assert report.levels.method is LevelMethod.COUNTED
    assert report.levels.choices[0].instance == 2


def test_without_an_instance_model_discs_divide_the_column() -> None:
    """The plane split finds the vertebrae, and they are named."""
    report = analyse(spines.volume("lumbar"), spines.engines("lumbar", vertebra=None))
    assert [c.level for c in report.levels.choices][-5:] == [20, 21, 22, 23, 24]
    assert [m.role for m in report.models] == ["semantic", "labeling"]


def test_folds_that_disagree_are_told() -> None:
    """Mean and spread of each structure's volume over the folds, and a flag for the one that differs."""
    loaded = spines.engines("lumbar")
    report = analyse(spines.volume("lumbar"), spines.engines("lumbar", semantic=spines.TwoFolds(loaded.semantic)))
    spreads = {f.structure: f for f in report.folds}
    assert spreads[49].spread_mm3 == 0
    assert spreads[100].spread_mm3 > 0.5 * spreads[100].mean_mm3
    assert "Intervertebral disc" in next(f.sentence for f in report.flags if f.kind == "folds-disagree")


def test_a_missing_disc_is_told() -> None:
    """A spine without the disc below L2 is flagged at L2."""
    report = analyse(spines.volume("no-disc"), spines.engines("no-disc"))
    assert 21 in next(f.instances for f in report.flags if f.kind == "disc-missing")


def test_an_absent_structure_is_told() -> None:
    """No canal anywhere is worth a flag."""
    loaded = spines.engines("lumbar")
    report = analyse(spines.volume("lumbar"), spines.engines("lumbar", semantic=spines.Without(loaded.semantic, 61)))
    assert "Spinal canal" in next(f.sentence for f in report.flags if f.kind == "structure-absent")


def test_no_body_still_delivers_structures() -> None:
    """A mask without vertebral bodies is delivered, the vertebrae are missing with a reason."""
    loaded = spines.engines("lumbar")
    report = analyse(spines.volume("lumbar"), spines.engines("lumbar", semantic=spines.Without(loaded.semantic, 49)))
    assert "vertebral body" in next(f.sentence for f in report.flags if f.kind == "instance-phase-failed")
    assert 61 in report.structures.ids()


@pytest.mark.parametrize("mode", list(Mode))
def test_the_network_for_structures_says_what_is_sacrum_and_metal(mode: Mode) -> None:
    """Its ids become 26 and 80 in the instance mask, with and without an instance network."""
    semantic = spines.Planned(spines.engines("lumbar").semantic, sacrum_ids=(26, 61), metal_ids=(60,))
    for parts in ({"semantic": semantic}, {"semantic": semantic, "vertebra": None}):
        report = analyse(spines.volume("lumbar"), spines.engines("lumbar", **parts), mode)
        structures, instances = report.structures.labels, report.instances.labels
        assert set(np.unique(instances[np.isin(structures, (26, 61))])) == {26}
        assert set(np.unique(instances[structures == 60])) == {80}


@pytest.mark.parametrize(("mode", "of_ct", "first"), [
    (Mode.CORRECTED, False, 1), (Mode.CORRECTED, True, 1), (Mode.UPSTREAM, False, 2), (Mode.UPSTREAM, True, 1),
])  # fmt: skip
def test_where_c1_is_known_counting_begins_there(mode: Mode, of_ct: bool, first: int) -> None:
    """The reference does so for CT only; the labelling model has no say in it."""
    loaded = spines.engines("lumbar")
    semantic = spines.Planned(loaded.semantic, has_c1=True, hounsfield=of_ct)
    given = spines.engines("lumbar", semantic=semantic, levels=spines.Refusing(loaded.levels))
    assert analyse(spines.volume("lumbar"), given, mode).levels.choices[0].instance == first


def test_a_thirteenth_thoracic_vertebra_is_an_anomaly() -> None:
    """T13 is named, flagged, and lies between T12 and L1."""
    report = analyse(spines.volume("thirteen"), spines.engines("thirteen"))
    levels = [c.level for c in report.levels.choices]
    assert (19, 28, 20) in [tuple(levels[n : n + 3]) for n in range(len(levels))]
    assert "T13 present" in next(f.sentence for f in report.flags if f.kind == "numbering-anomaly")


def test_work_stops_when_it_is_asked_to() -> None:
    """Cancelled from the watcher of phases passes through, also from within the instance phase."""

    def stop(phase: str, done: int, total: int) -> None:
        if phase == "separate" and done:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        analyse(spines.volume("lumbar"), spines.engines("lumbar"), phases=stop)


def test_an_empty_image_is_refused() -> None:
    """Nothing can be analysed; the sentence says what is wrong."""
    nothing = Volume(np.zeros((20, 30, 10), np.int16), Geometry(spines.spine("lumbar").geometry.affine, (20, 30, 10)))
    with pytest.raises(Unusable, match="empty"):
        analyse(nothing, spines.engines("lumbar"))


def test_a_turned_image_gives_the_turned_masks(lumbar: Report) -> None:
    """The order of the array's axes changes nothing in the patient."""
    volume = spines.volume("lumbar")
    affine = volume.geometry.affine[:, [2, 0, 1, 3]]
    i, j, k = (volume.geometry.shape[n] for n in (2, 0, 1))
    turned = Volume(np.ascontiguousarray(volume.voxels.transpose(2, 0, 1)), Geometry(affine, (i, j, k)))
    report = analyse(turned, spines.engines("lumbar"))
    assert (report.instances.labels.transpose(1, 2, 0) == lumbar.instances.labels).all()


def test_the_whole_only_ever_grows() -> None:
    """Parts of 1000 from the phases rise from 0 to 1000."""
    seen: list[int] = []
    phases = overall(lambda done, _: seen.append(done))
    for phase in PHASES:
        for done in range(3):
            phases(phase, done, 2)
    assert seen[0] == 0
    assert seen[-1] == 1000
    assert all(a <= b for a, b in pairwise(seen))
