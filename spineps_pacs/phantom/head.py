"""Paints neck and head: prevertebral muscles, airway, gullet, vessels, skull base, cerebellum and brainstem. Image only."""

from __future__ import annotations

import numpy as np

from spineps_pacs.phantom.scene import Scene
from spineps_pacs.phantom.tissues import Tissue


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
    _tubes(scene)


def _tubes(scene: Scene) -> None:
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
    """Everything above C1."""
    if not bool((scene.level < 0.8).any()):
        return
    x, y, side, noise = scene.x, scene.y, scene.side, scene.noise
    up = np.maximum(np.float32(0.75) - scene.level, 0) * 22
    head = up > 0
    vault = (side / 68) ** 2 + ((y - 18) / 62) ** 2 + ((up - 64) / 63) ** 2
    slope = y + 34 - 0.25 * up
    scene.put(head & (vault < 1.22) & (slope > -11), Tissue.SKULL_MARROW)
    scene.put(head & (vault < 1.06) & (slope > -2), Tissue.CORTEX)
    inside = head & (vault < 1) & (slope > 0)
    scene.put(inside, Tissue.CSF)
    folia = np.sin(up * 0.9 + 3 * noise) + 0.8 * scene.fine
    scene.put(inside & (vault < 0.88) & (y > 12) & (folia > -1.15), Tissue.BRAIN)
    stem = inside & (y <= 12) & (y > -15) & (side < 15 + 0.1 * up)
    scene.put(stem & (up > 24), Tissue.BRAIN)
    scene.put(inside & (vault < 0.82) & (side >= 15) & (up > 30), Tissue.BRAIN)
    face = head & (slope < -11)
    scene.put(face & (noise + 0.5 * scene.fine > 0.0), Tissue.MUSCLE)
    scene.put(face & (noise + 0.5 * scene.fine > 1.2), Tissue.GLAND)
    scene.put(face & (y < -52) & (noise < -0.7) & (np.abs(x) < 30), Tissue.AIRWAY)
