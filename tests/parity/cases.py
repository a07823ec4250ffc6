"""Whole-spine phantoms as inputs of single stages: easy ones, hard ones, and ones that a network has soiled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.domain.volume import Geometry
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.voxels import voxelise
from spineps_pacs.phantom.wishes import Wishes

Array = NDArray[np.generic]
SPACING = (1.5, 1.5, 3.3)

WISHES: dict[str, Wishes] = {
    "plain": Wishes(),
    "merged": Wishes(merged="T8"),
    "no-disc": Wishes(missing_disc="L2"),
    "cut-top": Wishes(levels="T4-S1", crop=(0.08, 0.0)),
    "lumbar": Wishes(levels="T11-S1"),
    "eleven": Wishes(thoracic=11),
    "thirteen": Wishes(thoracic=13),
    "four": Wishes(lumbar=4),
    "six": Wishes(lumbar=6),
    "scoliosis": Wishes(scoliosis=40.0),
    "fracture": Wishes(fracture=(("T12", 0.6), ("L1", 0.5))),
    "slip": Wishes(listhesis=(("L4", 10.0),), degeneration=0.9),
    "metal": Wishes(metal="L3"),
}


@dataclass(frozen=True, eq=False)
class Truth:
    """Structures (SPINEPS ids), vertebrae (ids below 40 only) and a rough image on a P, I, R grid."""

    structures: NDArray[np.uint8]
    vertebrae: NDArray[np.uint16]
    image: NDArray[np.int16]
    geometry: Geometry

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """The affine as NIfTI has it."""
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.geometry.affine


def truth(name: str, seed: int = 1, spacing: tuple[float, float, float] = SPACING) -> Truth:
    """The named spine on a grid that shows the levels asked for."""
    return truth_of(WISHES[name], seed, spacing)


def truth_of(wishes: Wishes, seed: int = 1, spacing: tuple[float, float, float] = SPACING) -> Truth:
    """A spine as wished, on a grid that shows the levels asked for."""
    spine = draw_spine(seed, wishes)
    names = [v.name for v in spine.vertebrae]
    first, last = wishes.levels.split("-")
    top = spine.vertebrae[names.index(first)].placed.origin[2] + 25
    bottom = (
        spine.sacrum[-1].placed.origin[2] - 10
        if last == "S1"
        else spine.vertebrae[names.index(last)].placed.origin[2] - 25
    )
    top -= wishes.crop[0] * (top - bottom)
    ys = [v.placed.origin[1] for v in spine.vertebrae] + [s.placed.origin[1] for s in spine.sacrum]
    xs = [v.placed.origin[0] for v in spine.vertebrae]
    geometry = _pir((min(ys) - 30, top, max(xs) + 36), (max(ys) + 80, bottom, min(xs) - 36), spacing)
    labels = voxelise(spine, geometry)
    rng = np.random.default_rng(seed)
    look = rng.integers(60, 900, 64)
    image = ndimage.gaussian_filter(look[labels.tissues].astype(np.float32), 0.6) + rng.normal(
        0, 15, labels.tissues.shape
    )
    vertebrae = np.where(labels.instances < 40, labels.instances, 0).astype(np.uint16)
    vertebrae[vertebrae == 26] = 0
    return Truth(np.array(labels.structures), vertebrae, np.clip(image, 0, 1500).astype(np.int16), geometry)


def _pir(low: tuple[float, ...], high: tuple[float, ...], spacing: tuple[float, float, float]) -> Geometry:
    """A P, I, R grid between two corners (front, top, left) and (back, bottom, right), LPS mm."""
    (front, top, left), (back, bottom, right) = low, high
    p, i, r = spacing
    affine = np.array([[0, 0, -r, left], [p, 0, 0, front], [0, -i, 0, top], [0, 0, 0, 1]], dtype=np.float64)
    return Geometry(affine, (int((back - front) / p), int((top - bottom) / i), int((left - right) / r)))


def soiled(structures: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """What a network makes of it: bodies that bulge and touch, ragged edges, islands, lost pieces."""
    rng = np.random.default_rng(seed)
    out = structures.copy()
    noise = ndimage.gaussian_filter(rng.normal(size=out.shape), 1.5)
    shift = [round(s) for s in rng.normal(0, 1, 3)]
    moved = np.roll(out, shift, axis=(0, 1, 2))
    out = np.where(noise > 1.6 * noise.std(), moved, out)
    for at in np.argwhere(rng.random(out.shape) < 3e-6 * out.size / 1e3)[:40]:
        p, i, r = at
        n = int(rng.integers(1, 4))
        out[p : p + n, i : i + n, r : r + n] = rng.choice([0, 41, 42, 43, 45, 46, 47, 49, 62, 100])
    for structure in (49, 41, 45):
        if rng.random() < 0.5:
            wide = ndimage.binary_dilation(out == structure, iterations=1) & (noise > 0.5 * noise.std())
            out[wide & (out != 60)] = structure
    return out.astype(np.uint8)


def dense(case: Truth) -> NDArray[np.uint8]:
    """As models see it that fill bodies (50 within 49) and know the dens (51, here the top of the first body)."""
    out, body = case.structures.copy(), case.structures == 49
    out[ndimage.binary_erosion(body)] = 50
    first = body & (case.vertebrae == case.vertebrae[body & (case.vertebrae > 0)].min())
    rows = np.flatnonzero(first.any(axis=(0, 2)))
    first[:, rows[len(rows) // 3] :] = False
    out[first] = 51
    return out


def fused_bodies(case: Truth, upper: int) -> NDArray[np.uint8]:
    """The bodies of two neighbours and everything between them as one lump of body."""
    out = case.structures.copy()
    both = np.isin(case.vertebrae, (upper, upper + 1)) & (out == 49)
    lump = ndimage.binary_closing(np.pad(both, 12), iterations=10)[12:-12, 12:-12, 12:-12]
    out[lump & np.isin(out, (0, 49, 62, 100))] = 49
    return out


def answers(
    vertebrae: NDArray[np.uint16],
    found: NDArray[np.uint8],
    inner: tuple[slice, ...],
    centre: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """One cutout's answer from the truth in it: 1 above, 2 centre, 3 below; ragged, sometimes wrong."""
    order = sorted(set(np.unique(vertebrae)) - {0}, key=lambda n: 19.5 if n == 28 else n)
    out = np.zeros(found.shape, dtype=np.uint8)
    at = order.index(centre) if centre in order else -1
    part = out[inner]
    for step, number in ((-1, 1), (0, 2), (1, 3)):
        if at >= 0 and 0 <= at + step < len(order):
            part[vertebrae == order[at + step]] = number
    mistake = rng.random()
    if mistake < 0.1:
        out = np.roll(out, int(rng.integers(-9, 10)), axis=1)
    elif mistake < 0.2:
        out[out == int(rng.integers(1, 4))] = 0
    noise = ndimage.gaussian_filter(rng.normal(size=out.shape), 1.0)
    out[noise > 1.5 * noise.std()] = 0
    return out
