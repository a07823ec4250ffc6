"""What is true of a phantom spine: its levels and measurements, from the parameters that were voxelised.

All lengths in mm, areas in mm2, volumes in mm3, angles in degrees, points in LPS mm. A body is corpus and endplates
together (49 and 62); its frame has the axes left, posterior, up, where up is the mean normal of its two endplates.

- *body height*: along up, between the outer surfaces of the upper and the lower endplate, in the mid-sagittal plane, at
  0.1 (anterior), 0.5 (middle) and 0.9 (posterior) of the depth from front to back wall, where the depth is taken at the
  rims; the mean over 0.06 of the depth and 0.15 of the width to each side. C2 has none (the dens is no endplate).
- *disc height*: the same of the space between two endplates, along the bisector of the two bodies' up axes, at 0.1, 0.5
  and 0.9 of the disc's depth. None where there is no disc.
- *canal area, cord area, canal AP diameter*: in the plane at a right angle to the canal through the canal's centre at
  the height of the body's centre. The canal is the dural sac with the cord in it. The cord's area is 0 below the conus.
- *slip* of a body on the next one: how far the back corner of its lower endplate lies in front of the back corner of
  the upper endplate below, along that endplate in the mid-sagittal plane; positive forward.
- *angles*, between endplate normals (plane through the inner 0.8 of an endplate) in the sagittal plane: cervical
  lordosis from the lower endplate of C2 to the lower one of C7, thoracic kyphosis from the upper one of T4 (and of T1)
  to the lower one of the last thoracic vertebra, lumbar lordosis from the upper one of L1 to that of S1. Lordosis and
  kyphosis are both positive. They are given for the whole spine, whatever is in view.
- *volumes* count voxels of the labels: a vertebra's (49 and 41 to 48 of its id), its endplates', its disc's.
- *centroid*: the mean of a vertebra's voxels (of structure 49 for the body's), `visible` is "whole" when all of the
  body lies inside the grid, else "cut".
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy import ndimage

from spineps_pacs.domain.anatomy import CORPUS_ID, DISC_OFFSET, ENDPLATE_OFFSET, SACRUM_ID, VERTEBRAE
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.phantom.bones import plates
from spineps_pacs.phantom.canal import Curve, canal_curve, cord_profile
from spineps_pacs.phantom.column import disc_frame, disc_half_depth
from spineps_pacs.phantom.grid import Floats
from spineps_pacs.phantom.spine import Body, Placed, Segment, Spine, Vertebra
from spineps_pacs.phantom.voxels import Labels

PLACES = {"anterior": 0.1, "middle": 0.5, "posterior": 0.9}
"""Where heights are taken, as a part of the depth from the front."""
ALONG, ACROSS = 0.06, 0.15
"""Half sizes of the patch over which a height is averaged, as parts of depth and width."""
INNER = 0.8
"""Part of an endplate that says how it lies."""
Record = dict[str, Any]
Boxes = list[tuple[slice, slice, slice] | None]


def truth_of(spine: Spine, labels: Labels) -> Record:
    """Everything that is true of a spine in a field of view, ready for JSON."""
    curve = canal_curve(spine)
    boxes: Boxes = ndimage.find_objects(labels.instances)
    inside = {i for i, box in enumerate(boxes, start=1) if box is not None}
    levels = [_level(spine, curve, labels, boxes, n) for n, v in enumerate(spine.vertebrae) if v.id in inside]
    if SACRUM_ID in inside:
        levels.append(_sacrum_level(spine, labels, boxes))
    return {
        "seed": spine.seed,
        "wishes": json.loads(json.dumps(asdict(spine.wishes))),
        "geometry": _geometry(labels.geometry),
        "sequence": [v.name for v in spine.vertebrae] + ["S1"],
        "levels": levels,
        "structures": _structures(labels),
        "angles": angles(spine),
        "conus_mm": _rounded(curve.at(curve.points, np.array([curve.where(spine.conus)]))[0]),
    }


def _geometry(geometry: Geometry) -> Record:
    return {
        "affine": [[float(x) for x in row] for row in geometry.affine],
        "shape": list(geometry.shape),
        "frame_of_reference_uid": geometry.frame_of_reference_uid,
    }


def _rounded(values: Floats) -> list[float]:
    return [round(float(x), 3) for x in values]


def _level(spine: Spine, curve: Curve, labels: Labels, boxes: Boxes, n: int) -> Record:
    v = spine.vertebrae[n]
    below = spine.vertebrae[n + 1] if n + 1 < len(spine.vertebrae) else spine.sacrum[0]
    heights = None if v.dens else body_heights(v.body)
    return {
        "id": v.id,
        "name": v.name,
        "visible": _visible(v.placed, v.body, labels.geometry, v.dens),
        "body_centre": _rounded(v.placed.origin),
        **_volumes(v.id, labels, boxes),
        "body_height": heights,
        "body_height_ratio": None if heights is None else round(heights["anterior"] / heights["posterior"], 4),
        "disc_height": disc_heights(v, below) if v.disc.present else None,
        **canal_at(spine, curve, v),
        "slip": round(slip(v, below), 3),
    }


def _sacrum_level(spine: Spine, labels: Labels, boxes: Boxes) -> Record:
    first = spine.sacrum[0]
    visible = {_visible(s.placed, s.body, labels.geometry, 0.0) for s in spine.sacrum}
    return {
        "id": SACRUM_ID,
        "name": VERTEBRAE[SACRUM_ID].name,
        "visible": "whole" if visible == {"whole"} else "cut",
        "body_centre": _rounded(first.placed.origin),
        **_volumes(SACRUM_ID, labels, boxes),
    }


def _volumes(identity: int, labels: Labels, boxes: Boxes) -> Record:
    volume = labels.geometry.voxel_volume

    def points(instance: int, structure: int = 0) -> Floats:
        box = boxes[instance - 1] if instance <= len(boxes) else None
        if box is None:
            return np.zeros((0, 3))
        own = labels.instances[box] == instance
        if structure:
            own &= labels.structures[box] == structure
        return np.asarray(np.argwhere(own) + np.array([b.start for b in box]), dtype=float)

    whole, body = points(identity), points(identity, CORPUS_ID)
    return {
        "centroid": _rounded(labels.geometry.to_world(whole.mean(axis=0))),
        "body_centroid": _rounded(labels.geometry.to_world(body.mean(axis=0))) if len(body) else None,
        "volume": round(len(whole) * volume, 2),
        "endplate_volume": round(len(points(identity + ENDPLATE_OFFSET)) * volume, 2),
        "disc_volume": round(len(points(identity + DISC_OFFSET)) * volume, 2),
    }


def _structures(labels: Labels) -> Record:
    ids, counts = np.unique(labels.structures, return_counts=True)
    volume = labels.geometry.voxel_volume
    return {str(i): round(float(c) * volume, 2) for i, c in zip(ids.tolist(), counts.tolist(), strict=True) if i}


def _visible(placed: Placed, body: Body, geometry: Geometry, dens: float) -> str:
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rims = [
        (body.width / 2 * np.cos(t), body.depth / 2 * np.sin(t), h)
        for t in turn
        for h in (-body.height / 2, body.height / 2 + dens)
    ]
    index = geometry.to_index(placed.origin + np.array(rims) @ placed.axes)
    whole = (index > -0.5).all() and (index < np.array(geometry.shape) - 0.5).all()
    return "whole" if whole else "cut"


def walls(body: Body) -> tuple[float, float]:
    """Front and back of a body at its rims in the mid-sagittal plane, mm from its centre."""
    return -body.depth / 2, body.depth / 2 * (1 - body.kidney)


def _patch(body: Body, part: float) -> tuple[Floats, Floats]:
    front, back = walls(body)
    along = front + (part + np.linspace(-ALONG, ALONG, 13)) * (back - front)
    across = np.linspace(-ACROSS, ACROSS, 7) * body.width
    a, b = np.meshgrid(across, along)
    return a, b


def body_heights(body: Body) -> dict[str, float]:
    """Heights of a body at its three places."""
    found = {}
    for name, part in PLACES.items():
        top, bottom = plates(body, *_patch(body, part))
        found[name] = round(float((top + bottom).mean()), 3)
    return found


def disc_heights(v: Vertebra, below: Vertebra | Segment) -> dict[str, float]:
    """Heights of the space between two bodies at its three places."""
    middle = disc_frame(v, below.placed, below.body)
    half = disc_half_depth(v, below.body)
    up = np.arange(-25, 25, 0.02)
    found = {}
    for name, part in PLACES.items():
        b = -half + (part + np.linspace(-ALONG, ALONG, 5)) * 2 * half
        a = np.linspace(-ACROSS, ACROSS, 5) * v.body.width
        points = np.stack(np.meshgrid(a, b, up, indexing="ij"), axis=-1) @ middle.axes + middle.origin
        over = (points - v.placed.origin) @ v.placed.axes.T
        under = (points - below.placed.origin) @ below.placed.axes.T
        free = (-over[..., 2] > plates(v.body, over[..., 0], over[..., 1])[1]) & (
            under[..., 2] > plates(below.body, under[..., 0], under[..., 1])[0]
        )
        found[name] = round(float(free.sum(axis=-1).mean()) * 0.02, 3)
    return found


def canal_at(spine: Spine, curve: Curve, v: Vertebra) -> dict[str, float]:
    """Areas and depth of canal and cord at a vertebra."""
    centre = v.placed.world(0, v.canal_centre, 0)
    s = np.array([curve.s[int(np.argmin(np.sum((curve.points - centre) ** 2, axis=1)))]])
    half_width, half_depth = float(curve.at(curve.half_width, s)[0]), float(curve.at(curve.half_depth, s)[0])
    front = half_depth - min(float(curve.at(curve.indent, s)[0]), half_depth * 1.1)
    y = np.linspace(-half_depth, half_depth, 4001)
    chords = 2 * half_width * np.sqrt(np.maximum(0, 1 - (y / half_depth) ** 2)) * (y > -front)
    width, depth, _ = cord_profile(spine, curve, s)
    return {
        "canal_area": round(float(np.trapezoid(chords, y)), 2),
        "cord_area": round(float(np.pi * width[0] * depth[0]), 2),
        "canal_ap_diameter": round(front + half_depth, 3),
    }


def _corner(placed: Placed, body: Body, upper: bool) -> Floats:
    back = walls(body)[1]
    top, bottom = plates(body, np.zeros(1), np.array([back]))
    return placed.world(0.0, back, float(top[0]) if upper else -float(bottom[0]))


def slip(v: Vertebra, below: Vertebra | Segment) -> float:
    """How far a body stands in front of the next one."""
    normal = plate_normal(below.placed, below.body, upper=True)
    back = below.placed.axes[1] - normal * float(below.placed.axes[1] @ normal)
    back /= np.linalg.norm(back)
    return float((_corner(below.placed, below.body, upper=True) - _corner(v.placed, v.body, upper=False)) @ back)


def plate_normal(placed: Placed, body: Body, upper: bool) -> Floats:
    """The upward unit normal of an endplate: of the plane through its inner part."""
    a, b = np.meshgrid(np.linspace(-1, 1, 21), np.linspace(-1, 1, 21))
    inner = a**2 + b**2 < 1
    a, b = a[inner] * body.width / 2 * INNER, b[inner] * body.depth / 2 * INNER
    top, bottom = plates(body, a, b)
    fit = np.linalg.lstsq(np.column_stack([np.ones(len(a)), a, b]), top if upper else -bottom, rcond=None)[0]
    normal = np.array([-fit[1], -fit[2], 1.0]) @ placed.axes
    return np.asarray(normal / np.linalg.norm(normal))


def angles(spine: Spine) -> dict[str, float]:
    """Lordosis and kyphosis of the whole spine, whatever the field of view shows."""
    last = [v for v in spine.vertebrae if v.name.startswith("T")][-1].name

    def normal(name: str, upper: bool) -> tuple[Floats, Floats]:
        one = spine.sacrum[0] if name == "S1" else spine.vertebra(name)
        return plate_normal(one.placed, one.body, upper), one.placed.axes[0]

    return {
        "lordosis_cervical": _between(normal("C2", False), normal("C7", False)),
        "kyphosis_thoracic": -_between(normal("T4", True), normal(last, False)),
        "kyphosis_thoracic_from_t1": -_between(normal("T1", True), normal(last, False)),
        "lordosis_lumbar": _between(normal("L1", True), normal("S1", True)),
    }


def _between(upper: tuple[Floats, Floats], lower: tuple[Floats, Floats]) -> float:
    """Degrees by which the upper normal leans further back than the lower one."""
    left = upper[1] + lower[1]
    left /= np.linalg.norm(left)
    up = upper[0] + lower[0]
    up -= left * float(up @ left)
    up /= np.linalg.norm(up)
    back = np.cross(up, left)
    lean = [np.arctan2(float(n @ back), float(n @ up)) for n, _ in (upper, lower)]
    return round(float(np.degrees(lean[0] - lean[1])), 3)
