"""The semantic phase brings any image to the model's grid, keeps the mask there, and names what it cannot use."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spineps_pacs.analysis import semantic as phase
from spineps_pacs.analysis.bias import correct
from spineps_pacs.analysis.geometry import axes_of, crop, turn
from spineps_pacs.analysis.semantic import SemanticSettings
from spineps_pacs.analysis.semantic_cleaning import Cleaning
from spineps_pacs.domain.errors import Cancelled, Unusable
from spineps_pacs.domain.ports import ModelInfo, SemanticGrid, SemanticPrediction, Watch, unwatched
from spineps_pacs.domain.volume import Geometry, Volume

AS_IT_IS = Cleaning(False, False, False, False)
PLAIN = SemanticSettings(correct_bias=False, cleaning=AS_IT_IS)
SAGITTAL = np.array([[3.3, 0, 0, -40], [0, 0, 0.8, -60], [0, -0.8, 0, 90], [0, 0, 0, 1.0]])
"""Slices to the Left, rows downwards, columns to Posterior."""


@dataclass
class Bright:
    """An engine that calls bright voxels 49 and remembers what it was shown."""

    grid: SemanticGrid = field(default_factory=lambda: SemanticGrid((1.0, 1.0, 2.0)))
    info: ModelInfo = field(default_factory=lambda: ModelInfo("semantic", "bright", "", ""))
    above: float = 300
    folds: int = 1
    seen: list[Volume] = field(default_factory=list)

    def predict(self, image: Volume, watch: Watch) -> SemanticPrediction:
        watch(1, 1)
        self.seen.append(image)
        labels = np.where(image.voxels > self.above, 49, 0).astype(np.uint8)
        more = tuple(np.where(image.voxels > self.above + 100 * n, 49, 0).astype(np.uint8) for n in range(self.folds))
        return SemanticPrediction(labels, more if self.folds > 1 else ())


def block(affine: np.ndarray = SAGITTAL, kind: str = "int16") -> Volume:
    """A bright block in a dim field."""
    voxels = np.full((12, 60, 50), 40)
    voxels[3:9, 20:45, 12:30] = 900
    voxels[:, :3] = 0
    return Volume(voxels.astype(kind), Geometry(affine, voxels.shape, "1.2"))


def middle(labels: np.ndarray, geometry: Geometry) -> np.ndarray:
    return geometry.to_world(np.argwhere(labels).mean(axis=0))


def test_the_network_sees_its_own_grid() -> None:
    """Axes to Posterior, Inferior, Right, the model's spacing, the image's type and frame of reference."""
    engine = Bright()
    found = phase.segment(block(), engine, PLAIN, unwatched)
    shown = engine.seen[0]
    assert axes_of(shown.geometry) == "PIR"
    np.testing.assert_allclose(shown.geometry.spacing, (1.0, 1.0, 2.0))
    assert shown.voxels.dtype == np.int16
    assert shown.geometry.frame_of_reference_uid == "1.2"
    assert found.mask.geometry is shown.geometry
    assert found.source.same_grid(block().geometry)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_the_way_the_image_is_stored_does_not_matter(order: list[int], flips: tuple[bool, ...]) -> None:
    """The same image with its axes permuted and flipped gives the same structures at the same places."""
    base = block()
    letters = axes_of(base.geometry)
    opposite = dict(zip("LRAPSI", "RLPAIS", strict=True))
    to = "".join(opposite[letters[n]] if flip else letters[n] for n, flip in zip(order, flips, strict=True))
    step = turn(base.geometry, to)
    stored = Volume(step.there(base.voxels), step.after)
    one, other = (phase.segment(v, Bright(), PLAIN, unwatched).on_source() for v in (base, stored))
    np.testing.assert_array_equal(step.back(other.labels) > 0, base.voxels > 300)
    np.testing.assert_array_equal(one.labels > 0, base.voxels > 300)


def test_structures_lie_where_the_image_has_them() -> None:
    """On the model's grid and back on the source the block has its centre and its size, also in oblique slices."""
    affine = SAGITTAL.copy()
    turned = np.array([[0.97, 0.2, 0.14], [-0.2, 0.98, 0.01], [-0.14, -0.04, 0.99]])
    left, _, right = np.linalg.svd(turned)
    affine[:3, :3] = left @ right @ affine[:3, :3]
    volume = block(affine)
    found = phase.segment(volume, Bright(), PLAIN, unwatched)
    wanted = middle(volume.voxels > 300, volume.geometry)
    np.testing.assert_allclose(middle(found.mask.labels, found.mask.geometry), wanted, atol=0.5)
    np.testing.assert_allclose(middle(found.on_source().labels, volume.geometry), wanted, atol=0.5)
    size = np.count_nonzero(volume.voxels > 300) * volume.geometry.voxel_volume
    got = np.count_nonzero(found.mask.labels) * found.mask.geometry.voxel_volume
    assert got == pytest.approx(size, rel=0.15)


