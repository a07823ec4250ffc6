"""Renders whole spines for the second labeller: images on its pixel, classes and positions of names, a file a spine.

    python -m training.small_fov_pool --out DIR --first 0 --count 300

Seeds lie far above those of the first labeller's pool (training/pool.py): no spine is shared.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spineps_pacs.analysis.small_fov_fit import NAMES, SACRUM
from spineps_pacs.analysis.small_fov_input import COLUMNS, PIXEL_MM
from spineps_pacs.analysis.small_fov_split import DISC, VERTEBRA
from spineps_pacs.domain.anatomy import CORPUS_ID, DISC_ID, ENDPLATE_ID, ENDPLATE_OFFSET, LEVEL_IDS, SACRUM_ID
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.contrast import random_contrast
from spineps_pacs.phantom.image import photograph, sub_slices
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.voxels import Labels
from spineps_pacs.phantom.wishes import random_wishes

SEED = 9_000_000
"""Spine n is drawn from SEED + n; the first labeller's training lies below two million, its hold-out below one."""
DEPTH = 272
"""Pixels from front to back: 231 mm."""
ABOVE_MM, BELOW_MM = 45.0, 60.0
"""What is rendered beyond the middle of C2 and of S1."""
IMAGES = 2
UNNAMED = 255
"""T13 has no name among those of the networks: nothing is learned from its voxels."""

Rng = np.random.Generator
Bytes = NDArray[np.uint8]


def grid(spine: Spine, rng: Rng) -> Geometry:
    """(slice, row to Anterior, column to Superior) around the whole spine, a little oblique."""
    line = np.array([v.placed.origin for v in spine.vertebrae] + [spine.sacrum[0].placed.origin])
    tall = line[0, 2] - line[-1, 2] + ABOVE_MM + BELOW_MM
    shape = (int(rng.integers(9, 14)), DEPTH, min(COLUMNS, round(tall / PIXEL_MM)))
    spacing = np.array([rng.uniform(3.0, 4.6), PIXEL_MM, PIXEL_MM])
    turn = Rotation.from_euler("xyz", rng.normal(0, (2.5, 1.0, 2.5)).clip(-6, 6), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ (np.array([[-1.0, 0, 0], [0, -1.0, 0], [0, 0, 1.0]]) * spacing)
    middle = (line.min(axis=0) + line.max(axis=0)) / 2
    middle += (rng.normal(0, 4), rng.normal(5, 8), (ABOVE_MM - BELOW_MM) / 2)
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, shape)


def truth(labels: Labels, spine: Spine) -> tuple[Bytes, Bytes]:
    """Classes (1 body with endplates, and S1; 2 disc) and positions of the names (1 C2 to 25 S1) of each voxel."""
    first = first_sacral(labels, spine)
    bone = (labels.structures == CORPUS_ID) | (labels.structures == ENDPLATE_ID) | first
    classes = np.where(bone, VERTEBRA, np.where(labels.structures == DISC_ID, DISC, 0)).astype(np.uint8)
    table = np.zeros(ENDPLATE_OFFSET + 100, dtype=np.uint8)
    for name, level in LEVEL_IDS.items():
        at = NAMES.index(name) + 1 if name in NAMES else UNNAMED
        table[[level, ENDPLATE_OFFSET + level]] = at if name != "C1" else 0
    named = np.where(first, SACRUM, np.where(bone, table[labels.instances], 0)).astype(np.uint8)
    return classes, named


def first_sacral(labels: Labels, spine: Spine) -> NDArray[np.bool_]:
    """The body of S1: the part of the sacrum that lies in the box of its first piece."""
    piece = spine.sacrum[0]
    found: NDArray[np.bool_] = labels.structures == SACRUM_ID
    places = np.argwhere(found)
    here = (labels.geometry.to_world(places) - piece.placed.origin) @ piece.placed.axes.T
    body = piece.body
    half = np.array([body.width / 2, body.depth / 2 + 2, body.height / 2 + 2])
    inside = (np.abs(here) <= half).all(axis=1)
    found[tuple(places[~inside].T)] = False
    return found


def render(number: int, path: Path) -> None:
    """Spine `number` of the pool, its images in two contrasts; written beside and renamed."""
    rng = np.random.default_rng([SEED, number])
    spine = draw_spine(SEED + number, random_wishes(rng))
    geometry = grid(spine, rng)
    parts = sub_slices(spine, geometry, geometry.spacing[0] * float(rng.uniform(0.8, 1.0)), 2)
    classes, named = truth(parts[0], spine)  # half a slice to one side of the image's middle
    images = [
        photograph([p.tissues for p in parts], geometry, random_contrast(rng, wild=0.05), rng) for _ in range(IMAGES)
    ]
    beside = path.with_suffix(".part.npz")
    np.savez(beside, images=np.array(images, dtype=np.float16), classes=classes, named=named)
    beside.replace(path)


def main() -> None:
    """Reads the command line and renders what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for number in range(given.first, given.first + given.count):
        path = given.out / f"spine-{number:05d}.npz"
        if not path.exists():
            render(number, path)


if __name__ == "__main__":
    main()
