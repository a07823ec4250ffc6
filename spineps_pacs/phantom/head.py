"""Paints neck and head: prevertebral muscles, airway, gullet, vessels, skull, cerebellum, brainstem. Image only."""

from __future__ import annotations

import numpy as np

from spineps_pacs.phantom.canvas import Mask
from spineps_pacs.phantom.grid import Field
from spineps_pacs.phantom.scene import Scene
from spineps_pacs.phantom.tissues import Tissue

MAGNUM, RISE = 0.3, 26.0
"""Position of the foramen magnum, and mm per position above it."""


def paint_neck(scene: Scene) -> None:
    """From the skull base to the chest."""
    y, side, deep, noise = scene.y, scene.side, scene.deep, scene.noise
    neck = (scene.level > -0.3) & (scene.level < 9.3 + 0.4 * noise)
    texture = noise + 0.3 * scene.fine
    beside = neck & (side > 9 + noise) & (y < 14) & (deep < 70)
    scene.put(beside & (texture > -0.75), Tissue.MUSCLE)
    front = neck & (deep > 4) & (side < 40 + 5 * noise)
    scene.put(front & (texture > -0.9), Tissue.MUSCLE)
    scene.put(front & (texture > 0.9), Tissue.GLAND)
    scene.put(neck & (deep > 0.5) & (deep < 4 + 0.6 * noise) & (side < 16), Tissue.MUSCLE)
    scene.put(neck & (deep > 4 + 0.6 * noise) & (deep < 5.5 + 0.6 * noise) & (side < 20), Tissue.MUSCLE_FAT)


def paint_tubes(scene: Scene) -> None:
    """Airway, gullet, carotid and vertebral arteries."""
    x, y, side, deep = scene.x, scene.y, scene.side, scene.deep
    wobble = 1.5 * scene.noise
    wide = scene.profile((0.2, 8), (3, 5), (4, 6.5), (5.4, 3.5), (6.5, 8), (12, 8.5))
    centre = scene.profile((0.2, 13), (3, 15), (5.4, 20), (6.5, 20), (12, 27)) + wobble
    ring = scene.between(0.0, 12.3)
    hollow = (x / 9) ** 2 + ((deep - centre) / wide) ** 2
    scene.put(ring & (hollow < 1.5) & (scene.level > 5), Tissue.LIGAMENT)
    scene.put(ring & (hollow < 1), Tissue.AIRWAY)
    gullet = ((x - 3) / 8) ** 2 + ((deep - 8.5 - wobble) / 3.6) ** 2
    scene.put(scene.between(5.2, 18) & (gullet < 1), Tissue.MUSCLE)
    scene.put(scene.between(5.2, 18) & (gullet < 0.25), Tissue.GLAND)
    carotid = (side - 27 - wobble) ** 2 + (deep - 10) ** 2
    scene.put(scene.between(0.5, 9.3) & (carotid < 3.8**2), Tissue.FLOW_VOID)
    vertebral = (side - 16) ** 2 + (y + 11.5) ** 2
    scene.put(scene.between(1, 6.9) & (vertebral < 2.3**2), Tissue.FLOW_VOID)


def paint_head(scene: Scene) -> None:
    """Everything above C1; `up` is mm above the foramen magnum."""
    if not scene.shows(-99, MAGNUM):
        return
    y, side = scene.y, scene.side
    up = np.maximum(MAGNUM - scene.level, 0) * RISE
    head = up > 0
    vault = (side / 68) ** 2 + ((y - 18) / 62) ** 2 + ((up - 66) / 66) ** 2
    clivus = y + 14 + 0.5 * np.minimum(up, 62)
    scene.put(head & (vault < 1.2) & (clivus > -12), Tissue.SKULL_MARROW)
    scene.put(head & (vault < 1.05) & (clivus > -1.2), Tissue.CORTEX)
    opening = head & (up < 9) & (side < 14) & (np.abs(y) < 15)
    inside = (head & (vault < 1) & (clivus > 0)) | opening
    scene.put(inside, Tissue.CSF)
    _brain(scene, inside, vault, up)
    _face(scene, head & (clivus < -12))


def _brain(scene: Scene, inside: Mask, vault: Field, up: Field) -> None:
    x, y, side, noise = scene.x, scene.y, scene.side, scene.noise
    heights = (0, 14, 24, 34, 50, 58, 75, 100)
    deep = np.interp(up, heights, (5.5, 6.5, 9, 12.5, 12.5, 9, 9, 14)).astype(np.float32)
    wide = np.interp(up, heights, (7, 8.5, 12, 17, 17, 16, 20, 30)).astype(np.float32)
    back = np.interp(up, heights, (-1, -1, -2, -5, -7, -6, -6, -6)).astype(np.float32)
    stem = (x / wide) ** 2 + ((y - back) / deep) ** 2
    ventricle = (side < 4) & (y < 15) & (np.abs(up - 36) < 12)
    folia = np.abs(np.sin(0.42 * up + 0.1 * y + 2.5 * noise))
    cerebellum = inside & (vault < 0.9) & (y > 8) & (up > 8) & (up < 62) & ~ventricle
    scene.put(cerebellum & (folia > 0.16), Tissue.BRAIN)
    scene.put(inside & (vault < 0.9) & (side > 16) & (up > 12), Tissue.BRAIN)
    scene.put(inside & (vault < 0.88) & (up > 64) & (scene.fine < 1.3), Tissue.BRAIN)
    scene.put(inside & (stem < 1), Tissue.BRAIN)


def _face(scene: Scene, front: Mask) -> None:
    texture = scene.noise + 0.4 * scene.fine
    scene.put(front & (texture > -0.2), Tissue.MUSCLE)
    scene.put(front & (texture > 1.1), Tissue.GLAND)
    hollow = front & (np.abs(scene.x) < 18) & (scene.y < -40 + 6 * scene.noise) & (scene.y > -75) & (texture < 0.6)
    scene.put(hollow, Tissue.AIRWAY)