def test_bias_is_corrected_within_what_is_not_empty() -> None:
    """The network sees the corrected crop in its place; the samples taken are kept and can be replayed."""
    rng = np.random.default_rng(2)
    voxels = np.zeros((14, 70, 60), np.int16)
    voxels[2:12, 8:62, 6:50] = rng.integers(100, 900, (10, 54, 44))
    volume = Volume(voxels, Geometry(SAGITTAL, voxels.shape))
    ready = phase.prepare(volume, SemanticGrid((0.8, 0.8, 3.3)), SemanticSettings())
    part = crop(volume.geometry, (slice(2, 12), slice(8, 62), slice(6, 50)))
    fixed = phase.limited(correct(part.there(voxels), part.after).image.astype(np.int16))
    upright = turn(part.after)
    np.testing.assert_array_equal(ready.image.voxels[10:54, 12:66, 6:16], upright.there(fixed))
    assert not ready.image.voxels[:4].any()
    again = phase.prepare(volume, SemanticGrid((0.8, 0.8, 3.3)), SemanticSettings(bias_samples=ready.bias_samples))
    np.testing.assert_array_equal(again.image.voxels, ready.image.voxels)
    other = phase.prepare(volume, SemanticGrid((0.8, 0.8, 3.3)), SemanticSettings(bias_samples=(1, 1, 1)))
    assert (other.image.voxels != ready.image.voxels).any()


def test_a_warning_of_the_correction_is_noted() -> None:
    """A dark image goes on uncorrected, and the notes say so."""
    dark = block()
    dark = Volume((dark.voxels // 30).astype(np.int16), dark.geometry)
    found = phase.segment(dark, Bright(above=12), SemanticSettings(cleaning=AS_IT_IS), unwatched)
    assert any("no voxel reaches 60" in note for note in found.notes)


@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        ([100, 200, 1600], "int16", [0, 100, 1500]),
        ([0, 1000, 3001], "uint16", [0, 499, 1500]),
        ([-1000, 0, 2000], "int16", [0, 500, 1500]),
        ([0, 7, 9], "uint8", [0, 7, 9]),
        ([0.5, 1.25, 2.5], "float32", [0.0, 0.75, 2.0]),
        ([-32768, 0, 32767], "int16", [0, 750, 1500]),
    ],
)
def test_the_range_is_limited_and_whole_numbers_are_cut_off(
    values: list[float], kind: str, wanted: list[float]
) -> None:
    """From 0, at most 1500, in the image's own type; a smaller range is not stretched."""
    got = phase.limited(np.array(values, dtype=kind))
    assert got.dtype == np.dtype(kind)
    np.testing.assert_array_equal(got, np.array(wanted, dtype=kind))


def test_ct_keeps_its_values() -> None:
    """A model of CT is shown Hounsfield units: no range is set, no bias is taken out, air lies around the image."""
    volume = block()
    units = replace(volume, voxels=(volume.voxels.astype(np.int16) * 4 - 1000).astype(np.int16))
    engine = Bright(grid=SemanticGrid((0.8, 0.8, 3.3), hounsfield=True), above=1500)
    phase.segment(units, engine, SemanticSettings(cleaning=AS_IT_IS), unwatched)
    shown = engine.seen[0].voxels
    assert (int(shown.min()), int(shown.max())) == (-1000, 2600)
    assert int(shown[0, 0, 0]) == -1000


