"""Tests of phantom/anatomy.py: every wish shows in the labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spineps_pacs.domain.anatomy import LEVEL_IDS
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.tissues import Tissue
from spineps_pacs.phantom.truth import body_heights, slip
from spineps_pacs.phantom.voxels import Labels, voxelise
from spineps_pacs.phantom.wishes import Wishes, level_names, random_wishes
from tests.phantom import grids


def around(spine: Spine, name: str, extent: tuple[float, float, float] = (54, 110, 130)) -> Labels:
    """The labels around a level, 3 x 1.5 x 1.5 mm."""
    x, y, z = spine.vertebra(name).placed.origin
    return voxelise(spine, grids.sagittal((float(x), float(y) + 20, float(z)), extent, (3.0, 1.5, 1.5)))


@pytest.mark.parametrize(("thoracic", "lumbar"), [(11, 5), (12, 4), (12, 6), (13, 5)])
def test_the_number_of_vertebrae_is_as_wished(thoracic: int, lumbar: int) -> None:
    """The labels hold exactly the levels of such a spine, head down."""
    spine = draw_spine(5, Wishes(thoracic=thoracic, lumbar=lumbar))
    labels = voxelise(spine, grids.sagittal((0, -5, 0), (24, 780, 200), (6.0, 2.5, 2.5)))
    wanted = [LEVEL_IDS[n] for n in level_names(thoracic, lumbar)]
    assert {int(i) for i in np.unique(labels.instances) if 0 < i < 100} == set(wanted)
    grid = labels.geometry
    heights = [grid.to_world(np.argwhere(labels.instances == i))[:, 2].mean() for i in wanted]
    assert heights == sorted(heights, reverse=True)


def test_merged_bodies_have_nothing_between_them() -> None:
    """A block vertebra: no disc, no endplates between, two ids that touch."""
    labels = around(draw_spine(6, Wishes(merged="L2")), "L2")
    upper, lower = LEVEL_IDS["L2"], LEVEL_IDS["L3"]
    assert not (labels.instances == 100 + upper).any()
    body = labels.structures == 49
    touching = (body & (labels.instances == upper))[:, :-2] & (body & (labels.instances == lower))[:, 2:]
    assert touching.sum() > 50


def test_a_missing_disc_is_missing() -> None:
    """No disc label between the two; their endplates remain."""
    labels = around(draw_spine(6, Wishes(missing_disc="L2")), "L2")
    level = LEVEL_IDS["L2"]
    assert not (labels.instances == 100 + level).any()
    assert (labels.instances == 200 + level).any()
    assert (labels.instances == 100 + level - 1).any()


def test_a_sacralised_vertebra_reaches_the_alae() -> None:
    """The transverse processes of the last lumbar vertebra grow down, its disc is low."""
    plain, joined = draw_spine(8, Wishes()), draw_spine(8, Wishes(sacralisation=True))
    extent = (126.0, 90.0, 110.0)
    costal = [np.isin(around(s, "L5", extent).structures, (43, 44)).sum() for s in (plain, joined)]
    assert costal[1] > 1.5 * costal[0]
    assert joined.vertebra("L5").disc.height < 0.6 * plain.vertebra("L5").disc.height


def test_scoliosis_bends_sideways() -> None:
    """The largest angle between the up axes of two vertebrae in the coronal plane is near the one wished."""

    def bend(spine: Spine) -> float:
        lean = [np.degrees(np.arctan2(v.placed.axes[2][0], v.placed.axes[2][2])) for v in spine.vertebrae]
        return float(max(lean) - min(lean))

    straight, bent = draw_spine(9, Wishes(scoliosis=0)), draw_spine(9, Wishes(scoliosis=28))
    assert bend(straight) < 2
    assert 18 < bend(bent) < 40


def test_a_fractured_body_is_low() -> None:
    """The broken body loses height, its neighbours none."""
    plain, broken = (draw_spine(10, Wishes(fracture=f)) for f in ((), (("T12", 0.5),)))
    before, after = (body_heights(s.vertebra("T12").body) for s in (plain, broken))
    assert after["middle"] < 0.8 * before["middle"]
    assert after["anterior"] < 0.75 * before["anterior"]
    assert body_heights(broken.vertebra("T10").body) == body_heights(plain.vertebra("T10").body)


def test_listhesis_moves_a_body_forward() -> None:
    """The slip that the truth states is the slip that was wished, to within the ordinary steps."""
    plain, slipped = (draw_spine(11, Wishes(listhesis=x)) for x in ((), (("L4", 8.0),)))
    below = slipped.vertebra("L5")
    assert slip(slipped.vertebra("L4"), below) == pytest.approx(8.0, abs=1.5)
    assert slip(plain.vertebra("L4"), plain.vertebra("L5")) == pytest.approx(0.0, abs=1.5)


def test_a_gap_takes_the_spinous_process() -> None:
    """After a laminectomy the spinous process is gone and scar lies there."""
    labels = around(draw_spine(12, Wishes(gap="L3")), "L3")
    level = LEVEL_IDS["L3"]
    assert not ((labels.instances == level) & (labels.structures == 42)).any()
    assert ((labels.instances == level - 1) & (labels.structures == 42)).any()
    assert (labels.tissues == Tissue.SCAR).sum() > 100


@pytest.mark.parametrize(
    ("wishes", "tissue"),
    [
        (Wishes(metal="L3"), Tissue.METAL),
        (Wishes(haemangioma=("L3",)), Tissue.HAEMANGIOMA),
        (Wishes(degeneration=1.0), Tissue.NUCLEUS_BLACK),
        (Wishes(degeneration=0.0), Tissue.NUCLEUS),
    ],
)
def test_a_pathology_shows_in_the_tissues(wishes: Wishes, tissue: Tissue) -> None:
    """Screws, haemangiomas and discs of either kind can be seen."""
    labels = around(draw_spine(13, wishes), "L3")
    assert (labels.tissues == tissue).sum() > 20


def test_stenosis_narrows_the_canal() -> None:
    """At the disc the canal loses room, the neighbours keep theirs."""
    plain, tight = (draw_spine(14, Wishes(stenosis=x)) for x in ((), (("L3", 0.5),)))

    def room(spine: Spine) -> int:
        v = spine.vertebra("L3")
        x, y, z = v.placed.world(0, v.canal_centre, -v.body.height / 2 - 4)
        part = voxelise(spine, grids.sagittal((float(x), float(y), float(z)), (30, 8, 40), (1.0, 1.0, 1.0)))
        return int((part.structures == 61).sum())

    assert room(tight) < 0.85 * room(plain)


def test_without_ribs_no_rib_marrow() -> None:
    """Ribs belong to thoracic levels only, and can be wished away."""
    tissues = [around(draw_spine(15, Wishes(ribs=r)), "T8").tissues for r in (True, False)]
    assert (tissues[0] == Tissue.RIB_MARROW).any()
    assert not (tissues[1] == Tissue.RIB_MARROW).any()
    lumbar = around(draw_spine(15, Wishes()), "L4").tissues
    assert not (lumbar == Tissue.RIB_MARROW).any()


def test_size_scales_the_whole_spine() -> None:
    """A spine of twice the difference is longer by that factor."""
    small, large = (draw_spine(16, Wishes(size=k)) for k in (0.85, 1.15))

    def length(spine: Spine) -> float:
        return float(spine.vertebrae[0].placed.origin[2] - spine.sacrum[0].placed.origin[2])

    assert length(large) / length(small) == pytest.approx(1.15 / 0.85, abs=0.03)


def test_a_wish_changes_only_what_it_is_about() -> None:
    """The same seed with one more wish is the same patient: bodies far from a merged pair stay as they were."""
    plain = draw_spine(17, Wishes())
    merged = draw_spine(17, replace(plain.wishes, merged="L2"))
    assert merged.vertebra("T5").body == plain.vertebra("T5").body
    assert merged.vertebra("C4").posterior == plain.vertebra("C4").posterior
    assert merged.vertebra("L5").body == plain.vertebra("L5").body


def test_spines_keep_their_balance() -> None:
    """C7 stands near the vertical over the sacrum and C2 looks ahead, whatever the curves and counts."""
    for seed in range(60):
        spine = draw_spine(seed, random_wishes(np.random.default_rng(seed)))
        base, low, top = spine.sacrum[0].placed, spine.vertebra("C7").placed, spine.vertebra("C2").placed
        assert abs(low.origin[1] - base.origin[1]) < 90
        assert abs(np.degrees(np.arctan2(top.axes[2][1], top.axes[2][2]))) < 45
