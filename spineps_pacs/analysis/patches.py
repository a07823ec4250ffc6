"""Cuts a patch of image around every vertebra for the labelling network, turned upright if the network wants that.

Arrays are indexed (P, I, R). The patches are of the image as it came, not of the bias-corrected one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.analysis.geometry import Zoom, bounding_box, crop, cubic, nearest, pad, rescaled, turn, zoom
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.pieces import Centre, Labels, box_of, centres
from spineps_pacs.domain.anatomy import LEVEL_IDS
from spineps_pacs.domain.ports import Cutouts, PatchPlan
from spineps_pacs.domain.volume import Geometry

Image = NDArray[np.generic]
MARGIN_MM = 128
EXTRA = 32
"""Voxels around the patch in P and I while it is turned."""
LABELLED = (*range(1, 26), LEVEL_IDS["T13"])
"""Numbers of vertebrae that get a patch."""
BODY_IDS = (49, 50, 51)


@dataclass(frozen=True, eq=False)
class Patches:
    """The patches and the numbers of the vertebrae that they show."""

    numbers: tuple[int, ...]
    cutouts: Cutouts


@dataclass(frozen=True, eq=False)
class Spine:
    """An image with its structures and numbered vertebrae on one grid, of any orientation."""

    image: Image
    structures: Labels
    vertebrae: Labels
    geometry: Geometry


def patches(spine: Spine, plan: PatchPlan, mode: Mode = Mode.UPSTREAM) -> Patches:
    """One patch a vertebra that has a body; the reference passes over numbers above 25 (other than 28)."""
    way = turn(spine.geometry)
    image, vertebrae, structures = spine.image, spine.vertebrae, spine.structures
    bodies = np.where(np.isin(way.there(structures), BODY_IDS), way.there(vertebrae), 0)
    box = bounding_box(bodies > 0, int(MARGIN_MM / min(zoom(way.after))))
    if box is None:
        return Patches((), Cutouts(np.zeros((0, *plan.size_pir), np.float32), ()))
    part = crop(way.after, box)
    grid = rescaled(part.after, plan.spacing_pir)
    sharp = cubic(np.ascontiguousarray(part.there(way.there(image))), part.after, grid)
    marks = nearest(np.ascontiguousarray(part.there(bodies)), part.after, grid)
    if mode is Mode.UPSTREAM:
        marks = np.where(np.isin(marks, LABELLED), marks, 0)
    found = centres(marks)
    angles = leanings(found, grid) if plan.rotate else dict.fromkeys(found, 0.0)
    cut = [_patch(sharp, _middle(marks == n), plan.size_pir, angles[n]) for n in found]
    places = [_geometry(grid, _middle(marks == n), plan.size_pir) for n in found]
    empty = np.zeros((0, *plan.size_pir), np.float32)
    return Patches(tuple(found), Cutouts(np.stack(cut) if cut else empty, tuple(places)))


def _middle(mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    """The centre of the box around a vertebra."""
    p, i, r = (s.start + (s.stop - s.start) // 2 for s in box_of(mask))
    return p, i, r


def leanings(found: dict[int, Centre], grid: Geometry) -> dict[int, float]:
    """Degrees by which the line between the neighbours' centres leans from the I axis, in voxels of the grid."""
    ordered = sorted(((n, _ipl(c, grid)) for n, c in found.items()), key=lambda item: item[1][0])
    angles = {}
    for at, (number, _) in enumerate(ordered):
        upper, lower = ordered[max(at - 1, 0)][1], ordered[min(at + 1, len(ordered) - 1)][1]
        angles[number] = _angle(lower - upper)
    return angles


def _ipl(centre: Centre, grid: Geometry) -> NDArray[np.float64]:
    """A centre in the order I, P, L."""
    return np.array([centre[1], centre[0], grid.shape[2] - 1 - centre[2]])


def _angle(line: NDArray[np.float64]) -> float:
    """Degrees between a line and the first axis; the sign is that of the sum of their cross product, 1 for none."""
    length = np.linalg.norm(line)
    if length == 0:
        return 0.0
    down = np.array([1.0, 0.0, 0.0])
    angle = np.arccos(np.clip(np.dot(line / length, down), -1.0, 1.0))
    side = np.sign(np.cross(line, down).dot((1, 1, 1)))
    return math.degrees((side or 1.0) * angle)


def _patch(image: Image, centre: tuple[int, int, int], size: Zoom | tuple[int, int, int], angle: float) -> Image:
    """One patch: cut with room around, turned, the room removed, normalised, cut to size."""
    p, i, r = (int(n) for n in size)
    roomy = _cut(image, centre, (p + 2 * EXTRA, i + 2 * EXTRA, r))
    if angle:
        upright = roomy.transpose(1, 0, 2)[:, :, ::-1]
        turned = ndimage.rotate(upright, angle=angle, reshape=False, order=3, mode="constant", cval=0)
        roomy = turned[:, :, ::-1].transpose(1, 0, 2)
    inner = normalised(roomy[EXTRA:-EXTRA, EXTRA:-EXTRA])
    return _centred(inner, (p, i, r))


def _cut(image: Image, centre: tuple[int, int, int], size: tuple[int, int, int]) -> Image:
    """A box around a centre, zero beyond the image; odd sizes lose one voxel, as in the reference."""
    out = np.zeros(tuple(2 * (n // 2) for n in size), dtype=image.dtype)
    source, target = [], []
    for at, n, wanted in zip(centre, image.shape, size, strict=True):
        low, high = max(at - wanted // 2, 0), min(at + wanted // 2, n)
        source.append(slice(low, high))
        target.append(slice(low - (at - wanted // 2), high - (at - wanted // 2)))
    out[tuple(target)] = image[tuple(source)]
    return out


def normalised(patch: Image) -> NDArray[np.float32]:
    """Mean 0 and spread 1 over the voxels that are not 0; those stay 0."""
    out = patch.astype(np.float32)
    seen = out != 0
    if not seen.any():
        return out
    values = out[seen]
    spread = np.float32(values.std(dtype=np.float64))
    out[seen] = (values - np.float32(values.mean(dtype=np.float64))) / (spread or np.float32(1))
    return out


def _centred(patch: NDArray[np.float32], size: tuple[int, int, int]) -> NDArray[np.float32]:
    """The middle of a patch; padded by zero where an odd size lost a voxel."""
    out = np.zeros(size, dtype=np.float32)
    out[: patch.shape[0], : patch.shape[1], : patch.shape[2]] = patch
    return out


def _geometry(grid: Geometry, centre: tuple[int, int, int], size: tuple[int, int, int]) -> Geometry:
    low = [n // 2 - at for at, n in zip(centre, size, strict=True)]
    high = [n - before - whole for n, before, whole in zip(size, low, grid.shape, strict=True)]
    return pad(grid, list(zip(low, high, strict=True))).after
