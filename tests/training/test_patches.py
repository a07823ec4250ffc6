"""Patches and cutouts for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.cutouts import BODY, Frame, cutout_around, draw_cutout
from training.patches import LARGE, SMALL, draw_patch
from training.recipe import CLASSES, CUTOUT_PIR, MAPPING

SHAPE = (20, 150, 90)


@pytest.fixture
def spine(tmp_path: Path) -> Path:
    """Five blocks as bodies, each with a left process, in the pool's layout."""
    classes, vertebrae = np.zeros((2, *SHAPE), np.uint8)
    for n in range(5):
        rows = slice(5 + 29 * n, 25 + 29 * n)
        classes[6:15, rows, 20:45] = CLASSES.index(49) + 1
        classes[12:15, rows, 60:70] = CLASSES.index(43) + 1
        vertebrae[:, rows] = n + 10
    vertebrae[classes == 0] = 0
    points = np.argwhere(classes > 0)
    np.save(tmp_path / "classes.npy", classes)
    np.save(tmp_path / "vertebrae.npy", vertebrae)
    np.save(tmp_path / "points.npy", np.column_stack([points, classes[classes > 0]]).astype(np.int16))
    for turn in (0, 1):
        np.save(tmp_path / f"image-{turn}.npy", classes.astype(np.float16))
    return tmp_path


def test_same_seed_same_patch(spine: Path) -> None:
    """Seed and pool alone decide about a patch."""
    one, other = (draw_patch(spine, SMALL, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.classes, other.classes)


@pytest.mark.parametrize("shapes", [SMALL, LARGE])
def test_patches_have_a_shape_of_the_list(spine: Path, shapes: tuple) -> None:
    """Also where the volume is smaller than the patch; and shares add up to one."""
    assert sum(share for _, share in shapes) == pytest.approx(1)
    for seed in range(25):
        patch = draw_patch(spine, shapes, np.random.default_rng(seed))
        assert patch.image.shape in {shape for shape, _ in shapes}
        assert patch.classes.shape == patch.image.shape
        assert np.isfinite(patch.image).all()


def test_mirrored_patches_swap_sides(spine: Path) -> None:
    """The left process is on one side of the body always, whether mirrored (and then called right) or not."""
    left, right = (CLASSES.index(identity) + 1 for identity in (43, 44))
    seen = set()
    for seed in range(30):
        classes = draw_patch(spine, LARGE, np.random.default_rng(seed)).classes
        seen |= {left, right} & set(np.unique(classes))
        for number, beyond in ((left, 1), (right, -1)):
            places, bodies = np.argwhere(classes == number), np.argwhere(classes == CLASSES.index(49) + 1)
            if len(places) and len(bodies) and len(np.unique(bodies[:, 0])) == 9:
                assert beyond * (places[:, 0].mean() - bodies[:, 0].mean()) > 0
    assert seen == {left, right}


def test_a_cutout_holds_three_vertebrae(spine: Path) -> None:
    """Around the third block: the second is part 1, the third part 2, the fourth part 3, from head to foot."""
    channels = np.zeros(SHAPE, np.uint8)
    classes = np.load(spine / "classes.npy")
    channels[classes == CLASSES.index(49) + 1] = BODY
    channels[classes == CLASSES.index(43) + 1] = MAPPING[43]
    cutout = cutout_around(channels, np.load(spine / "vertebrae.npy"), 12, Frame(), np.random.default_rng(0))
    heights = [np.argwhere(cutout.parts == part)[:, 1].mean() for part in (1, 2, 3)]
    assert heights == sorted(heights)
    assert abs(heights[1] - CUTOUT_PIR[1] / 2) < 6


def test_parts_lie_on_structures(spine: Path) -> None:
    """No part is asked for where the input shows nothing, whatever the augmentation."""
    for seed in range(12):
        cutout = draw_cutout(spine, np.random.default_rng(seed))
        assert cutout is not None
        assert cutout.channels.shape == CUTOUT_PIR
        assert not (cutout.parts[cutout.channels == 0] > 0).any()
        assert cutout.channels.max() <= BODY
