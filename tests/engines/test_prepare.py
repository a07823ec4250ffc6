"""nnU-Net's preparation of images, its normalisations and its resampling, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spineps_pacs.domain.errors import ModelError, Unusable
from spineps_pacs.engines.nnunet import Plan, Resampling
from spineps_pacs.engines.prepare import coarse_axis, normalised, prepare, resample

HOW = Resampling("resample_data_or_seg_to_shape", 3, 0, None)
PLAN = Plan(
    patch=(4, 4, 4), spacing=(1.65, 0.75, 0.75), forward=(0, 1, 2), backward=(0, 1, 2),
    schemes=("ZScoreNormalization",), masked=(False,), intensities={}, heads=2, regions=None, images=HOW,
    logits=replace(HOW, order=1), architecture="", arguments={},
)  # fmt: skip
OURS = (0.75, 0.75, 1.65)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9999), st.permutations([0, 1, 2]), st.booleans())
def test_labels_find_their_way_back(seed: int, order: list[int], half: bool) -> None:
    """Through crop and any transposition of the plan, a label drawn on the prepared image lies on its voxel again."""
    rng = np.random.default_rng(seed)
    image = np.zeros((7, 9, 5), np.int16)
    image[1:6, 2:8, 1:4] = rng.integers(1, 900, (5, 6, 3))
    spacing = tuple(OURS[::-1][axis] for axis in order)
    plan = replace(PLAN, forward=tuple(order), backward=tuple(int(n) for n in np.argsort(order)), spacing=spacing)
    ready = prepare(image, OURS, plan, half)
    assert not ready.resampled
    assert ready.data.dtype == (np.float16 if half else np.float32)
    assert ready.data.size == 5 * 6 * 3
    brightest = (ready.data[0] == ready.data[0].max()).astype(np.uint8)
    back = ready.labels_back(brightest)
    assert back.shape == image.shape
    np.testing.assert_array_equal(np.unique(image[back == 1]), [image.max()])


def test_z_scores_have_mean_zero_and_spread_one() -> None:
    """Over the whole crop, or over what is not background, which then alone changes; a flat image is all 0."""
    image = np.random.default_rng(1).integers(1, 900, (6, 7, 8)).astype(np.float32)
    got = normalised(image, "ZScoreNormalization", None, {})
    assert (got.mean(), got.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))
    inside = image > 300
    got = normalised(image, "ZScoreNormalization", inside, {})
    assert (got[inside].mean(), got[inside].std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))
    np.testing.assert_array_equal(got[~inside], image[~inside])
    np.testing.assert_array_equal(normalised(np.full((3, 3, 3), 5.0), "ZScoreNormalization", None, {}), 0)


def test_the_other_normalisations() -> None:
    """CT is clipped and scaled by the plan's numbers, the range goes to 0..1, none is none, another is refused."""
    image = np.array([[[-10.0, 20.0, 400.0]]])
    facts = {"percentile_00_5": 0.0, "percentile_99_5": 100.0, "mean": 50.0, "std": 25.0}
    np.testing.assert_allclose(normalised(image, "CTNormalization", None, facts), [[[-2.0, -1.2, 2.0]]], rtol=1e-6)
    np.testing.assert_allclose(normalised(image, "RescaleTo01Normalization", None, {})[0, 0, [0, 2]], [0, 1])
    np.testing.assert_array_equal(normalised(image, "NoNormalization", None, {}), image)
    with pytest.raises(ModelError, match="WarpNormalization"):
        normalised(image, "WarpNormalization", None, {})


def test_an_empty_image_is_refused() -> None:
    """All zero: there is nothing to crop to."""
    with pytest.raises(Unusable, match="empty"):
        prepare(np.zeros((3, 4, 5), np.int16), OURS, PLAN, False)


@pytest.mark.parametrize(
    ("now", "then", "forced", "axis"),
    [
        ((4.0, 1.0, 1.0), (1.0, 1.0, 1.0), None, 0),
        ((1.0, 1.0, 1.0), (1.0, 5.0, 1.0), None, 1),
        ((3.0, 1.0, 1.0), (1.0, 1.0, 1.0), None, None),
        ((4.0, 4.0, 1.0), (1.0, 1.0, 1.0), None, None),
        ((2.0, 1.0, 1.0), (1.0, 1.0, 1.0), True, 0),
        ((9.0, 1.0, 1.0), (1.0, 1.0, 1.0), False, None),
    ],
)
def test_a_coarse_axis_is_resampled_apart(
    now: tuple[float, ...], then: tuple[float, ...], forced: bool | None, axis: int | None
) -> None:
    """From a ratio above three on, the first spacing counting first; two coarse axes are none."""
    assert coarse_axis(now, then, forced) == axis


def test_another_spacing_is_resampled_and_comes_back() -> None:
    """A smooth image on the plan's grid has the plan's shape; scores return to the shape of the crop."""
    grid = np.indices((12, 14, 10)).sum(axis=0).astype(np.float32) + 1
    plan = replace(PLAN, spacing=(1.65, 1.5, 1.5), schemes=("NoNormalization",))
    ready = prepare(grid, OURS, plan, False)
    assert ready.resampled
    assert ready.data.shape == (1, 10, 7, 6)
    inner = ready.data[0, 2:-2, 2:-2, 2:-2]
    np.testing.assert_allclose(
        inner, np.add.outer(np.arange(2, 8), np.add.outer(np.arange(2, 5), np.arange(2, 4)) * 2) + 2, atol=0.05
    )
    back = ready.scores_back(np.stack([ready.data[0], -ready.data[0]]))
    assert back.shape == (2, 10, 14, 12)
    stack = grid[None]
    assert resample(stack, (12, 14, 10), (1, 1, 1), (1, 1, 1), HOW) is stack
    with pytest.raises(ModelError, match="by_magic"):
        resample(grid[None], (6, 7, 5), (1, 1, 1), (2, 2, 2), replace(HOW, function="by_magic"))
