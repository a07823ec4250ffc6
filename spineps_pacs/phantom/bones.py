"""Bodies, arches and processes as implicit functions of the vertebra's own coordinates (left, posterior, up; mm).

Every function gives q per voxel: below 1 inside, 1 on the surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spineps_pacs.phantom.grid import Field, Real
from spineps_pacs.phantom.spine import Body, Vertebra


@dataclass(frozen=True, eq=False)
class Local:
    """Coordinates of the voxels of a box in a vertebra's frame, and the roughness of surfaces (about unit variance)."""

    left: Field
    posterior: Field
    up: Field
    rough: Field


def plates(body: Body, left: Real, posterior: Real) -> tuple[Field, Field]:
    """How far above and below the body's centre its upper and lower endplate surfaces lie, in mm."""
    half_depth = body.depth / 2
    inside = 1 - np.minimum((left / (body.width / 2)) ** 2 + (posterior / half_depth) ** 2, 1)
    slope = float(np.tan(np.radians(body.wedge / 2)))
    rim = body.height / 2 - slope * posterior
    top = rim - body.hollow[0] * inside
    if body.collapse:
        away = (posterior / half_depth - body.collapse_at) / 1.1
        top = top - body.collapse * body.height / (1 + away**2)
    bottom = rim - body.hollow[1] * inside
    for node in body.nodes:
        off = (left - node.left * body.width / 2) ** 2 + (posterior - node.back * half_depth) ** 2
        dent = node.depth * np.exp(-((off / node.radius**2) ** 2))
        top, bottom = (top - dent, bottom) if node.upper else (top, bottom - dent)
    return np.asarray(top, dtype=np.float32), np.asarray(bottom, dtype=np.float32)


def body_outline(body: Body, at: Local, lip: Field | float = 0.0) -> Field:
    """q of the body's side wall; the plates bound it above and below."""
    waist = 1 - body.waist * np.maximum(0, 1 - (at.up / (body.height / 2)) ** 2)
    grown = waist * (1 + 0.02 * at.rough) + lip
    half_width = (body.width / 2) * (1 + np.clip(body.taper * at.posterior / (body.depth / 2), -0.3, 0.3))
    across = (at.left / (half_width * grown)) ** 2
    hollow = 1 - (at.posterior > 0) * body.kidney * np.maximum(0, 1 - 2 * across)
    along = (at.posterior / (body.depth / 2 * grown * hollow)) ** 2
    return np.asarray(across + along - body.square * across * along * (across + along < 2))


def capsule(
    at: Local, start: tuple[float, ...], end: tuple[float, ...], radii: tuple[float, float], flat: float = 1.0
) -> Field:
    """q of a rod that tapers from one point and radius to another; `flat` makes it taller than thick."""
    d = np.subtract(end, start)
    a, b, h = at.left - start[0], at.posterior - start[1], at.up - start[2]
    t = np.clip((a * d[0] + b * d[1] + h * d[2]) / float(d @ d), 0, 1)
    radius = radii[0] + (radii[1] - radii[0]) * t
    across = (a - t * d[0]) ** 2 + (b - t * d[1]) ** 2 + ((h - t * d[2]) / flat) ** 2
    return np.asarray(across / (radius * (1 + 0.08 * at.rough)) ** 2)


def ellipsoid(at: Local, centre: tuple[float, ...], radii: tuple[float, ...], lean: float, turn: float) -> Field:
    """q of an ellipsoid whose top leans forward by `lean` and whose front turns outward by `turn` degrees."""
    a, b, h = at.left - centre[0], at.posterior - centre[1], at.up - centre[2]
    c, s = float(np.cos(np.radians(turn))), float(np.sin(np.radians(turn)))
    a, b = c * a + s * b, c * b - s * a
    c, s = float(np.cos(np.radians(lean))), float(np.sin(np.radians(lean)))
    b, h = c * b + s * h, c * h - s * b
    return np.asarray(((a / radii[0]) ** 2 + (b / radii[1]) ** 2 + (h / radii[2]) ** 2) * (1 - 0.1 * at.rough))


