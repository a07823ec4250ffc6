"""Paints the trunk around the spine: skin, fat, muscles, vessels, lungs, viscera, and air outside. Image only."""

from __future__ import annotations

import numpy as np

from spineps_pacs.phantom.bones import ellipsoid
from spineps_pacs.phantom.canal import Around, Curve
from spineps_pacs.phantom.canvas import Canvas
from spineps_pacs.phantom.grid import Field
from spineps_pacs.phantom.head import paint_head, paint_neck, paint_tubes
from spineps_pacs.phantom.scene import Scene, scenes
from spineps_pacs.phantom.spine import Placed, Spine
from spineps_pacs.phantom.tissues import Tissue


def paint_surroundings(spine: Spine, curve: Curve, around: Around, canvas: Canvas) -> None:
    """Fills all voxels that are still free."""
    for scene, part in scenes(spine, curve, around, canvas):
        _paint(scene, part)


def _paint(scene: Scene, canvas: Canvas) -> None:
    scene.tissue[scene.free] = Tissue.FAT
    fat = _fat(scene)
    skin = scene.profile(
        (-6, 70), (-2, 62), (1, 58), (4, 52), (7, 54), (10, 50), (14, 46), (19, 48), (23, 52), (26, 44), (30, 46)
    )
    skin = skin * np.float32(scene.spine.scale) + fat
    fascia = (
        skin - fat - np.float32(0.0045) * np.maximum(scene.side - 18, 0) ** 2 - 3 * np.exp(-((scene.side / 9) ** 2))
    )
    for low, high, painter in _TRUNK:
        if scene.shows(low, high):
            painter(scene)
    if scene.shows(25, 99):
        _pelvis(scene, canvas)
    _back_muscles(scene, fascia)
    if scene.shows(-1, 10):
        paint_neck(scene)
    if scene.shows(0.5, 18.5):
        paint_tubes(scene)
    paint_head(scene)
    _midline(scene, fascia)
    _outside(scene, skin)


def _fat(scene: Scene) -> Field:
    """Thickness of the fat under the skin of the back."""
    under = scene.profile((-2, 6), (3, 7), (7, 12), (12, 7), (18, 9), (23, 18), (27, 22))
    return under * np.float32(scene.spine.fat)


def _abdomen(scene: Scene) -> None:
    noise, deep = scene.noise, scene.deep
    level = scene.level + 0.4 * noise
    inside = (level > 18.9 - 0.02 * deep) & (deep > 11 + 4 * noise)
    scene.put(inside & (scene.fine > 1.4), Tissue.VEIN)
    loops = noise + 0.45 * scene.fine
    scene.put(inside & (loops > 0.2), Tissue.BOWEL)
    scene.put(inside & (np.abs(loops - 0.2) < 0.16), Tissue.SCAR)
    scene.put(inside & (loops > 1.1), Tissue.BOWEL_FLUID)
    scene.put(inside & (noise < -1.35 - np.clip((50 - deep) * 0.04, 0, 2)), Tissue.AIRWAY)
    liver = (level > 17.5 - 0.012 * deep) & (level < 20.8) & (scene.x < 12 + 12 * noise) & (deep > 16)
    scene.put(liver, Tissue.LIVER)
    scene.put(liver & (scene.fine > 1.75), Tissue.FLOW_VOID)
    kidney = ((scene.side - 60) / 23) ** 2 + ((scene.y + 24) / 25) ** 2 + ((scene.level - 20.4) / 1.75) ** 2
    scene.put(kidney < 1.15, Tissue.FAT)
    scene.put(kidney < 1, Tissue.KIDNEY)
    scene.put(kidney + 0.15 * scene.fine < 0.25, Tissue.FAT)


