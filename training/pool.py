"""Renders spines for training: images on the network's grid, their classes and vertebrae, a folder for each spine.

    python -m training.pool --out DIR --first 0 --count 400

Spine n of a seed is always the same. The first ones have narrow contrasts (the curriculum), later ones all of them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from spineps_pacs.domain.anatomy import HEAD_TO_TAIL, SACRUM_ID
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.contrast import Contrast, random_contrast
from spineps_pacs.phantom.image import clean, finish
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.voxels import Labels, voxelise
from spineps_pacs.phantom.wishes import random_wishes
from training.recipe import CLASSES, SPACING_RIP, class_table

Floats = NDArray[np.float32]
Rng = np.random.Generator

TRAINING_SEED = 1_000_000
"""Spine n is drawn from TRAINING_SEED + n; the hold-out draws below a million (training/holdout.py)."""
NARROW_UNTIL, WIDE_FROM = 40, 160
"""Spines with the narrowest contrasts, and from where on contrasts use all of their ranges."""
IMAGES = 2
"""Contrasts per spine: drawing one costs a fifth of drawing the anatomy."""
POINTS = 400
"""Remembered voxels of each class, from which patches are centred."""


@dataclass(frozen=True)
class Scan:
    """A source grid as a scanner would have it, and how many sub-slices make one slice (1: thin slices with gaps)."""

    geometry: Geometry
    sub_slices: int


def draw_scan(spine: Spine, rng: Rng) -> Scan:
    """A sagittal field of view: often at the sacrum, sometimes at the head, else anywhere; often a little oblique."""
    spacing = (float(rng.uniform(2.4, 5.0)), float(rng.uniform(0.7, 1.05)), 0.0)
    spacing = (spacing[0], spacing[1], spacing[1])
    height = float(rng.uniform(430, 600) if rng.random() < 0.1 else rng.uniform(110, 360))
    extent = (float(rng.uniform(46, 96)), height, float(rng.uniform(110, 230)))
    shape = tuple(max(4, round(mm / step)) for mm, step in zip(extent, spacing, strict=True))
    axes = np.array([[-1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    turn = Rotation.from_euler("xyz", rng.normal(0, (3.0, 3.0, 3.0)).clip(-8, 8), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ (axes * np.array(spacing)[:, None]).T
    affine[:3, 3] = _centre(spine, rng, height) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Scan(Geometry(affine, (shape[0], shape[1], shape[2])), 1 if rng.random() < 0.2 else 2)


def _centre(spine: Spine, rng: Rng, height: float) -> NDArray[np.float64]:
    """The middle of the field of view, LPS mm."""
    line = np.array([v.placed.origin for v in spine.vertebrae] + [s.placed.origin for s in spine.sacrum])
    top, bottom = line[0, 2], spine.sacrum[0].placed.origin[2]
    draw = rng.random()
    if draw < 0.4:
        z = bottom - rng.uniform(20, 130) + height / 2
    elif draw < 0.6:
        z = top + rng.uniform(-10, 80) - height / 2
    else:
        z = rng.uniform(bottom, top)
    near = np.abs(line[:, 2] - z) <= max(height / 2, 30)
    middle = line[near].mean(axis=0) if near.any() else line[np.argmin(np.abs(line[:, 2] - z))]
    return np.array([middle[0] + rng.normal(0, 6), middle[1] + rng.normal(15, 18), z])


def on_network_grid(geometry: Geometry) -> Geometry:
    """The grid to which analysis brings a source: the same first voxel and directions, the network's spacing."""
    factors = np.array(SPACING_RIP) / np.array(geometry.spacing)
    affine = geometry.affine.copy()
    affine[:3, :3] = affine[:3, :3] * factors
    shape = [max(1, round(n / f)) for n, f in zip(geometry.shape, factors, strict=True)]
    return Geometry(affine, (shape[0], shape[1], shape[2]))


