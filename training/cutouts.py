"""Draws training cutouts for the instance network: three vertebrae from a label volume, augmented and corrupted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt, zoom

from training.recipe import CLASSES, CUTOUT_PIR, CUTOUT_SPACING_PIR, MAPPING, MIRRORED, SPACING_RIP

Bytes = NDArray[np.uint8]
Rng = np.random.Generator

BODY = MAPPING[49]
NEAR_MM = 4.0
"""How far beyond its vertebra a wrongly labelled voxel still counts as part of it."""

_TO_CHANNEL = np.array([0] + [MAPPING.get(identity, 0) for identity in CLASSES], dtype=np.uint8)
_SWAPPED = dict(MIRRORED) | {b: a for a, b in MIRRORED}
_MIRROR = np.arange(BODY + 1, dtype=np.uint8)
for _identity, _other in _SWAPPED.items():
    _MIRROR[MAPPING[_identity]] = MAPPING[_other]


@dataclass(frozen=True)
class Frame:
    """The grid of the label volumes (mm; R, I, P), and spacing (mm) and size of the cutouts made from it (P, I, R)."""

    source_rip: tuple[float, float, float] = SPACING_RIP
    spacing_pir: tuple[float, float, float] = CUTOUT_SPACING_PIR
    size_pir: tuple[int, int, int] = CUTOUT_PIR


EMBEDDED = Frame()


@dataclass(frozen=True, eq=False)
class Cutout:
    """Input channels and the part (0 none, 1 above, 2 centre, 3 below) of each voxel, both (P, I, R)."""

    channels: Bytes
    parts: Bytes


def draw_cutout(folder: Path, rng: Rng) -> Cutout | None:
    """A cutout around a random vertebra of a pool's spine; None when the spine shows no vertebral body."""
    channels = _TO_CHANNEL[np.load(folder / "classes.npy")]
    vertebrae = np.load(folder / "vertebrae.npy")
    seen = [int(n) for n in np.unique(vertebrae[channels == BODY]) if n]
    if not seen:
        return None
    return cutout_around(channels, vertebrae, seen[int(rng.integers(len(seen)))], EMBEDDED, rng)


def cutout_around(channels: Bytes, vertebrae: Bytes, chosen: int, frame: Frame, rng: Rng) -> Cutout:
    """The cutout of one vertebra from (R, I, P) arrays, augmented."""
    body = np.argwhere((vertebrae == chosen) & (channels == BODY))
    centre = body.mean(axis=0) + rng.normal(0, 1.2, 3) / np.array(frame.source_rip)
    scale = float(rng.uniform(0.8, 1.2)) if rng.random() < 0.3 else float(rng.uniform(0.95, 1.05))
    order = [int(n) for n in np.unique(vertebrae) if n]
    rank = order.index(chosen)
    parts = np.zeros(256, dtype=np.uint8)
    for part, place in ((1, rank - 1), (2, rank), (3, rank + 1)):
        if 0 <= place < len(order):
            parts[order[place]] = part
    lines = _lines(frame, centre, scale)
    truth = _sampled(vertebrae, lines, None)
    inputs = _sampled(channels, lines, _warp(frame, rng))
    known = _grown(np.asarray(np.where(truth > 0, parts[truth], 0)), truth > 0, inputs > 0, frame)
    return _flipped(_corrupted(inputs, known, rng), known, rng)


def _warp(frame: Frame, rng: Rng) -> NDArray[np.float32] | None:
    """Sometimes a smooth displacement of the input (source voxels, R I P), as an imperfect mask has it."""
    if rng.random() < 0.4:
        return None
    coarse = rng.normal(0, rng.uniform(0.4, 1.3), (3, 5, 12, 9))
    shape = frame.size_pir[::-1]
    fields = [
        zoom(c, [n / m for n, m in zip(shape, c.shape, strict=True)], order=1) / step
        for c, step in zip(coarse, frame.source_rip, strict=True)
    ]
    return np.asarray(fields, dtype=np.float32)