def _chest(scene: Scene) -> None:
    noise, deep, x = scene.noise, scene.deep, scene.x
    chest = (scene.level > 8.6 + 0.3 * noise) & (scene.level < 19.3 - 0.022 * deep + 0.15 * noise)
    beside = scene.profile((8, 17), (12, 16), (16, 18), (19, 24)) + 1.5 * noise
    lung = chest & ((deep > -4 + 2 * noise) | ((scene.side > beside) & (scene.y < 17 + 2 * noise)))
    scene.put(lung, Tissue.LUNG)
    scene.put(lung & (scene.fine > 2.2), Tissue.HEART)
    middle = ((x - 5) / (18 + 3 * noise)) ** 2 + ((deep - 14) / 21) ** 2 < 1
    scene.put(chest & middle, Tissue.FAT)
    scene.put(chest & middle & (scene.fine > 0.9), Tissue.SCAR)
    heart = chest & (
        ((x - 14) / 52) ** 2 + ((deep - 72) / 48) ** 2 + ((scene.level - 15.2) / 3.4) ** 2 + 0.12 * noise < 1
    )
    scene.put(heart, Tissue.HEART)
    wall = np.abs(noise + 0.3 * scene.fine) < 0.28
    scene.put(heart & wall, Tissue.MUSCLE)
    great = chest & (scene.level < 12.2) & (deep > 30) & (deep < 85) & (np.abs(x) < 34 + 5 * noise)
    scene.put(great, Tissue.FAT)
    scene.put(great & (noise + 0.2 * scene.fine > 0.1), Tissue.FLOW_VOID)


def _pelvis(scene: Scene, canvas: Canvas) -> None:
    deep, noise = scene.deep, scene.noise
    pelvis = (scene.level > 25.3) & (deep > 16 + 4 * noise)
    scene.put(pelvis & (noise + 0.5 * scene.fine > -0.1), Tissue.BOWEL)
    scene.put(pelvis & (noise + 0.5 * scene.fine > 1.3), Tissue.GLAND)
    _bladder(scene, canvas)
    ilium = scene.between(23.7, 29) & (scene.y < 24) & (np.abs(scene.side - 61 + 0.35 * scene.y + 2 * noise) < 8)
    scene.put(ilium, Tissue.CORTEX)
    scene.put(ilium & (np.abs(scene.side - 61 + 0.35 * scene.y + 2 * noise) < 6.6), Tissue.SACRAL_MARROW)


def _bladder(scene: Scene, canvas: Canvas) -> None:
    tail = scene.spine.coccyx[0].placed.origin + np.array([0.0, -72.0, 4.0])
    placed = Placed(tail, np.eye(3))
    box = canvas.box(placed, (-46, -40, -44), (46, 40, 44))
    if box is None:
        return
    bladder = ellipsoid(canvas.local(box, placed), (0, 0, 0), (38, 32, 36), 25, 0)
    free, tissue = scene.free[box], scene.tissue[box]
    tissue[free & (bladder < 1.15)] = Tissue.MUSCLE
    tissue[free & (bladder < 1)] = Tissue.FLUID


def _vessels(scene: Scene) -> None:
    x, deep, noise = scene.x, scene.deep, scene.noise
    sway = 0.8 * noise
    aorta = (x - 10 - sway) ** 2 + (deep - 14) ** 2
    here = scene.between(11, 23.1) & (scene.level < 23.1 - 0.2 * noise)
    scene.put(here & (aorta < 13**2), Tissue.FAT)
    scene.put(here & (aorta < 10.8**2), Tissue.LIGAMENT)
    scene.put(here & (aorta < 9.8**2), Tissue.FLOW_VOID)
    cava = (x + 17 - sway) ** 2 / 1.6 + (deep - 11) ** 2
    scene.put(scene.between(18.4, 23.4) & (cava < 8.5**2), Tissue.FLOW_VOID)
    apart = 6 + 8 * np.maximum(scene.level - 22.8, 0)
    iliac = (scene.side - apart) ** 2 + (deep - 11 + 1.2 * np.maximum(scene.level - 23, 0)) ** 2
    scene.put(scene.between(22.9, 26.5) & (iliac < 6.5**2), Tissue.FLOW_VOID)


def _back_muscles(scene: Scene, fascia: Field) -> None:
    y, side, noise = scene.y, scene.side, scene.noise
    start = scene.profile((0, 8), (3, 7), (7, 4), (12, 12), (18, 10), (20, 0), (26, 6)) + 1.5 * noise
    width = scene.profile((-2, 62), (4, 58), (8, 80), (18, 76), (24, 70), (28, 62))
    back = (y > start) & (y < fascia + noise) & (side < width + 3 * noise)
    scene.put(back, Tissue.MUSCLE)
    fatty = scene.spine.muscle
    lean = scene.profile((0, 1.9), (8, 2.1), (18, 2.0), (20, 2.0 - 0.6 * fatty), (26, 1.8 - 1.4 * fatty))
    inner = np.float32(0.5) * (side < 24) * np.float32(scene.spine.muscle)
    scene.put(back & (scene.fibres + 0.45 * noise > lean - inner), Tissue.MUSCLE_FAT)
    for place, slant in ((23.0, -0.25), (43.0, 0.1)):
        septum = np.abs(side - place - slant * (y - 25) - 2.5 * noise)
        scene.put(back & (septum < 0.65) & (scene.fine > -0.5), Tissue.MUSCLE_FAT)
    layers = back & (scene.level < 19) & (np.abs(y - fascia + 9 + 2 * noise) < 0.8)
    scene.put(layers, Tissue.MUSCLE_FAT)
    scene.put((y > fascia - 1.1) & (y < fascia + 0.4) & (scene.level > 7), Tissue.LIGAMENT)


