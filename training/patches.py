"""Draws training patches from a pool of rendered spines: where to look, mirroring, and cheap changes of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, zoom

from training.pool import IMAGES
from training.recipe import mirror_table

Floats = NDArray[np.float32]
Shape = tuple[int, int, int]

Shapes = tuple[tuple[Shape, float], ...]

SMALL: Shapes = (((12, 96, 80), 0.6), ((16, 96, 64), 0.15), ((16, 128, 96), 0.15), ((20, 64, 80), 0.1))
LARGE: Shapes = (((16, 128, 96), 0.7), ((24, 96, 80), 0.1), ((12, 160, 96), 0.1), ((16, 96, 128), 0.1))
"""Patch shapes (R, I, P) and their shares. Small ones give twice the steps in the same time and come first; several, so
that the norms do not learn one size by heart."""

_MIRROR = np.array(mirror_table(), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Patch:
    """One patch: z-scored image and network classes, both (R, I, P)."""

    image: Floats
    classes: NDArray[np.uint8]


def draw_patch(folder: Path, shapes: Shapes, rng: np.random.Generator) -> Patch:
    """A random patch of one rendered spine, augmented."""
    image = np.load(folder / f"image-{rng.integers(IMAGES)}.npy", mmap_mode="r")
    classes = np.load(folder / "classes.npy", mmap_mode="r")
    shape = shapes[int(rng.choice(len(shapes), p=[share for _, share in shapes]))][0]
    box = _box(image.shape, shape, _centre(folder, image.shape, rng), rng)
    cut, target = image[box].astype(np.float32), np.array(classes[box])
    cut, target = _padded(_changed(cut, rng), target, shape, rng)
    if rng.random() < 0.5:
        cut, target = cut[::-1], _MIRROR[target[::-1]]
    return Patch(np.ascontiguousarray(cut), np.ascontiguousarray(target))


def _centre(folder: Path, shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Mostly a voxel of a class drawn at random, else anywhere."""
    points = np.load(folder / "points.npy", mmap_mode="r")
    if rng.random() < 0.2 or not len(points):
        return np.array([rng.integers(n) for n in shape])
    wanted = rng.choice(np.unique(points[:, 3]))
    rows = np.flatnonzero(points[:, 3] == wanted)
    return np.asarray(points[rng.choice(rows), :3], dtype=np.int64)


def _box(
    full: Sequence[int], shape: Shape, centre: NDArray[np.int64], rng: np.random.Generator
) -> tuple[slice, slice, slice]:
    """A box near the centre that stays inside the volume; sometimes smaller than asked, so that padding is learnt."""
    slices = []
    for n, size, middle in zip(full, shape, centre, strict=True):
        length = min(n, size)
        if rng.random() < 0.06:
            length = int(rng.integers(max(1, length * 2 // 3), length + 1))
        jitter = rng.integers(-(size // 4), size // 4 + 1)
        start = int(np.clip(middle + jitter - length // 2, 0, n - length))
        slices.append(slice(start, start + length))
    return (slices[0], slices[1], slices[2])


def _padded(
    image: Floats, classes: NDArray[np.uint8], shape: Shape, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.uint8]]:
    """Grows to the full shape: mostly with the mean, as nnU-Net does, else by the edge or the border's mirror image."""
    gaps = [max(0, want - have) for want, have in zip(shape, image.shape, strict=True)]
    if not any(gaps):
        return image, classes
    before = [int(rng.integers(0, gap + 1)) for gap in gaps]
    widths = [(b, gap - b) for b, gap in zip(before, gaps, strict=True)]
    draw = rng.random()
    if draw < 0.6:
        grown = np.pad(image, widths, constant_values=0.0)
    elif draw < 0.8:
        grown = np.pad(image, widths, mode="edge")
    else:
        grown = np.pad(image, widths, mode="reflect") if min(image.shape) > 1 else np.pad(image, widths, mode="edge")
        classes = np.pad(classes, widths, mode="reflect") if min(classes.shape) > 1 else np.pad(classes, widths)
        return grown, classes
    return grown, np.pad(classes, widths)


def _changed(image: Floats, rng: np.random.Generator) -> Floats:
    """Brightness and contrast, gamma, a smooth field, blur and noise; each of them sometimes."""
    if rng.random() < 0.3:
        image = _gamma(image, rng)
    if rng.random() < 0.3:
        image = image + _field(image.shape, rng) * (image - image.min()) * np.float32(rng.uniform(0.1, 0.4))
    if rng.random() < 0.15:
        sigma = rng.uniform(0.3, 0.9)
        image = gaussian_filter1d(gaussian_filter1d(image, sigma, axis=1), sigma, axis=2)
    if rng.random() < 0.25:
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0.03, 0.25))
    return np.asarray(image * np.float32(rng.uniform(0.75, 1.3)) + np.float32(rng.normal(0, 0.15)), dtype=np.float32)


def _gamma(image: Floats, rng: np.random.Generator) -> Floats:
    low, high = float(image.min()), float(image.max())
    if high - low < 1e-3:
        return image
    unit = (image - low) / (high - low)
    bent = unit ** np.float32(np.exp(rng.uniform(-0.4, 0.4)))
    return np.asarray((bent - bent.mean()) / (bent.std() + 1e-3) * image.std() + image.mean(), dtype=np.float32)


def _field(shape: Sequence[int], rng: np.random.Generator) -> Floats:
    """A smooth random field between about -1 and 1."""
    coarse = gaussian_filter(rng.uniform(-1.6, 1.6, (3, 5, 5)), 0.8)
    grown = zoom(
        coarse, [n / m for n, m in zip(shape, coarse.shape, strict=True)], order=1, grid_mode=True, mode="nearest"
    )
    return np.asarray(grown, dtype=np.float32)
