"""Tests of phantom/image.py and contrast.py: what the picture looks like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.contrast import FAMILIES, T1W, T2W, random_contrast
from spineps_pacs.phantom.image import scan, smooth_noise, synthesise
from spineps_pacs.phantom.tissues import Tissue
from spineps_pacs.phantom.voxels import Labels, voxelise
from spineps_pacs.phantom.wishes import Wishes
from tests.phantom import grids


@pytest.fixture(scope="module")
def labels() -> Labels:
    """Three lumbar vertebrae."""
    spine = draw_spine(21, Wishes(degeneration=0.0))
    x, y, z = spine.vertebra("L2").placed.origin
    return voxelise(spine, grids.sagittal((float(x), float(y) + 15, float(z)), (60, 110, 120), (4.0, 1.0, 1.0)))


def mean(image: np.ndarray, labels: Labels, tissue: Tissue) -> float:
    """Mean signal of a tissue."""
    return float(image[labels.tissues == tissue].mean())


def test_the_same_generator_gives_the_same_image(labels: Labels) -> None:
    """All chance comes from the generator that is handed over."""
    images = [synthesise(labels, T2W, np.random.default_rng(4)) for _ in range(2)]
    assert images[0].tobytes() == images[1].tobytes()
    assert images[0].dtype == np.float32
    assert np.isfinite(images[0]).all()
    assert images[0].min() >= 0


def test_t2_and_t1_look_as_they_should(labels: Labels) -> None:
    """On T2w CSF is brightest and muscle dark; on T1w fat is bright and CSF dark."""
    t2, t1 = (synthesise(labels, c, np.random.default_rng(1)) for c in (T2W, T1W))
    assert mean(t2, labels, Tissue.CSF) > mean(t2, labels, Tissue.NUCLEUS) > mean(t2, labels, Tissue.ANNULUS)
    assert mean(t2, labels, Tissue.MARROW) > mean(t2, labels, Tissue.MUSCLE)
    assert mean(t1, labels, Tissue.FAT) > mean(t1, labels, Tissue.MARROW) > mean(t1, labels, Tissue.CSF)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_treat_fat_in_their_way(labels: Labels, family: str) -> None:
    """Fat is dark in STIR and fat-suppressed images, bright in the others."""
    found = [random_contrast(np.random.default_rng(n), family=family) for n in range(5)]
    ratios = [c.means[Tissue.FAT] / c.means[Tissue.CSF] for c in found]
    assert (max(ratios) < 0.34) if family in ("FS", "STIR") else (min(ratios) > 0.36)
    image = synthesise(labels, found[0], np.random.default_rng(2))
    assert mean(image, labels, Tissue.CSF) > mean(image, labels, Tissue.MUSCLE)


def test_wild_contrasts_come_as_often_as_asked() -> None:
    """With the chance 0.15, about 15 of 100."""
    names = [random_contrast(np.random.default_rng(n), wild=0.15).family for n in range(200)]
    assert 15 <= names.count("WILD") <= 50


def test_noise_ghosts_and_metal_change_the_image(labels: Labels) -> None:
    """More noise is more noise in air; a ghost puts signal where none was."""
    quiet, loud, ghostly = (
        synthesise(labels, replace(T2W, noise=n, ghost=g), np.random.default_rng(3))
        for n, g in ((0.01, 0.0), (0.05, 0.0), (0.01, 0.1))
    )
    void = labels.tissues == Tissue.FLOW_VOID
    assert loud[void].std() > 2 * quiet[void].std()
    assert ghostly[void].mean() > quiet[void].mean() + 0.01


def test_metal_takes_the_signal_around_it() -> None:
    """The void is larger than the screw."""
    spine = draw_spine(22, Wishes(metal="L3"))
    x, y, z = spine.vertebra("L3").placed.origin
    labels = voxelise(spine, grids.sagittal((float(x), float(y) + 15, float(z)), (60, 70, 100), (4.0, 1.0, 1.0)))
    image = synthesise(labels, T2W, np.random.default_rng(5))
    metal = labels.tissues == Tissue.METAL
    beside = np.roll(metal, 2, axis=1) & ~metal & (labels.tissues == Tissue.MARROW)
    assert beside.sum() > 20
    assert (image[beside] < 0.5 * T2W.means[Tissue.MARROW]).mean() > 0.3


def test_thick_slices_average_what_lies_in_them() -> None:
    """The edge of a body is softer across thick slices than in thin ones."""
    spine = draw_spine(23, Wishes())
    x, y, z = spine.vertebra("L3").placed.origin
    grid = grids.sagittal((float(x) + 18, float(y), float(z)), (40, 24, 40), (5.0, 1.0, 1.0))
    calm = replace(
        T2W, noise=0.0, blur=0.01, bias=0.0, coil=0.0, texture=(0.0,) * len(Tissue), marrow_patch=0.0, flow=0.0
    )
    thin, thick = (scan(spine, grid, calm, np.random.default_rng(1), t) for t in (0.01, 5.0))
    assert len(np.unique(thick.round(3))) > 2 * len(np.unique(thin.round(3)))


def test_smooth_noise_has_the_size_of_its_grains() -> None:
    """Neighbours within a grain are alike, voxels two grains apart are not; the variance is about one."""
    noise = smooth_noise(np.random.default_rng(1), (20, 200, 200), (1.0, 1.0, 1.0), 8.0)
    assert np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(noise[:, :-20].ravel(), noise[:, 20:].ravel())[0, 1]) < 0.15
    assert 0.5 < noise.std() < 1.5


def test_a_saturation_band_darkens_the_front_only(labels: Labels) -> None:
    """In front the signal goes, the 110 mm at the back keep theirs."""
    wide = voxelise(draw_spine(21, Wishes()), grids.sagittal((0, -20, 0), (8, 60, 240), (4.0, 2.0, 2.0)))
    plain, banded = (synthesise(wide, replace(T2W, band=b), np.random.default_rng(6)) for b in (0.0, 0.8))
    assert banded[:, :, :40].mean() < 0.35 * plain[:, :, :40].mean()
    assert np.allclose(banded[:, :, -50:].mean(), plain[:, :, -50:].mean(), rtol=0.02)


def test_sharpening_overshoots_at_edges(labels: Labels) -> None:
    """The brightest CSF is brighter, flat places keep their mean."""
    plain, sharp = (
        synthesise(labels, replace(T2W, sharpen=s, noise=0.0), np.random.default_rng(7)) for s in (0.0, 0.9)
    )
    assert np.quantile(sharp, 0.999) > np.quantile(plain, 0.999)
    assert sharp.mean() == pytest.approx(plain.mean(), rel=0.03)
