"""Paints everything around the spine: ligaments, fat, muscles, vessels, airway, lungs, viscera, head, and air outside.

All of it is image only (label 0). Places are given by position along the spine (sizes.py) and mm from the canal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.phantom.canal import Around, Curve
from spineps_pacs.phantom.canvas import UNSET, Canvas, Mask
from spineps_pacs.phantom.grid import Field, draw_waves
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.tissues import Tissue


@dataclass(frozen=True, eq=False)
class Scene:
    """What the painters share: coordinates, level, noises, and the picture so far."""

    x: Field
    y: Field
    side: Field
    level: Field
    front: Field
    noise: Field
    fine: Field
    fibres: Field
    tissue: NDArray[np.uint8]
    free: Mask

    def put(self, mask: Mask, tissue: Tissue) -> None:
        """Paints where it is free; later painters paint over earlier ones."""
        self.tissue[mask & self.free] = tissue


def paint_surroundings(spine: Spine, curve: Curve, around: Around, canvas: Canvas) -> None:
    """Fills all voxels that are still free."""
    scene = _scene(spine, curve, around, canvas)
    _trunk(spine, scene)
    _organs(spine, scene)
    _muscles(spine, scene)
    _near_the_spine(spine, scene)
    _neck(spine, scene)
    _head(spine, scene)
    _outside(spine, scene)


def _scene(spine: Spine, curve: Curve, around: Around, canvas: Canvas) -> Scene:
    rng = np.random.default_rng([spine.seed, 23])
    level = _levels(curve, around)
    front = curve.at(curve.body_depth + curve.half_depth + 1, around.s).astype(np.float32)
    free = canvas.tissues == UNSET
    return Scene(
        around.x, around.y, np.abs(around.x), level, front,
        draw_waves(rng, 25, 80, 16).on(canvas.grid), draw_waves(rng, 5, 16, 24).on(canvas.grid),
        draw_waves(rng, 3.5, 9, 24, np.array([1.0, 1.0, 7.0])).on(canvas.grid), canvas.tissues, free,
    )  # fmt: skip


def _levels(curve: Curve, around: Around) -> Field:
    """Position along the spine, going on beyond the ends of the curve."""
    beyond = np.maximum(around.s - curve.s[-1], 0) / 15 + np.minimum(around.s, 0) / 25
    return np.asarray(curve.at(curve.position, around.s) + beyond, dtype=np.float32)


def _profile(level: Field, *points: tuple[float, float]) -> Field:
    table = np.array(points)
    return np.interp(level, table[:, 0], table[:, 1]).astype(np.float32)


def _trunk(spine: Spine, scene: Scene) -> None:
    """Everything starts as fat with soft organs in it."""
    scene.tissue[scene.free] = Tissue.FAT


def _organs(spine: Spine, scene: Scene) -> None:
    x, y, noise = scene.x, scene.y, scene.noise
    level = scene.level + 0.35 * noise
    deep = -(y + scene.front)
    abdomen = (level > 18.8 - 0.02 * deep) & (deep > 9 + 3 * noise)
    scene.put(abdomen & (noise + 0.6 * scene.fine > 0.15), Tissue.BOWEL)
    scene.put(abdomen & (noise > 0.75), Tissue.BOWEL_FLUID)
    scene.put(abdomen & (noise < -1.25) & (deep > 25), Tissue.AIRWAY)
    chest = (level > 8.5) & (level < 19.2 - 0.02 * deep)
    lung = chest & ((deep > 4 + 3 * noise) | ((scene.side > 26 + 2 * noise) & (y < 22)))
    scene.put(lung, Tissue.LUNG)
    mid = chest & (np.abs(x - 6) < 30 + 6 * noise) & (deep > 3)
    scene.put(chest & (np.abs(x - 4) < 19 + 3 * noise) & (deep > 0) & (deep < 24), Tissue.FAT)
    heart = mid & (level > 12) & (level < 18) & (deep > 22)
    scene.put(heart, Tissue.HEART)
    scene.put(chest & (level < 12) & mid & (deep > 22) & (deep < 70), Tissue.HEART)
    liver = (level > 17.6 - 0.012 * deep) & (level < 20.6) & (x < 10 + 10 * noise) & (deep > 14)
    scene.put(liver, Tissue.LIVER)
    kidney = ((scene.side - 56) / 22) ** 2 + ((y + 22) / 24) ** 2 + ((level - 20.3) / 1.7) ** 2
    scene.put(kidney < 1, Tissue.KIDNEY)
    pelvis = (level > 25.2) & (deep > 14 + 3 * noise)
    scene.put(pelvis & (noise + 0.5 * scene.fine > -0.1), Tissue.BOWEL)
    scene.put(pelvis & (deep > 45) & (deep < 110) & (scene.side < 48) & (level > 28), Tissue.FLUID)
    aorta = (x - 9) ** 2 + (deep - 13) ** 2
    below_arch = (level > 11) & (level < 23.2)
    scene.put(below_arch & (aorta < 12.5**2), Tissue.FAT)
    scene.put(below_arch & (aorta < 10.5**2), Tissue.FLOW_VOID)
    cava = (x + 15) ** 2 / 1.5 + (deep - 10) ** 2
    scene.put((level > 18.5) & (level < 23.4) & (cava < 8.5**2), Tissue.FLOW_VOID)


def _muscles(spine: Spine, scene: Scene) -> None:
    x, y, side, level = scene.x, scene.y, scene.side, scene.level
    fibre = scene.fibres > _profile(level, (0, 1.6), (8, 1.5), (20, 1.45 - 0.5 * spine.muscle), (26, 0.9 - 0.9 * spine.muscle))
    skin = _skin(spine, level)
    fat = _fat(spine, level)
    back = (y > 1) & (y < skin - fat + 1.5 * scene.noise)
    width = _profile(level, (-2, 60), (4, 55), (8, 75), (18, 72), (24, 66), (28, 60))
    scene.put(back & (side < width), Tissue.MUSCLE)
    scene.put(back & (side < width) & fibre, Tissue.MUSCLE_FAT)
    psoas_width = _profile(level, (18.9, 0), (20, 8), (24, 21), (27, 22))
    centre = _profile(level, (19, 26), (22, 34), (24, 42), (27, 52))
    depth = scene.front * 0.45
    psoas = ((side - centre) / np.maximum(psoas_width, 0.1)) ** 2 + ((y + depth) / np.maximum(psoas_width * 1.1, 0.1)) ** 2
    psoas_here = (psoas < 1) & (level > 19) & (level < 28.5)
    scene.put(psoas_here, Tissue.MUSCLE)
    scene.put(psoas_here & (scene.fibres > 1.8), Tissue.MUSCLE_FAT)
    gluteal = (level > 25) & (y > 2) & (side > 22) & (y < skin - fat)
    scene.put(gluteal & ~fibre, Tissue.MUSCLE)
    ilium = (level > 23.6) & (level < 28.3) & (np.abs(side - 60 + 0.4 * y) < 9)
    scene.put(ilium, Tissue.SACRAL_MARROW)


def _skin(spine: Spine, level: Field) -> Field:
    """mm from the canal's centre back to the skin."""
    own = _profile(level, (-6, 70), (-2, 62), (1, 58), (4, 52), (7, 54), (10, 50), (14, 46), (19, 50), (23, 58), (26, 52), (30, 50))
    return (own * spine.scale + _fat(spine, level)).astype(np.float32)


