"""Paints the dural sac with the cord, its grey matter and the roots of the cauda equina."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.anatomy import CANAL_ID, CORD_ID
from spineps_pacs.phantom.canal import Around, Curve, cord_profile
from spineps_pacs.phantom.canvas import Canvas
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.tissues import Tissue

SAC_END = 26.4
"""Position (S2) where the dural sac ends."""
MAGNUM = 0.0
"""Position of the foramen magnum."""


def paint_sac(spine: Spine, curve: Curve, around: Around, canvas: Canvas) -> None:
    """Canal (61) and cord (60) with their tissues, up to the foramen magnum."""
    where = np.nonzero((np.abs(around.x) < 22) & (np.abs(around.y) < 22))
    if not where[0].size:
        return
    points = canvas.grid.origin + np.stack(where, axis=-1) @ canvas.grid.steps
    s = _refined(curve, points, around.s[where])
    off = points - curve.at(curve.points, s)
    x = np.sum(off * curve.at(curve.left, s), axis=-1)
    y = np.sum(off * curve.at(curve.back, s), axis=-1)
    position = curve.at(curve.position, s)
    tissue, structure = _contents(spine, curve, (s, x, y), position)
    inside = (tissue > 0) & (s > 1) & (s < curve.s[-1] - 1)
    chosen = tuple(i[inside] for i in where)
    canvas.tissues[chosen] = tissue[inside]
    canvas.structures[chosen] = structure[inside]


def _refined(curve: Curve, points: NDArray[np.float64], s: NDArray[np.float32]) -> NDArray[np.float64]:
    fine = s.astype(np.float64)
    for _ in range(2):
        fine = fine + np.clip(
            np.sum((points - curve.at(curve.points, fine)) * curve.at(curve.down, fine), axis=-1), -6, 6
        )
    return np.asarray(fine)


Place = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _contents(
    spine: Spine, curve: Curve, place: Place, position: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    s, x, y = place
    end = curve.where(SAC_END)
    closing = np.sqrt(np.clip((end - s) / 18, 0, 1))
    half_width = np.maximum(curve.at(curve.half_width, s) * closing, 0.01)
    half_depth = np.maximum(curve.at(curve.half_depth, s) * closing, 0.01)
    front = half_depth - np.minimum(curve.at(curve.indent, s), half_depth * 1.1)
    sac = (x / half_width) ** 2 + (y / half_depth) ** 2
    inside = (sac < 1) & (y > -front) & (s < end)
    width, depth, shift = cord_profile(spine, curve, s)
    shift = np.maximum(shift, depth + 0.6 - front)
    cord_q = (x / np.maximum(width, 0.01)) ** 2 + ((y - shift) / np.maximum(depth, 0.01)) ** 2
    cord = inside & (cord_q < 1)
    tissue = np.where(inside, np.uint8(Tissue.CSF), np.uint8(0))
    tissue[_roots(spine, curve, place, (half_width, half_depth), inside)] = Tissue.ROOT
    if spine.flow > 0:
        tissue[inside & _flow(spine, place, position)] = Tissue.FLOW_CSF
    tissue[cord] = Tissue.CORD
    tissue[cord & _grey(x, y - shift, width, depth)] = Tissue.GREY
    structure = np.where(inside, np.uint8(CANAL_ID), np.uint8(0))
    structure[cord] = CORD_ID
    brain = position < MAGNUM
    structure[brain], tissue[brain] = 0, 0
    return tissue, structure


def _flow(spine: Spine, place: Place, position: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pulsing CSF leaves dark clouds, mostly behind the thoracic cord."""
    s, x, y = place
    cloud = np.sin(s / 11.0 + spine.seed) + np.sin(s / 4.3 + x / 3) + np.cos(y / 2.5 + s / 17)
    return np.asarray((cloud > 2.3 - 1.3 * spine.flow) & (position > 5) & (position < 19.5) & (y > 1.5))


def _grey(
    x: NDArray[np.float64], y: NDArray[np.float64], width: NDArray[np.float64], depth: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """The H of the grey matter."""
    u, v = np.abs(x) / np.maximum(width, 0.01), y / np.maximum(depth, 0.01)
    horn = (np.abs(u - 0.3) < 0.12 + 0.06 * (v < 0)) & (np.abs(v) < 0.62)
    return np.asarray(horn | ((u < 0.3) & (np.abs(v) < 0.12)))


def _roots(
    spine: Spine,
    curve: Curve,
    place: Place,
    half: tuple[NDArray[np.float64], NDArray[np.float64]],
    inside: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Roots of the cauda equina lie in the back of the sac (the patient lies on it), each drawn towards its exit."""
    start = curve.where(spine.conus) - 25
    below = np.flatnonzero(inside & (place[0] > start))
    s, x, y, wide, deep = (np.asarray(f[below], dtype=np.float32) for f in (*place, *half))
    rng = np.random.default_rng([spine.seed, 11])
    hit = np.zeros(s.shape, dtype=bool)
    for n in range(20):
        leaves = curve.where(20.5 + 0.32 * n)
        t = np.clip((s - np.float32(start)) / np.float32(max(leaves - start, 1.0)), 0, 1)
        u0, u1, v0 = rng.uniform(0.05, 0.5), 0.75 - rng.uniform(0.1, 0.4), rng.uniform(0.05, 0.8)
        u = np.float32(1 if n % 2 else -1) * (np.float32(u0) + np.float32(u1) * t * t * t)
        v = np.float32(v0) * np.sqrt(np.maximum(np.float32(0.05), 1 - u * u)) * (1 - np.float32(0.7) * t**4)
        radius = np.float32(rng.uniform(0.55, 0.85))
        hit |= (s < leaves) & ((x - u * wide) ** 2 + (y - v * deep) ** 2 < radius**2)
    found = np.zeros(place[0].shape, dtype=bool)
    found[below[hit]] = True
    return found