@pytest.mark.parametrize(
    ("spacing", "plane"),
    [
        ((3.3, 0.8, 0.8), "sag"), ((0.8, 3.3, 0.8), "ax"), ((0.8, 0.8, 3.3), "cor"), ((0.9, 1.0, 0.8), "iso"),
        ((3.3, 3.3, 0.8), "cor"), ((1.04, 1.0, 1.0), "iso"), ((1.06, 1.0, 1.0), "sag"),
    ],
)  # fmt: skip
def test_the_plane_is_that_of_the_largest_voxels(spacing: tuple[float, ...], plane: str) -> None:
    """One coarse axis is across the slices; of two coarse ones the fine one is; below 1 mm all are alike."""
    affine = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]]) @ np.diag([*spacing, 1])
    assert phase.plane_of(Geometry(affine, (9, 9, 9))) == plane


def test_what_cannot_be_used_is_said() -> None:
    """Another plane, two slices, no numbers, an empty image, no structure: a sentence each, with the number."""
    voxels = np.random.default_rng(0).integers(0, 900, (12, 40, 40))
    axial = Geometry(np.diag([1.0, 1.0, 4.0, 1.0]), voxels.shape)
    odd = voxels.astype(np.float32)
    odd[3, 4, 5], odd[6, 7, 8] = np.nan, np.inf
    good = Geometry(SAGITTAL, voxels.shape)
    cases = [
        (Volume(voxels, axial), "axial.*sagittal"),
        (Volume(voxels[:2], Geometry(SAGITTAL, (2, 40, 40))), "2 x 40 x 40"),
        (Volume(voxels[:, :1], Geometry(SAGITTAL, (12, 1, 40))), "12 x 1 x 40"),
        (Volume(odd, good), "2 of 19200 voxels"),
        (Volume(np.full(voxels.shape, 7), good), "empty.*7"),
        (Volume(voxels // 9, good), "no structure"),
    ]
    for volume, sentence in cases:
        with pytest.raises(Unusable, match=sentence):
            phase.segment(volume, Bright(), PLAIN, unwatched)


def test_noise_alone_is_no_result() -> None:
    """A mask of which cleaning leaves nothing is not delivered."""
    voxels = np.zeros((12, 40, 40), np.int16)
    voxels[6, 20, 18:21] = 5, 0, 900
    affine = SAGITTAL @ np.diag([2.0 / 3.3, 1 / 0.8, 1 / 0.8, 1])
    volume = Volume(voxels, Geometry(affine, voxels.shape))
    with pytest.raises(Unusable, match="left"):
        phase.segment(volume, Bright(above=400), SemanticSettings(correct_bias=False), unwatched)


@settings(deadline=None)
@given(st.tuples(*[st.floats(0.3, 5.0)] * 3))
def test_a_range_of_resolutions_holds_the_images_own(now: tuple[float, float, float]) -> None:
    """Within the range the image keeps its voxels; outside it comes to the nearest end."""
    grid = SemanticGrid((0.5, 0.6, 1.0), (1.0, 1.2, 4.0))
    got = phase.wanted_zoom(now, grid)
    for z, low, high, chosen in zip(now, grid.spacing_pir, grid.largest_pir or (), got, strict=True):
        assert chosen == min(max(z, low), high)
    assert phase.wanted_zoom(now, SemanticGrid((0.5, 0.6, 1.0))) == (0.5, 0.6, 1.0)


def test_folds_that_disagree_say_by_how_much() -> None:
    """Mean and spread of each structure's volume over the folds; one fold has none."""
    found = phase.segment(block(), Bright(folds=3), PLAIN, unwatched)
    assert [spread.structure for spread in found.folds] == [49]
    spread = found.folds[0]
    shown = Bright(folds=3)
    phase.segment(block(), shown, PLAIN, unwatched)
    image = shown.seen[0]
    volumes = [np.count_nonzero(image.voxels > 300 + 100 * n) * image.geometry.voxel_volume for n in range(3)]
    assert spread.mean_mm3 == pytest.approx(np.mean(volumes))
    assert spread.spread_mm3 == pytest.approx(np.std(volumes, ddof=1))
    assert phase.segment(block(), Bright(), PLAIN, unwatched).folds == ()


def test_cancelling_passes_through() -> None:
    """What the watch raises comes out."""

    def stop(done: int, total: int) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        phase.segment(block(), Bright(), PLAIN, stop)
