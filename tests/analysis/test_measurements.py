"""What is not measured, and why: cut, too thin, without partner, without name; and masks as networks make them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from spineps_pacs.analysis.measurements import measure
from spineps_pacs.domain.anatomy import CANAL_ID, CORD_ID, MEASUREMENTS, SACRUM_ID, STRUCTURES
from spineps_pacs.domain.masks import InstanceMask, LevelMethod, Levels, SemanticMask
from spineps_pacs.domain.report import Missing
from spineps_pacs.domain.volume import Geometry, Volume
from tests.analysis.solids import Column, Masks, grid, measured, named, paint, values

COARSE = (4.0, 1.0, 1.0)
COUNTED = Levels(LevelMethod.COUNTED, ())
PAIR = Column(levels=(21, 22))
LEVELS = named((21, 22))


@pytest.fixture(scope="module")
def masks() -> Masks:
    return paint(PAIR, grid(COARSE, (66.0, 100.0, 86.0)))


def changed(masks: Masks, structures: np.ndarray, instances: np.ndarray | None = None) -> Masks:
    """Other labels on the same grid."""
    geometry = masks[0].geometry
    return SemanticMask(structures, geometry), InstanceMask(
        masks[1].labels.copy() if instances is None else instances, geometry
    )


def test_every_answer_has_a_number_or_a_reason(masks: Masks) -> None:
    """Each answer is of a known kind, and has a value with a positive uncertainty, or says why not."""
    for (kind, _), answer in measured(masks, LEVELS).items():
        assert kind in MEASUREMENTS
        assert (answer.value is None) == bool(answer.reason), answer
        assert answer.value is None or answer.uncertainty > 0


def test_the_same_masks_give_the_same_numbers(masks: Masks) -> None:
    """Measuring twice gives equal answers, to the last digit."""
    assert measured(masks, LEVELS) == measured(masks, LEVELS)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_the_axes_changes_no_number(masks: Masks, order: tuple[int, int, int]) -> None:
    """As a NIfTI file may have them; which axis the slices lie along is told by the affine alone."""
    geometry = masks[0].geometry
    shape = tuple(geometry.shape[axis] for axis in order)
    turned = Geometry(geometry.affine[:, [*order, 3]], shape)  # type: ignore[arg-type]
    other = tuple(type(mask)(mask.labels.transpose(order), turned) for mask in masks)
    found, wanted = measured(other, LEVELS), measured(masks, LEVELS)  # type: ignore[arg-type]
    assert found.keys() == wanted.keys()
    for key, answer in wanted.items():
        assert (found[key].value, found[key].uncertainty) == pytest.approx((answer.value, answer.uncertainty)), key
        assert found[key].reason == answer.reason


def test_masks_of_another_grid_are_refused(masks: Masks) -> None:
    """Masks that do not lie on the volume's grid are an error that names both shapes."""
    elsewhere = Geometry(np.diag([4.0, 1.0, 1.0, 1.0]), (3, 4, 5))
    with pytest.raises(ValueError, match=r"\(3, 4, 5\)"):
        measure(Volume(np.zeros((3, 4, 5)), elsewhere), *masks, LEVELS)


def test_nothing_found_gives_no_number() -> None:
    """Empty masks give no vertebra, no number, and a reason for every structure and angle."""
    geometry = grid(COARSE, (40.0, 60.0, 60.0))
    empty = (
        SemanticMask(np.zeros(geometry.shape, np.uint8), geometry),
        InstanceMask(np.zeros(geometry.shape, np.uint16), geometry),
    )
    found = measured(empty, COUNTED)
    assert {kind for kind, _ in found} == {
        "structure_volume",
        "lordosis_cervical",
        "kyphosis_thoracic",
        "lordosis_lumbar",
    }
    assert len(found) == len(STRUCTURES) + 3
    assert {m.missing for m in found.values()} == {Missing.NOT_ATTEMPTED}


def test_a_body_cut_by_the_field_of_view_has_no_heights() -> None:
    """A body that the last row cuts has neither heights nor volume nor canal; the whole one above it keeps them."""
    found = measured(paint(PAIR, cropped(grid(COARSE, (66.0, 100.0, 86.0)), rows=75)), LEVELS)
    for kind in ("body_height_anterior", "body_height_ratio", "volume", "canal_area"):
        assert found[kind, 21].value is not None, kind
        assert found[kind, 22].missing is Missing.FAILED, kind
        assert "field of view" in found[kind, 22].reason


def test_an_endplate_in_view_still_serves_its_neighbour() -> None:
    """The slip of a whole body on one that is cut below, and the disc between them, are measured all the same."""
    found = measured(paint(PAIR, cropped(grid(COARSE, (66.0, 100.0, 86.0)), rows=78)), LEVELS)
    truth = PAIR.truth()
    for key in (("slip", 21), ("disc_height_middle", 121)):
        assert found[key].value == pytest.approx(truth[key], abs=1.1), key


def test_a_canal_cut_at_its_back_has_no_area() -> None:
    """Where the last column cuts the canal, area and depth are missing, and heights are not."""
    geometry = grid(COARSE, (66.0, 100.0, 86.0))
    affine = geometry.affine.copy()
    narrow = Geometry(affine, (geometry.shape[0], geometry.shape[1], 70))
    found = measured(paint(PAIR, narrow), LEVELS)
    assert found["canal_area", 21].value is None
    assert "field of view" in found["canal_ap_diameter", 22].reason
    assert found["body_height_middle", 22].value is not None


