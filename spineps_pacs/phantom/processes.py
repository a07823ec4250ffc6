"""Paints arches and processes, the joints between them, ribs, C1 and pedicle screws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.phantom import bones
from spineps_pacs.phantom.bones import Local, bony_canal, capsule
from spineps_pacs.phantom.canvas import Canvas
from spineps_pacs.phantom.grid import Box, Field
from spineps_pacs.phantom.spine import Spine, Vertebra
from spineps_pacs.phantom.tissues import Tissue

ARCH, SPINOUS, COSTAL, SUPERIOR, INFERIOR = 41, 42, 43, 45, 47
"""SPINEPS ids; of the paired ones the left, the right is one more."""
JOINT_GAP = 0.22
"""Two bones that come nearer than this (in q) leave a joint between them."""


def paint_processes(spine: Spine, canvas: Canvas) -> None:
    """Everything behind the bodies, from the head down."""
    for v in spine.vertebrae:
        box = _box(v, canvas)
        if box is not None:
            _paint(v, canvas, box, spine)
    for v in spine.vertebrae:
        if v.ribs:
            _paint_ribs(v, canvas)
    _paint_atlas(spine, canvas)


def _box(v: Vertebra, canvas: Canvas) -> Box | None:
    part, canal = v.posterior, bony_canal(v)
    reach = max(*part.transverse_span, v.body.width + 16, 46) / 2 + 4
    fall = np.sin(np.radians(part.spinous_angle)) * part.spinous_length
    low = -v.body.height / 2 - max(22.0, fall + part.spinous_height * 0.7)
    behind = canal.centre + canal.half_depth + part.spinous_length + 16
    return canvas.box(v.placed, (-reach, -v.body.depth * 0.3, low), (reach, behind, v.body.height / 2 + 16))


def _paint(v: Vertebra, canvas: Canvas, box: Box, spine: Spine) -> None:
    at = canvas.local(box, v.placed)
    q, structure = _parts(v, at)
    if spine.sacralised and v is spine.vertebrae[-1]:
        q, structure = _widened(v, at, q, structure)
    taken = canvas.tissues[box] != 255
    others = canvas.nearness[box]
    ours = (q < 1) & (~taken | ((others < 9) & (q < others)))
    joint = (q < 1) & (others < 1) & (np.abs(q - others) < JOINT_GAP)
    tissue = np.where(q > _shell(v), np.uint8(Tissue.CORTEX), np.uint8(Tissue.ARCH_MARROW))
    if v.screws:
        tissue[_screw(v, at)] = Tissue.METAL
    canvas.structures[box][ours] = structure[ours]
    canvas.instances[box][ours] = v.id
    canvas.tissues[box][ours] = tissue[ours]
    canvas.paint(box, joint, (0, 0), int(Tissue.JOINT))
    np.minimum(others, np.where(ours, q, np.float32(9)), out=others)
    if v.posterior.removed:
        _paint_gap(v, canvas, box, at)


def _parts(v: Vertebra, at: Local) -> tuple[Field, NDArray[np.uint8]]:
    """The surface of the whole arch with its processes, and which of them is where; the first keeps a shared voxel."""
    right = (at.left < 0).astype(np.uint8)
    parts = [(SPINOUS, bones.spinous(v, at))] if not v.posterior.removed else []
    parts += [
        (COSTAL, bones.transverse(v, at)),
        (INFERIOR, bones.articular(v, at, upper=False)),
        (SUPERIOR, bones.articular(v, at, upper=True)),
        (ARCH, bones.arch(v, at)),
    ]
    q = np.full(at.left.shape, 9, np.float32)
    structure = np.zeros(at.left.shape, np.uint8)
    for label, field in parts:
        new = (field < 1) & (structure == 0)
        structure[new] = label
        if label in (COSTAL, INFERIOR, SUPERIOR):
            structure[new] += right[new]
        q = np.minimum(q, field)
    return q, structure


def _shell(v: Vertebra) -> float:
    return 0.45 if v.position < 8 else 0.5 if v.position < 19 else 0.6


def _widened(v: Vertebra, at: Local, q: Field, structure: NDArray[np.uint8]) -> tuple[Field, NDArray[np.uint8]]:
    """A sacralised last lumbar vertebra: its transverse processes broaden down to the alae."""
    mirrored = Local(np.abs(at.left), at.posterior, at.up, at.rough)
    start = (v.body.width / 2 - 1, v.body.depth * 0.3, -1.0)
    wing = capsule(mirrored, start, (v.body.width / 2 + 17, v.body.depth * 0.5, -v.body.height * 0.5), (7.5, 9.5), 1.5)
    new = (wing < 1) & (structure == 0)
    structure[new] = COSTAL + (at.left[new] < 0)
    return np.minimum(q, wing), structure


def _screw(v: Vertebra, at: Local) -> NDArray[np.bool_]:
    side = np.abs(at.left) - v.body.width * 0.28
    head = v.canal_centre + v.posterior.canal_depth
    rod = (at.posterior - head) ** 2 + side**2 < 5.0**2
    shaft = (side**2 + (at.up - 0.1 * v.body.height) ** 2 < 3.2**2) & (at.posterior < head)
    return np.asarray(shaft | (rod & (np.abs(at.up) < v.body.height * 0.7)))


def _paint_gap(v: Vertebra, canvas: Canvas, box: Box, at: Local) -> None:
    canal = bony_canal(v)
    behind = at.posterior - canal.centre - canal.half_depth
    track = (
        (np.abs(at.left) < 7 + 2 * at.rough)
        & (behind > -1)
        & (behind < 45)
        & (np.abs(at.up + 4) < v.body.height * 0.75)
    )
    free = track & canvas.free(box)
    canvas.paint(box, free, (0, 0), int(Tissue.SCAR))
    pool = free & (((at.left / 6) ** 2 + ((behind - 12) / 10) ** 2 + ((at.up + 4) / 14) ** 2) < 1)
    canvas.paint(box, pool, (0, 0), int(Tissue.FLUID))


def _paint_ribs(v: Vertebra, canvas: Canvas) -> None:
    canal, span = bony_canal(v), max(v.posterior.transverse_span) / 2
    short = 0.5 if v.position > 17.5 else 1.0
    low, high = (-span - 60, -6.0, -50.0), (span + 60, canal.centre + 45, v.body.height / 2 + 10)
    box = canvas.box(v.placed, low, high)
    if box is None:
        return
    at = canvas.local(box, v.placed)
    mirrored = Local(np.abs(at.left), at.posterior, at.up, at.rough)
    head = (v.body.width / 2 + 3.0, v.body.depth * 0.36, v.body.height * 0.42)
    neck = (span + 2, canal.centre + canal.half_depth + 5, v.body.height * 0.1)
    angle = (span + 12 + 16 * short, canal.centre + canal.half_depth + 12, -10.0)
    end = (span + 15 + 36 * short, canal.centre + canal.half_depth, -30.0)
    q = capsule(mirrored, head, neck, (4.6, 4.2))
    q = np.minimum(q, capsule(mirrored, neck, angle, (4.2, 4.4), 1.5))
    q = np.minimum(q, capsule(mirrored, angle, end, (4.4, 4.2), 1.6))
    tissue = np.where(q > 0.55, np.uint8(Tissue.CORTEX), np.uint8(Tissue.RIB_MARROW))
    canvas.paint(box, (q < 1) & canvas.free(box), (0, 0), tissue)


def _paint_atlas(spine: Spine, canvas: Canvas) -> None:
    """C1 as a ring around dens and canal: bone in the image, without a label, as SPINEPS has none for it."""
    v, k = spine.vertebrae[0], spine.scale
    up = v.body.height / 2 + 10 * k
    box = canvas.box(v.placed, (-45, -22, up - 18), (45, 45, up + 18))
    if box is None:
        return
    at = canvas.local(box, v.placed)
    mirrored = Local(np.abs(at.left), at.posterior, at.up, at.rough)
    front, side, back = (0.0, -10 * k, up), (18 * k, 4 * k, up), (0.0, v.canal_centre + 13.5 * k, up - 1)
    q = capsule(mirrored, front, (12 * k, -5 * k, up), (3.4 * k, 4.4 * k), 1.5)
    q = np.minimum(q, bones.ellipsoid(mirrored, side, (6.5 * k, 8 * k, 8 * k), 0, 20))
    q = np.minimum(q, capsule(mirrored, side, (36 * k, 4 * k, up - 2), (4.0, 3.2)))
    q = np.minimum(
        q, capsule(mirrored, (19 * k, 9 * k, up), (11 * k, v.canal_centre + 10 * k, up), (3.0 * k, 3.2 * k), 1.3)
    )
    q = np.minimum(q, capsule(mirrored, (11 * k, v.canal_centre + 10 * k, up), back, (3.2 * k, 3.6 * k), 1.3))
    tissue = np.where(q > 0.55, np.uint8(Tissue.CORTEX), np.uint8(Tissue.ARCH_MARROW))
    canvas.paint(box, (q < 1) & canvas.free(box), (0, 0), tissue)