def resampled(image: Floats, source: Geometry, target: Geometry) -> Floats:
    """Cubic interpolation as analysis does it, then the z-score of the whole volume."""
    factors = np.array(target.spacing) / np.array(source.spacing)
    moved = affine_transform(image, factors, output_shape=target.shape, order=3, mode="nearest", output=np.float32)
    return np.asarray((moved - moved.mean()) / max(float(moved.std()), 1e-8), dtype=np.float32)


def photograph(tissues: NDArray[np.uint8], scan: Scan, contrast: Contrast, rng: Rng) -> Floats:
    """The image of rendered sub-slices."""
    shape, times = scan.geometry.shape, scan.sub_slices
    signal = clean(tissues, _fine(scan).spacing, contrast, rng)
    averaged = signal.reshape(shape[0], times, *shape[1:]).mean(axis=1, dtype=np.float32)
    return np.asarray(finish(averaged, scan.geometry, contrast, rng), dtype=np.float32)


def _fine(scan: Scan) -> Geometry:
    affine = scan.geometry.affine.copy()
    affine[:3, 0] /= scan.sub_slices
    affine[:3, 3] -= affine[:3, 0] * (scan.sub_slices - 1) / 2
    shape = scan.geometry.shape
    return Geometry(affine, (shape[0] * scan.sub_slices, shape[1], shape[2]))


def contrast_of(number: int, rng: Rng) -> Contrast:
    """Narrow T2w contrasts for the first spines, all of them for the later ones."""
    share = float(np.clip((number - NARROW_UNTIL) / (WIDE_FROM - NARROW_UNTIL), 0, 1))
    if share == 0:
        return random_contrast(rng, family="TSE", spread=0.4)
    return random_contrast(rng, wild=0.08 * share, spread=0.4 + 0.6 * share)


def vertebra_numbers(labels: Labels) -> NDArray[np.uint8]:
    """1 for the first possible vertebra of the head and so on, on structures 41 to 49; 0 elsewhere."""
    order = np.zeros(300, dtype=np.uint8)
    for position, identity in enumerate(HEAD_TO_TAIL, start=1):
        order[identity] = 0 if identity == SACRUM_ID else position
    bone = (labels.structures >= 41) & (labels.structures <= 49)
    return np.asarray(np.where(bone, order[labels.instances], 0), dtype=np.uint8)


def _points(classes: NDArray[np.uint8], rng: Rng) -> NDArray[np.int16]:
    rows = []
    for number in range(1, len(CLASSES) + 1):
        places = np.argwhere(classes == number)
        chosen = places[rng.permutation(len(places))[:POINTS]]
        rows.append(np.column_stack([chosen, np.full(len(chosen), number)]))
    return np.concatenate(rows).astype(np.int16)


def render(number: int, folder: Path) -> None:
    """Spine `number` of the pool; its points are written last and say that it is complete."""
    rng = np.random.default_rng([TRAINING_SEED, number])
    spine = draw_spine(TRAINING_SEED + number, random_wishes(rng))
    scan = draw_scan(spine, rng)
    target = on_network_grid(scan.geometry)
    labels = voxelise(spine, target)
    classes = np.array(class_table(), dtype=np.uint8)[labels.structures]
    tissues = voxelise(spine, _fine(scan)).tissues
    folder.mkdir(parents=True, exist_ok=True)
    for turn in range(IMAGES):
        image = photograph(tissues, scan, contrast_of(number, rng), rng)
        np.save(folder / f"image-{turn}.npy", resampled(image, scan.geometry, target).astype(np.float16))
    np.save(folder / "classes.npy", classes)
    np.save(folder / "vertebrae.npy", vertebra_numbers(labels))
    np.save(folder / "points.npy", _points(classes, rng))


def main() -> None:
    """Reads the command line and renders what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=400)
    given = parser.parse_args()
    for number in range(given.first, given.first + given.count):
        folder = given.out / f"spine-{number:06d}"
        if not (folder / "points.npy").exists():
            render(number, folder)


if __name__ == "__main__":
    main()