def _fat(spine: Spine, level: Field) -> Field:
    """Thickness of the fat under the skin of the back."""
    return _profile(level, (-2, 6), (3, 7), (7, 12), (12, 7), (18, 9), (23, 18), (27, 22)) * np.float32(spine.fat)


def _near_the_spine(spine: Spine, scene: Scene) -> None:
    x, y, side, level = scene.x, scene.y, scene.side, scene.level
    half = scene.front
    canal = _profile(level, (1, 9.5), (7, 8.5), (14, 9), (19, 9.5), (24, 10), (27, 7))
    lateral = _profile(level, (1, 14), (7, 13), (10, 9.5), (17, 9.5), (20, 12.5), (24, 14), (27, 11))
    ring = (x / (lateral + 9)) ** 2 + (y / (canal + 7)) ** 2 < 1
    scene.put(ring & (level < 27), Tissue.EPIDURAL_FAT)
    foramen = (np.abs(side - lateral - 7) < 9) & (np.abs(y + canal * 0.4) < 7)
    scene.put(foramen & (level > 2) & (level < 26), Tissue.EPIDURAL_FAT)
    root = (np.abs(side - lateral - 6) < 8) & (np.abs(y + 1.5 - 0.12 * (side - lateral)) < 2.3)
    scene.put(root & (_to_middle(level) < 0.16) & (level > 1.5) & (level < 26), Tissue.ROOT)
    between = (side < 2.4) & (y > canal + 2) & (y < _skin(spine, level) - _fat(spine, level) - 2) & (level > 1.5)
    scene.put(between & (level < 26), Tissue.LIGAMENT)
    scene.put(between & (level < 26) & (scene.fine > 0.1), Tissue.MUSCLE_FAT)
    behind_body = (y < -canal + 2.5) & (y > -canal - 3) & (side < lateral) & (level > 1)
    scene.put(behind_body & (level < 25), Tissue.LIGAMENT)
    before = (y < -half + 6) & (y > -half - 2.4) & (side < 15) & (level > 1.3) & (level < 26)
    scene.put(before, Tissue.LIGAMENT)
    flavum = (side < 9) & (y > canal * 0.65) & (y < canal + 5.5) & (np.abs(y - canal - 2 - 0.0 * side + 0.35 * side) < 1.9)
    scene.put(flavum & (level > 2.2) & (level < 25), Tissue.LIGAMENT)