def test_without_a_disc_there_is_no_disc_height(masks: Masks) -> None:
    """A missing disc is named as such, and the slip does not need it."""
    instances = masks[1].labels.copy()
    instances[instances > 100] = 0
    found = measured(changed(masks, masks[0].labels.copy(), instances), LEVELS)
    assert "no disc" in found["disc_height_middle", 121].reason
    assert found["slip", 21].value is not None


def test_without_cord_its_area_is_not_attempted(masks: Masks) -> None:
    """Below the conus there is a canal and no cord: the canal's area stays the same."""
    structures = masks[0].labels.copy()
    structures[structures == CORD_ID] = CANAL_ID
    found = measured(changed(masks, structures), LEVELS)
    assert found["cord_area", 22].missing is Missing.NOT_ATTEMPTED
    assert found["canal_area", 22].value == measured(masks, LEVELS)["canal_area", 22].value


def test_without_a_canal_heights_are_measured_as_before(masks: Masks) -> None:
    """A missing canal costs the canal's numbers only; the patient's back then says where posterior is."""
    structures = masks[0].labels.copy()
    structures[np.isin(structures, (CANAL_ID, CORD_ID))] = 0
    found, before = measured(changed(masks, structures), LEVELS), measured(masks, LEVELS)
    assert found["canal_area", 22].value is None
    assert found["body_height_posterior", 22].value == pytest.approx(before["body_height_posterior", 22].value, abs=0.1)


def test_counted_vertebrae_have_heights_and_no_angles() -> None:
    """Without names the heights are the same, and each angle says which name it misses."""
    column = Column(levels=(1, 2))
    found = measured(paint(column, grid(COARSE, (66.0, 100.0, 86.0))), COUNTED)
    assert found["body_height_middle", 1].value == pytest.approx(column.height, abs=1.1)
    assert found["slip", 1].other == 2
    assert found["lordosis_lumbar", 0].reason == "no vertebra is named L1"


def test_the_order_of_levels_says_who_is_next(masks: Masks) -> None:
    """The next one below follows from the positions, not from the ids: T13 (28) stands on L1 (20)."""
    instances = masks[1].labels.copy()
    for old, new in ((21, 28), (121, 128), (22, 20)):
        instances[masks[1].labels == old] = new
    found = measured(changed(masks, masks[0].labels.copy(), instances), named((28, 20)))
    assert found["slip", 28].other == 20
    assert found["disc_height_middle", 128].value is not None


def test_neighbours_far_apart_are_none(masks: Masks) -> None:
    """When a vertebra between two was missed, the upper one does not slip on the lower one."""
    column = Column(levels=(20, 21, 22), height=22.0, disc=8.0)
    structures, instances = paint(column, grid(COARSE, (66.0, 110.0, 86.0)))
    lost = instances.labels.copy()
    lost[lost == 21] = 0
    found = measured(changed((structures, instances), structures.labels.copy(), lost), named((20, 22)))
    assert found["slip", 20].missing is Missing.NOT_ATTEMPTED
    assert "mm away" in found["slip", 20].reason


@settings(max_examples=6, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.25))
def test_holes_and_specks_change_little(masks: Masks, seed: int, share: float) -> None:
    """Voxels lost at random inside, and specks of a label elsewhere, move no height by more than a pixel."""
    rng = np.random.default_rng(seed)
    lost = rng.random(masks[0].labels.shape) < share * 0.3
    specks = (rng.random(lost.shape) < share * 0.002) & (masks[1].labels == 0)
    structures, instances = masks[0].labels.copy(), masks[1].labels.copy()
    structures[lost], instances[lost] = 0, 0
    structures[specks], instances[specks] = 49, 21
    found, before = values(changed(masks, structures, instances), LEVELS), values(masks, LEVELS)
    for key, value in before.items():
        if key[0].startswith("body_height") and not key[0].endswith("ratio"):
            assert found[key] == pytest.approx(value, abs=1.0), key


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_mask_is_too_odd_to_answer(seed: int) -> None:
    """Random rubble with valid ids raises nothing and is answered with finite numbers or reasons."""
    rng = np.random.default_rng(seed)
    geometry = grid((4.0, 1.5, 1.5), (28.0, 36.0, 36.0))
    coarse = tuple(int(np.ceil(n / 4)) for n in geometry.shape)
    structures = rng.choice([0, 0, 26, 41, 49, 60, 61, 62, 100], coarse).astype(np.uint8)
    instances = rng.choice([0, 2, 3, 20, SACRUM_ID, 28, 102, 120, 126, 203], coarse).astype(np.uint16)
    blocks = [
        np.kron(a, np.ones((4, 4, 4), a.dtype))[tuple(slice(n) for n in geometry.shape)]
        for a in (structures, instances)
    ]
    masks = (SemanticMask(blocks[0].copy(), geometry), InstanceMask(blocks[1].copy(), geometry))
    for answer in measured(masks, named((2, 3, 28, 20, SACRUM_ID))).values():
        assert answer.value is None or np.isfinite([answer.value, answer.uncertainty]).all()


def cropped(geometry: Geometry, rows: int) -> Geometry:
    """The same grid with its last rows left out."""
    return Geometry(geometry.affine.copy(), (geometry.shape[0], rows, geometry.shape[2]))