def _lines(frame: Frame, centre: NDArray[np.float64], scale: float) -> list[NDArray[np.float64]]:
    """Where the cutout's voxels lie along each axis of the source (R, I, P), in its voxels."""
    axes = zip(centre, frame.size_pir[::-1], frame.spacing_pir[::-1], frame.source_rip, strict=True)
    return [middle + (np.arange(n) - n // 2) * scale * step / source for middle, n, step, source in axes]


def _sampled(array: Bytes, lines: list[NDArray[np.float64]], shift: NDArray[np.float32] | None) -> Bytes:
    """Nearest voxels on the cutout's grid, (P, I, R); 0 outside the array."""
    places = [line.reshape([-1 if k == axis else 1 for k in range(3)]) for axis, line in enumerate(lines)]
    if shift is not None:
        places = [place + by for place, by in zip(places, shift, strict=True)]
    at = [np.rint(place).astype(np.int64) for place in places]
    found = array[tuple(a.clip(0, n - 1) for a, n in zip(at, array.shape, strict=True))]
    for a, n in zip(at, array.shape, strict=True):
        found = found * ((a >= 0) & (a < n))
    return np.ascontiguousarray(found.transpose(2, 1, 0), dtype=np.uint8)


def _grown(parts: Bytes, known: NDArray[np.bool_], asked: NDArray[np.bool_], frame: Frame) -> Bytes:
    """Voxels that the input has beyond the truth take the part of the nearest vertebra."""
    distance, nearest = distance_transform_edt(~known, sampling=frame.spacing_pir, return_indices=True)
    grown = parts[tuple(nearest)]
    return np.asarray(np.where(asked & (distance <= NEAR_MM), grown, 0), dtype=np.uint8)


def _corrupted(channels: Bytes, parts: Bytes, rng: Rng) -> Bytes:
    """The faults of an imperfect mask: erosion, coarse voxels, lost labels, holes, bridges and strays."""
    channels = channels.copy()
    if rng.random() < 0.1:
        channels[~binary_erosion(channels > 0)] = 0
    if rng.random() < 0.1:
        channels = np.ascontiguousarray(channels[::2, ::2].repeat(2, 0).repeat(2, 1))
    if rng.random() < 0.1:
        channels[channels == rng.integers(1, BODY)] = 0
    if rng.random() < 0.1:
        channels[(channels == rng.integers(1, BODY)) & (parts == rng.integers(1, 4))] = 0
    if rng.random() < 0.1:
        bridged = binary_dilation(channels == BODY, np.ones((1, 3, 1), bool), iterations=int(rng.integers(1, 4)))
        channels[bridged & (channels == 0)] = BODY
    for _ in range(int(rng.integers(0, 4))):
        _blot(channels, rng)
    if rng.random() < 0.25:
        _cut(channels, rng)
    return channels


def _blot(channels: Bytes, rng: Rng) -> None:
    """A small box that is emptied, relabelled or filled."""
    low = [int(rng.integers(0, n - 4)) for n in channels.shape]
    box = tuple(slice(a, a + int(rng.integers(2, 8))) for a in low)
    draw = rng.random()
    if draw < 0.5:
        channels[box] = 0
    elif draw < 0.8:
        channels[box] = np.where(channels[box] > 0, rng.integers(1, BODY + 1), 0)
    else:
        channels[box] = rng.integers(1, BODY + 1)


def _cut(channels: Bytes, rng: Rng) -> None:
    """The field of view ends above or below the centre."""
    middle, edge = channels.shape[1] // 2, int(rng.integers(8, channels.shape[1] // 2))
    if rng.random() < 0.5:
        channels[:, : middle - edge] = 0
    else:
        channels[:, middle + edge :] = 0


def _flipped(channels: Bytes, parts: Bytes, rng: Rng) -> Cutout:
    parts = np.asarray(np.where(channels > 0, parts, 0), dtype=np.uint8)
    if rng.random() < 0.5:
        return Cutout(channels, parts)
    return Cutout(np.ascontiguousarray(_MIRROR[channels[..., ::-1]]), np.ascontiguousarray(parts[..., ::-1]))