def _side_muscles(scene: Scene) -> None:
    y, side, noise = scene.y, scene.side, scene.noise
    thick = scene.profile((18.9, 0.1), (20, 8), (24, 21), (27, 22))
    centre = scene.profile((19, 24), (22, 35), (24, 43), (27, 56))
    depth = scene.profile((19, 14), (22, 18), (24, 20), (27, 32))
    psoas = ((side - centre) / thick) ** 2 + ((y + depth) / (thick * 1.15)) ** 2 + 0.1 * noise
    here = scene.between(19, 30) & (psoas < 1)
    scene.put(here, Tissue.MUSCLE)
    scene.put(here & (scene.fibres > 2.0), Tissue.MUSCLE_FAT)
    square = scene.between(19.5, 23.9) & (((side - 66) / 18) ** 2 + ((y - 2) / 8) ** 2 + 0.1 * noise < 1)
    scene.put(square, Tissue.MUSCLE)
    thoracic = scene.between(8, 19) & (side > 27) & (y > 8) & (y < 22 + 2 * noise) & (scene.fine < 0.4)
    scene.put(thoracic, Tissue.MUSCLE)
    gluteal = (scene.level > 26) & (y > 8) & (side > 26 + 2 * noise) & (y < 44)
    scene.put(gluteal & (scene.fibres < 1.3), Tissue.MUSCLE)


def _midline(scene: Scene, fascia: Field) -> None:
    """Ligaments between and over the spinous processes."""
    y, side = scene.y, scene.side
    canal = scene.profile((1, 11), (7, 10), (14, 10.5), (19, 11.5), (24, 12), (27, 9))
    between = (side < 2.6 + 0.5 * scene.noise) & (y > canal) & scene.between(0.6, 25.6)
    deep = between & (y < fascia - 2)
    scene.put(deep, Tissue.MUSCLE_FAT)
    scene.put(
        deep & (0.6 * scene.fine + scene.fibres > scene.profile((2, 1.1), (7, 0.9), (9, 0.3), (26, 0.3))),
        Tissue.LIGAMENT,
    )
    tips = scene.profile((2, 40), (6, 46), (8, 48), (12, 42), (17, 42), (20, 44), (24, 44), (26, 30)) * np.float32(
        scene.spine.scale
    )
    band = (side < 2.4) & (np.abs(y - tips) < 1.5) & scene.between(7, 25)
    scene.put(band, Tissue.LIGAMENT)
    nuchal = (side < 0.7) & (y > 26) & (y < fascia - 1) & scene.between(1.5, 7) & (scene.fine > -0.3)
    scene.put(nuchal, Tissue.LIGAMENT)


def _outside(scene: Scene, skin: Field) -> None:
    y, side, level = scene.y, scene.side, scene.level
    rounded = skin - np.float32(0.0035) * side * side
    front = scene.profile(
        (-6, -110),
        (0, -100),
        (2.2, -90),
        (3.6, -64),
        (6.5, -62),
        (8.5, -85),
        (11, -125),
        (14, -160),
        (20, -180),
        (28, -200),
    )
    front = front + 2 * scene.noise
    flank = scene.profile((-6, 75), (2, 62), (6, 66), (8, 140), (12, 190), (28, 190))
    wall = (y < front + 16) & (level > 8.5)
    scene.put(wall, Tissue.FAT)
    scene.put(wall & (y > front + 11) & (scene.fine < 0.9), Tissue.MUSCLE)
    scene.put((y > rounded - 2) | (y < front + 2), Tissue.SKIN)
    scene.put((y > rounded) | (y < front) | (side > flank), Tissue.AIR)


_TRUNK = ((15.0, 99.0, _abdomen), (7.5, 20.5, _chest), (10.9, 26.6, _vessels), (8.0, 60.0, _side_muscles))
"""From which to which level each painter has something to paint."""