def by_region(position: float, table: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    """A row of numbers between the rows of a table, whose first column is the position."""
    rows = np.array(table)
    return tuple(float(np.interp(position, rows[:, 0], rows[:, i])) for i in range(1, rows.shape[1]))


_LAMINA = (  # position, centre height as a fraction of the body height, how steeply it falls backwards, apex mm
    (2, -0.1, 0.25, 0.0), (7, -0.1, 0.3, 0.0), (10, -0.15, 0.4, 0.0), (17, -0.15, 0.4, 0.5), (20, -0.2, 0.3, 2.5),
    (24, -0.15, 0.3, 4.0),
)  # fmt: skip
_PEDICLE = ((2, -0.05), (4, 0.0), (7, 0.1), (9, 0.22), (19, 0.22), (22, 0.2), (24, 0.16))
_SUPERIOR = (  # position, beyond the canal's edge, behind the canal's centre / its half depth, above the upper rim,
    # radii left, posterior, up, lean, turn
    (2, 7.0, -0.1, -6.0, 7.0, 7.0, 4.0, 0, 0), (3, 6.6, 0.1, -2.6, 6.2, 4.4, 6.0, -38, 0),
    (6, 6.8, 0.2, -2.4, 6.4, 4.4, 6.0, -38, 0), (7, 6.2, 0.4, -1.0, 6.4, 4.0, 6.4, -30, 0),
    (8, 4.6, 0.75, 1.0, 6.0, 3.4, 7.0, -18, 0), (10, 3.6, 0.85, 1.0, 5.4, 3.0, 7.6, -14, 0),
    (17, 3.8, 0.85, 0.5, 5.6, 3.2, 8.4, -10, 0), (18.5, 5.0, 0.7, 0.0, 5.0, 4.4, 8.6, -6, 15),
    (20, 7.2, 0.5, -0.5, 5.6, 6.4, 9.2, -4, 30), (22, 8.6, 0.5, 0.0, 6.2, 7.2, 9.8, -4, 32),
    (24, 10.0, 0.6, 0.0, 6.8, 7.2, 9.6, -4, 42),
)  # fmt: skip
_INFERIOR = (  # the same, below the body's lower rim
    (2, 6.8, 0.5, 2.0, 6.2, 4.4, 6.0, -38, 0), (6, 6.8, 0.85, 2.6, 6.4, 4.4, 6.0, -38, 0),
    (7, 5.4, 1.1, 2.6, 6.2, 3.8, 6.6, -28, 0), (8, 3.0, 1.45, -0.6, 5.8, 3.4, 7.2, -18, 0),
    (10, 2.0, 1.5, -1.0, 5.2, 3.0, 7.8, -14, 0), (17, 2.0, 1.5, -1.0, 5.4, 3.2, 8.6, -10, 0),
    (18.5, 1.6, 1.6, -2.0, 4.8, 4.2, 9.4, -8, 15), (20, 1.5, 1.55, -3.2, 5.4, 5.8, 10.4, -6, 26),
    (22, 2.2, 1.5, -3.2, 6.0, 6.2, 11.0, -6, 30), (24, 4.6, 1.5, -2.0, 6.6, 6.4, 10.0, -6, 42),
)  # fmt: skip
_TRANSVERSE = (  # position, start: beyond canal edge, behind its centre, up; tip: behind the centre, up; radii; flat
    (2, 5.0, -8.0, -3.0, -5.0, -5.0, 4.2, 3.0, 1.1), (3, 5.0, -9.0, 0.0, -7.0, -2.5, 4.0, 3.0, 1.2),
    (6, 5.0, -9.0, 0.0, -6.0, -2.5, 4.2, 3.4, 1.2), (7, 6.0, -3.0, 2.0, 1.0, 1.0, 4.6, 3.6, 1.2),
    (8, 6.5, 5.0, 3.0, 10.0, 4.5, 4.8, 4.6, 1.2), (12, 5.5, 8.0, 3.5, 18.0, 6.0, 4.8, 5.0, 1.2),
    (17, 6.0, 8.5, 4.0, 16.0, 5.0, 4.8, 4.6, 1.2), (19, 7.0, 6.0, 3.0, 10.0, 2.0, 4.4, 3.6, 1.4),
    (20, 7.5, 1.0, 3.0, 4.5, 3.5, 3.6, 2.6, 1.7), (22, 9.0, -1.0, 2.5, 3.5, 3.5, 3.8, 2.8, 1.8),
    (24, 12.0, -5.0, 2.0, 2.0, 6.0, 6.5, 3.4, 1.4),
)  # fmt: skip


@dataclass(frozen=True)
class Canal:
    """The bony canal of one vertebra in its own frame: half width, half depth, centre behind the body's centre."""

    half_width: float
    half_depth: float
    centre: float


def bony_canal(v: Vertebra) -> Canal:
    """The canal's bony wall stands a little off the dural sac."""
    return Canal(v.posterior.canal_width / 2 + 0.8, v.posterior.canal_depth / 2 + 1.2, v.canal_centre)


def lamina_height(v: Vertebra, behind: Field | float) -> Field | float:
    """Height of the lamina's middle, at so many mm behind the canal's centre."""
    level, fall, _ = by_region(v.position, _LAMINA)
    return level * v.body.height - fall * behind


def arch(v: Vertebra, at: Local) -> Field:
    """Pedicles, laminae and the piece between the articular processes."""
    canal, part = bony_canal(v), v.posterior
    apex = by_region(v.position, _LAMINA)[2]
    behind, side = at.posterior - canal.centre, np.abs(at.left)
    gothic = apex * np.maximum(0, 1 - side / canal.half_width)
    inner = (at.left / canal.half_width) ** 2 + (behind / (canal.half_depth + gothic)) ** 2
    thick = part.lamina_thickness
    outer = (at.left / (canal.half_width + thick)) ** 2 + (behind / (canal.half_depth + gothic + thick)) ** 2
    level = (at.up - lamina_height(v, behind)) / (part.lamina_height / 2)
    lamina = np.maximum(outer * (1 - 0.1 * at.rough), level**2)
    lamina = np.where((inner < 1) | (behind < -1), np.float32(9), lamina)
    if part.removed:
        lamina = np.where(side < canal.half_width * 0.9, np.float32(9), lamina)
    (up,) = by_region(v.position, _PEDICLE)
    middle = canal.half_width + part.pedicle_width / 2
    pedicle = ((side - middle) / (part.pedicle_width / 2)) ** 2
    pedicle = pedicle + ((at.up - up * v.body.height) / (part.pedicle_height / 2)) ** 2
    reach = (at.posterior < canal.centre + canal.half_depth * 0.7) & (at.posterior > v.body.depth * 0.28)
    pedicle = np.where(reach & (inner > 1), pedicle, np.float32(9))
    return np.minimum(lamina, np.minimum(pedicle, _pars(v, at)))


def _pars(v: Vertebra, at: Local) -> Field:
    mirrored = Local(np.abs(at.left), at.posterior, at.up, at.rough)
    start, radii, _, _ = articular_place(v, upper=True)
    end = articular_place(v, upper=False)[0]
    return capsule(mirrored, start, end, (radii[0] * 0.72, radii[0] * 0.66))


def articular_place(v: Vertebra, upper: bool) -> tuple[tuple[float, ...], tuple[float, ...], float, float]:
    """Centre on the left side, radii, lean and turn of an articular process."""
    canal, scale = bony_canal(v), v.posterior.articular
    out, back, off, *rest = by_region(v.position, _SUPERIOR if upper else _INFERIOR)
    height = v.body.height / 2 + off if upper else -(v.body.height / 2 + off)
    if upper and v.dens:
        height = 1.0
    centre = (canal.half_width + out - 2.0, canal.centre + back * canal.half_depth, height)
    return centre, tuple(r * scale for r in rest[:3]), rest[3], rest[4]


def articular(v: Vertebra, at: Local, upper: bool) -> Field:
    """Both articular processes of one kind, mirrored about the middle."""
    mirrored = Local(np.abs(at.left), at.posterior, at.up, at.rough)
    centre, radii, lean, turn = articular_place(v, upper)
    return ellipsoid(mirrored, centre, radii, lean, turn)


def transverse(v: Vertebra, at: Local) -> Field:
    """Transverse (costal) processes; each side has its own length."""
    canal = bony_canal(v)
    out, back, up, tip_back, tip_up, r0, r1, flat = by_region(v.position, _TRANSVERSE)
    start = (canal.half_width + out - 1.5, canal.centre + back, up)
    sides = []
    for sign, span in zip((1.0, -1.0), v.posterior.transverse_span, strict=True):
        mirrored = Local(at.left * sign, at.posterior, at.up, at.rough)
        tip = (max(span / 2 - r1, start[0] + 1.0), canal.centre + tip_back, tip_up)
        q = capsule(mirrored, start, tip, (r0, r1), flat)
        sides.append(np.where(mirrored.left > 0, q, np.float32(9)))
    return np.minimum(sides[0], sides[1])


def spinous(v: Vertebra, at: Local) -> Field:
    """The spinous process: a blade from the arch backwards and down; forked at the tip from C2 to C6."""
    canal, part = bony_canal(v), v.posterior
    apex = by_region(v.position, _LAMINA)[2]
    behind = canal.half_depth + apex + part.lamina_thickness * 0.45
    b = at.posterior - canal.centre - behind
    h = at.up - lamina_height(v, behind)
    c, s = float(np.cos(np.radians(part.spinous_angle))), float(np.sin(np.radians(part.spinous_angle)))
    u, w = b * c - h * s, b * s + h * c
    t = u / part.spinous_length
    grow = 1 + (0.15 if v.position > 19 else -0.25) * t
    side = at.left - float(np.tan(np.radians(part.spinous_sideways))) * u
    thick = part.spinous_thickness / 2 * (0.8 + 0.35 * t**2)
    if v.position < 6.6:
        fork = np.clip((t - 0.55) / 0.4, 0, 1)
        side = np.abs(side) - 3.2 * fork
        thick = part.spinous_thickness / 2 * (1 - 0.45 * fork)
    tall = (w / (part.spinous_height / 2 * grow)) ** 2
    q = np.maximum(tall * tall * 0.5 + tall * 0.5, (side / np.maximum(thick, 0.5)) ** 2)
    end = np.maximum(t, 0.0) ** 4
    q = (q + end * end) * (1 - 0.1 * at.rough)
    return np.asarray(np.where(u < -part.lamina_thickness, np.float32(9), q))
