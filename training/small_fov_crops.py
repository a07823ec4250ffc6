"""Small fields of view cut from whole rendered spines, as the second labeller's networks get to see a scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.small_fov_input import ROWS, neighbours

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Rng = np.random.Generator

BATCHES = ((256, 8, 0.45), (448, 4, 0.35), (896, 2, 0.2))
"""Columns of a batch, its slices, and how often: about as many voxels each."""
LEAST_COLUMNS, LEAST_ROWS = 130, 150
"""The smallest field of view in pixels: four upper thoracic vertebrae, the front of the body cut off."""
LEAST_BONE = 200
"""Voxels of vertebra that a slice must show."""
NOISE = 0.03
STRETCH, WAVE = 0.08, 0.08
"""How much longer or shorter a field of view is drawn, as a whole and from place to place: as of other spines."""


@dataclass(frozen=True, eq=False)
class Whole:
    """A spine of the pool: images (n, slice, row, column), classes and names."""

    images: NDArray[np.float16]
    classes: Bytes
    named: Bytes


@dataclass(frozen=True, eq=False)
class Batch:
    """Slices with neighbours (n, 3, rows, columns) and the truth of their middle ones."""

    slices: Floats
    classes: Bytes
    named: Bytes


def open_pool(folder: Path) -> list[Whole]:
    """All finished spines of a pool, in memory."""
    return [
        Whole(z["images"], z["classes"], z["named"]) for z in (np.load(p) for p in sorted(folder.glob("*[0-9].npz")))
    ]


def draw(pool: list[Whole], rng: Rng) -> Batch:
    """One batch: another spine, contrast, field of view and slice for each place in it."""
    columns, count, _ = BATCHES[int(rng.choice(len(BATCHES), p=[share for *_, share in BATCHES]))]
    found = [_slice(pool, columns, rng) for _ in range(count)]
    slices, classes, named = (np.stack(part) for part in zip(*found, strict=True))
    return Batch(slices, classes, named)


def _slice(pool: list[Whole], columns: int, rng: Rng) -> tuple[Floats, Bytes, Bytes]:
    """A slice with its neighbours in a field of so many columns; drawn again where too little bone is seen."""
    while True:
        whole = pool[int(rng.integers(len(pool)))]
        box = _field(whole, columns, rng)
        bone = (whole.named[(slice(None), *box)] > 0).sum(axis=(1, 2))
        able = np.flatnonzero(bone >= LEAST_BONE)
        if len(able):
            return _cut(whole, box, (int(rng.choice(able)), columns), rng)


def _field(whole: Whole, columns: int, rng: Rng) -> tuple[slice, slice]:
    """Rows and columns of a field of view: it fills between a half and all of the columns of its batch.

    One that would begin or end beyond what is rendered is moved back, so that both ends of the spine are seen as often.
    """
    rows, tall = whole.classes.shape[1:]
    high = min(tall, int(rng.integers(max(LEAST_COLUMNS, columns // 2), columns + 1)))
    deep = int(rng.integers(LEAST_ROWS, rows + 1))
    low = int(np.clip(rng.integers(-high // 2, tall - high // 2 + 1), 0, tall - high))
    bone = np.argwhere((whole.named[:, :, low : low + high] > 0).any(axis=(0, 2)))
    middle = float(bone.mean()) if len(bone) else rows / 2
    front = int(np.clip(middle - deep / 2 + rng.normal(0, 15), 0, rows - deep))
    return slice(front, front + deep), slice(low, low + high)


def _cut(whole: Whole, box: tuple[slice, slice], at: tuple[int, int], rng: Rng) -> tuple[Floats, Bytes, Bytes]:
    """The slice as the networks see it: scaled by its whole volume, rows centred, the top at the superior end.

    The range of the volume is that of every second pixel each way.
    """
    number, columns = at
    volume = whole.images[(int(rng.integers(len(whole.images))), slice(None), *box)]
    some = volume[:, ::2, ::2].astype(np.float32)
    near = neighbours(len(volume))[number][:: int(rng.choice((-1, 1)))]
    seen = (volume[near].astype(np.float32) - some.min()) / max(float(np.ptp(some)), 1e-6)
    seen, classes, named = _stretched(seen, (whole.classes[(number, *box)], whole.named[(number, *box)]), columns, rng)
    noise = rng.standard_normal(seen.shape, dtype=np.float32) * np.float32(NOISE * rng.random())
    seen = np.clip(np.clip(seen, 0, 1) ** np.float32(rng.uniform(0.75, 1.3)) + noise, 0, 1)
    high, deep = seen.shape[2], seen.shape[1]
    above = (ROWS - deep) // 2
    place = (slice(above, above + deep), slice(columns - high, columns))
    image = np.zeros((3, ROWS, columns), dtype=np.float32)
    image[(slice(None), *place)] = seen
    truth = np.zeros((2, ROWS, columns), dtype=np.uint8)
    truth[(0, *place)], truth[(1, *place)] = classes, named
    return image, truth[0], truth[1]


def _stretched(seen: Floats, truth: tuple[Bytes, Bytes], columns: int, rng: Rng) -> tuple[Floats, Bytes, Bytes]:
    """Rows and columns drawn longer here and shorter there; the truth goes to the nearest pixel."""
    classes, named = truth
    for axis, most in ((1, ROWS), (2, columns)):
        at = _places(seen.shape[axis], most, rng)
        left = np.minimum(at.astype(np.intp), seen.shape[axis] - 2)
        part = (at - left).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
        seen = seen.take(left, axis) * (1 - part) + seen.take(left + 1, axis) * part
        classes, named = (t.take(np.rint(at).astype(np.intp), axis - 1) for t in (classes, named))
    return seen, classes, named


def _places(count: int, most: int, rng: Rng) -> NDArray[np.float64]:
    """Where the pixels of a stretched axis come from, increasing from 0 to the last pixel."""
    much = min(most, round(count * float(rng.uniform(1 - STRETCH, 1 + STRETCH))))
    along = np.linspace(0, 1, much)
    turns = float(rng.uniform(0.5, 2))
    way = along + WAVE * rng.random() / (2 * np.pi * turns) * np.sin(2 * np.pi * (turns * along + rng.random()))
    return np.asarray((way - way[0]) / (way[-1] - way[0]) * (count - 1))
