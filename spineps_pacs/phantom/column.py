"""Paints vertebral bodies with their endplates, discs, sacrum and coccyx."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.anatomy import CORPUS_ID, DISC_ID, DISC_OFFSET, ENDPLATE_ID, ENDPLATE_OFFSET, SACRUM_ID
from spineps_pacs.phantom.bones import Local, body_outline, ellipsoid, plates
from spineps_pacs.phantom.canvas import Canvas, Mask
from spineps_pacs.phantom.grid import Field
from spineps_pacs.phantom.spine import Body, Disc, Placed, Segment, Spine, Vertebra
from spineps_pacs.phantom.tissues import Tissue

CORTEX = 0.8
"""Thickness of the dark rim of a bone in mm."""


def paint_bodies(spine: Spine, canvas: Canvas) -> None:
    """Bodies (49) with caps (62); a fused pair has none between."""
    above_fused = False
    for v in spine.vertebrae:
        _paint_body(v, canvas, above_fused)
        above_fused = v.fused_below


def _paint_body(v: Vertebra, canvas: Canvas, fused_above: bool) -> None:
    reach, tall = v.body.width / 2 + 5, v.body.height / 2 + v.body.depth * 0.12 + 3
    box = canvas.box(v.placed, (-reach, -v.body.depth / 2 - 5, -tall), (reach, v.body.depth / 2 + 3, tall + v.dens))
    if box is None:
        return
    at = canvas.local(box, v.placed)
    top, bottom = plates(v.body, at.left, at.posterior)
    over, under = top - at.up, at.up + bottom
    rim = v.body.lip / (v.body.width / 2)
    lip: Field | float = 0.0
    if rim:
        lip = np.asarray(rim * (np.exp(-((over / 2.2) ** 2)) + np.exp(-((under / 2.2) ** 2))), dtype=np.float32)
    wall = body_outline(v.body, at, lip)
    inside = (wall < 1) & (over > 0) & (under > 0)
    dens = _dens(v, at) if v.dens else None
    caps = (under < v.body.cap[1]) & (not v.fused_below)
    if dens is None:
        caps |= (over < v.body.cap[0]) & (not fused_above)
    else:
        inside |= dens < 1
        caps &= dens >= 1
    free = canvas.free(box)
    tissue = _body_tissue(v, at, wall if dens is None else np.minimum(wall, dens), (over, under))
    canvas.paint(box, inside & ~caps & free, (CORPUS_ID, v.id), tissue)
    canvas.paint(box, inside & caps & free, (ENDPLATE_ID, ENDPLATE_OFFSET + v.id), int(Tissue.ENDPLATE))
    if dens is None:
        band = (
            (wall >= 1)
            & (wall < (1 + 2.4 / v.body.depth) ** 2)
            & (np.abs(at.left) < 0.36 * v.body.width)
            & (over > -1.2)
            & (under > -1.2)
        )
        canvas.paint(box, band & canvas.free(box), (0, 0), int(Tissue.LIGAMENT))


def _dens(v: Vertebra, at: Local) -> Field:
    radius, top = v.body.depth * 0.34, v.body.height / 2 + v.dens
    taper = 1 - 0.25 * np.clip((at.up - v.body.height / 2) / v.dens, 0, 1) ** 2
    across = (at.left**2 + (at.posterior - 0.5) ** 2) / (radius * taper) ** 2
    over = np.maximum(at.up - (top - radius), 0) / radius
    q = across * (1 - 0.1 * at.rough) + over**2
    return np.where(at.up < 0, np.float32(9), q)


def _body_tissue(v: Vertebra, at: Local, wall: Field, plate: tuple[Field, Field]) -> NDArray[np.uint8]:
    tissue = np.full(wall.shape, Tissue.MARROW, np.uint8)
    if v.oedema:
        tissue[plate[0] < v.body.height * (0.25 + 1.5 * v.body.collapse) + 2 * at.rough] = Tissue.OEDEMA
    for reach, away in zip(v.modic, plate, strict=True):
        if reach:
            tissue[away < reach * (1 + 0.3 * at.rough) * (1 - 0.3 * (at.posterior / v.body.depth))] = Tissue.MODIC
    deep = at.posterior / v.body.depth - 0.12
    vein = (np.abs(at.up + 0.4 * at.rough) < 0.5 + 3.2 * deep + 0.3 * at.rough) & (np.abs(at.left) < 3.5) & (deep > 0)
    tissue[vein & (v.position > 7.5)] = Tissue.VEIN
    if v.haemangioma is not None:
        a, b, h, radius = v.haemangioma
        centre = (a * v.body.width, b * v.body.depth, h * v.body.height)
        tissue[ellipsoid(at, centre, (radius, radius, radius * 1.15), 0, 0) < 1] = Tissue.HAEMANGIOMA
    shell = 1 - 2 * CORTEX / (v.body.depth / 2)
    tissue[(wall > shell) & ~(vein & (v.position > 7.5))] = Tissue.CORTEX
    if v.screws:
        side = np.abs(at.left) - v.body.width * 0.28
        rod = side**2 + (at.up - 0.1 * v.body.height) ** 2 < 3.2**2
        tissue[rod & (at.posterior > -v.body.depth * 0.25)] = Tissue.METAL
    return tissue


def paint_discs(spine: Spine, canvas: Canvas) -> None:
    """Discs (100) fill the space between two endplates; the lowest stands on the sacrum."""
    lower = [(v.placed, v.body) for v in spine.vertebrae[1:]] + [(spine.sacrum[0].placed, spine.sacrum[0].body)]
    for v, (placed, body) in zip(spine.vertebrae, lower, strict=True):
        if v.disc.present:
            _paint_disc(v, (placed, body), canvas)


def _paint_disc(v: Vertebra, lower: tuple[Placed, Body], canvas: Canvas) -> None:
    placed, body = lower
    middle = disc_frame(v, placed, body)
    width, depth = (v.body.width + body.width) / 4, disc_half_depth(v, body)
    reach = v.disc.height / 2 + depth * 0.35 + 6
    box = canvas.box(middle, (-width - 4, -depth - 4, -reach), (width + 4, depth + 5, reach))
    if box is None:
        return
    at = canvas.local(box, middle)
    part = canvas.grid.part(box)
    up_a, up_b, up_h = (part.along(axis, v.placed.origin) for axis in v.placed.axes)
    low_a, low_b, low_h = (part.along(axis, placed.origin) for axis in placed.axes)
    over = -up_h - plates(v.body, up_a, up_b)[1]
    under = low_h - plates(body, low_a, low_b)[0]
    bulge = 1 + 0.02 + v.disc.state * 0.04 + 0.02 * at.rough
    behind = depth * bulge + np.where(at.posterior > 0, np.float32(v.disc.bulge), np.float32(0))
    across, along = (at.left / (width * bulge)) ** 2, (at.posterior / behind) ** 2
    q = across + along - 0.4 * across * along * (across + along < 2)
    inside = (over > 0) & (under > 0) & (q < 1) & canvas.free(box)
    band = (over > 0) & (under > 0) & (q >= 1) & (q < (1 + 1.3 / depth) ** 2) & (np.abs(at.left) < 0.8 * width)
    canvas.paint(box, inside, (DISC_ID, DISC_OFFSET + v.id), _disc_tissue(v.disc, at, q, (over, under)))
    canvas.paint(box, band & canvas.free(box), (0, 0), int(Tissue.LIGAMENT))


def disc_half_depth(v: Vertebra, below: Body) -> float:
    """Half the depth of the disc between two bodies, without its bulge."""
    return (v.body.depth + below.depth) / 4


def disc_frame(v: Vertebra, placed: Placed, body: Body) -> Placed:
    """The frame in the middle between a vertebra and the body below it."""
    axes = v.placed.axes + placed.axes
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    upper, lower = v.placed.world(0, 0, -v.body.height / 2), placed.world(0, 0, body.height / 2)
    return Placed((upper + lower) / 2, axes)


def _disc_tissue(disc: Disc, at: Local, q: Field, plate: tuple[Field, Field]) -> NDArray[np.uint8]:
    kind = Tissue.NUCLEUS if disc.state < 0.33 else Tissue.NUCLEUS_DULL if disc.state < 0.66 else Tissue.NUCLEUS_BLACK
    tissue = np.full(q.shape, Tissue.ANNULUS, np.uint8)
    nucleus = q * (1 + 0.15 * at.rough) < 0.5
    tissue[nucleus] = kind
    if disc.state < 0.6:
        cleft = (np.abs(plate[0] - plate[1]) < 1.1) & (q < 0.3)
        tissue[cleft] = Tissue.NUCLEUS_DULL if kind == Tissue.NUCLEUS else Tissue.NUCLEUS_BLACK
    return tissue


def paint_sacrum(spine: Spine, canvas: Canvas) -> None:
    """The sacrum (26) with its alae, crest and foramina, remnants of its discs in the image; the coccyx unlabelled."""
    for n, piece in enumerate(spine.sacrum):
        _paint_segment(spine, canvas, n, piece)
    for piece in spine.coccyx:
        _paint_coccyx(canvas, piece)


def _paint_segment(spine: Spine, canvas: Canvas, n: int, piece: Segment) -> None:
    body, span = piece.body, piece.span * (1.0 if n else 1 + 0.05 * spine.sacralised)
    tall = body.height / 2 + (13 if n == 0 else 2.5)
    box = canvas.box(
        piece.placed, (-span - 4, -body.depth, -tall), (span + 4, body.depth / 2 + piece.canal_depth + 26, tall)
    )
    if box is None:
        return
    at = canvas.local(box, piece.placed)
    top = body.height / 2 - (body.hollow[0] * np.maximum(0, 1 - (at.left * 2 / body.width) ** 2) if n == 0 else -2.0)
    inside = (at.up < top) & (at.up > -body.height / 2 - 2.0)
    wall = body_outline(body, at)
    ala = _ala(piece, at, n)
    back = _crest(piece, at)
    q = np.minimum(np.minimum(wall, ala), back)
    if n == 0:
        q = np.minimum(q, _sacral_facets(piece, at))
        inside |= (at.up < body.height / 2 + 12) & (at.posterior > body.depth / 2 + 2) & (at.up > 0)
    hole = _foramen(piece, at) < 1
    mask = inside & (q < 1) & ~hole & canvas.free(box)
    tissue = np.where(q > 0.82, np.uint8(Tissue.CORTEX), np.uint8(Tissue.SACRAL_MARROW))
    edge = (body.height / 2 - at.up < 1.2) if n == 0 else np.abs(at.up - body.height / 2 - 0.5) < 0.9
    tissue[edge & (wall < 1)] = Tissue.ENDPLATE if n == 0 else Tissue.ANNULUS
    canvas.paint(box, mask, (SACRUM_ID, SACRUM_ID), tissue)
    canvas.paint(box, inside & hole & canvas.free(box), (0, 0), _foramen_tissue(piece, at))


def _ala(piece: Segment, at: Local, n: int) -> Field:
    """The lateral mass: a wedge that runs outward and backward, lower at its end on the first piece."""
    side = np.abs(at.left)
    out = side / piece.span
    middle = piece.body.depth * (-0.05 + 0.55 * out)
    thick = np.maximum(piece.body.depth * (0.46 - 0.12 * out), 2.0)
    fall = (8.0 * out if n == 0 else 0.0) * (at.up > 0)
    q = np.maximum(((at.posterior - middle) / thick) ** 2, out**4)
    return np.where(at.up > piece.body.height / 2 - fall, np.float32(9), q * (1 - 0.06 * at.rough))


def _crest(piece: Segment, at: Local) -> Field:
    """The back wall of the sacral canal and the crest in the middle."""
    if piece.canal_depth < 4:
        return np.full(at.left.shape, 9, np.float32)
    half_width, half_depth = piece.canal_width / 2 + 1, piece.canal_depth / 2 + 1.5
    behind = at.posterior - piece.body.depth / 2 - 1 - piece.canal_depth / 2
    inner = (at.left / half_width) ** 2 + (behind / half_depth) ** 2
    outer = (at.left / (half_width + 6)) ** 2 + (behind / (half_depth + 6)) ** 2
    ring = np.where((inner > 1) & (behind > -half_depth), outer, np.float32(9))
    low = at.up < piece.body.height / 2 - 0.3 * (behind + half_depth)
    ring = np.where(low, ring, np.float32(9))
    crest = (at.left / 3.5) ** 2 + ((behind - half_depth - 6) / 8) ** 2 + (at.up / (piece.body.height * 0.4)) ** 4
    return np.minimum(ring, crest)


def _sacral_facets(piece: Segment, at: Local) -> Field:
    """The upper articular processes of S1, part of the sacrum."""
    mirrored = Local(np.abs(at.left), at.posterior, at.up, at.rough)
    behind = piece.body.depth / 2 + 1 + piece.canal_depth * 0.75
    return ellipsoid(mirrored, (piece.canal_width / 2 + 8, behind, piece.body.height / 2 + 1), (5.5, 6.0, 9.0), -10, 45)


def _foramen(piece: Segment, at: Local) -> Field:
    centre = (piece.canal_width / 2 + 6, piece.body.depth * 0.15, -piece.body.height / 2)
    mirrored = Local(np.abs(at.left), at.posterior, at.up, at.rough)
    radius = 0.17 * piece.body.height + 1.5
    return ellipsoid(mirrored, centre, (radius, piece.body.depth, radius), 0, 0)


def _foramen_tissue(piece: Segment, at: Local) -> NDArray[np.uint8]:
    mirrored = Local(np.abs(at.left), at.posterior, at.up, at.rough)
    centre = (piece.canal_width / 2 + 6, piece.body.depth * 0.15, -piece.body.height / 2)
    root = ellipsoid(mirrored, centre, (2.4, piece.body.depth, 2.4), 0, 0) < 1
    return np.where(root, np.uint8(Tissue.ROOT), np.uint8(Tissue.EPIDURAL_FAT))


def _paint_coccyx(canvas: Canvas, piece: Segment) -> None:
    half = (piece.body.width / 2, piece.body.depth / 2, piece.body.height / 2)
    box = canvas.box(piece.placed, tuple(-h - 2 for h in half), tuple(h + 2 for h in half))  # type: ignore[arg-type]
    if box is None:
        return
    at = canvas.local(box, piece.placed)
    q = ellipsoid(at, (0, 0, 0), tuple(h * 1.15 for h in half), 0, 0)
    mask: Mask = (q < 1) & canvas.free(box)
    canvas.paint(box, mask, (0, 0), np.where(q > 0.7, np.uint8(Tissue.CORTEX), np.uint8(Tissue.SACRAL_MARROW)))