def _to_middle(level: Field) -> Field:
    """How far a level is from the next middle of a disc (positions are integers in bodies)."""
    return np.abs(level - np.floor(level) - 0.42)


def _neck(spine: Spine, scene: Scene) -> None:
    x, y, side, level = scene.x, scene.y, scene.side, scene.level
    deep = -(y + scene.front)
    neck = (level > 0.5) & (level < 9.5)
    scene.put(neck & (deep > 1.5) & (deep < 7) & (side < 18), Tissue.MUSCLE)
    scene.put(neck & (side > 16) & (y < 1) & (deep < 30) & (scene.noise > -0.6), Tissue.MUSCLE)
    front = neck & (deep > 7) & (deep < 60) & (side < 45)
    scene.put(front & (scene.noise + 0.4 * scene.fine > -0.3), Tissue.MUSCLE)
    scene.put(front & (scene.noise + 0.4 * scene.fine > 0.9), Tissue.GLAND)
    airway = _profile(level, (0.5, 9), (4, 8), (6, 8.5), (12, 9))
    centre = _profile(level, (0.5, 15), (4, 17), (7, 22), (12, 26))
    tube = (level > 0.3) & (level < 12.2) & ((x / 9) ** 2 + ((deep - centre) / airway) ** 2 < 1)
    scene.put(tube, Tissue.AIRWAY)
    gullet = (level > 5.2) & (level < 18) & (((x - 3) / 8) ** 2 + ((deep - 8) / 4) ** 2 < 1)
    scene.put(gullet, Tissue.GLAND)
    carotid = neck & ((side - 26) ** 2 + (deep - 9) ** 2 < 4.2**2)
    scene.put(carotid, Tissue.FLOW_VOID)
    vertebral = (level > 1) & (level < 6.8) & ((side - 15.5) ** 2 + (y + 12) ** 2 < 2.4**2)
    scene.put(vertebral, Tissue.FLOW_VOID)


def _head(spine: Spine, scene: Scene) -> None:
    x, y, side, level = scene.x, scene.y, scene.side, scene.level
    head = level < 0.75
    if not head.any():
        return
    up = np.maximum(0.75 - level, 0) * 22
    skull = (side / 68) ** 2 + ((y - 18) / 62) ** 2 + ((up - 62) / 62) ** 2
    inside = head & (skull < 1) & (y > -32 + 0.25 * up)
    scene.put(head & (skull < 1.22) & (y > -44 + 0.25 * up), Tissue.SKULL_MARROW)
    scene.put(head & (skull < 1.05) & (y > -35 + 0.25 * up), Tissue.CORTEX)
    scene.put(inside, Tissue.CSF)
    folia = np.sin(up * 0.9 + 3 * scene.noise) + 0.8 * scene.fine
    cerebellum = inside & (skull < 0.86) & (y > 12)
    scene.put(cerebellum & (folia > -1.1), Tissue.BRAIN)
    stem = inside & (y <= 12) & (y > -14) & (side < 15)
    scene.put(stem & (up > 26), Tissue.BRAIN)
    scene.put(inside & (skull < 0.8) & (side >= 15) & (up > 30), Tissue.BRAIN)
    face = head & (y < -36 + 0.2 * up)
    scene.put(face & (scene.noise > 0.2), Tissue.MUSCLE)
    scene.put(face & (y < -50) & (scene.noise < -0.6), Tissue.AIRWAY)


def _outside(spine: Spine, scene: Scene) -> None:
    level, y, side = scene.level, scene.y, scene.side
    skin = _skin(spine, level)
    rounded = skin - 0.004 * side**2
    front = _profile(level, (-6, -110), (0, -98), (2.5, -86), (4, -62), (7, -66), (9, -110), (14, -170), (20, -190), (28, -210))
    flank = _profile(level, (-6, 75), (2, 62), (6, 66), (8, 140), (12, 190), (28, 190))
    scene.put((y > rounded - 2) | (y < front + 2), Tissue.SKIN)
    scene.put((y > rounded) | (y < front) | (side > flank), Tissue.AIR)
