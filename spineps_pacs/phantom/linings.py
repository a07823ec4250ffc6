"""Paints what lies between the bones: nerve roots in their foramina, yellow ligaments, epidural fat. Image only."""

from __future__ import annotations

import numpy as np

from spineps_pacs.phantom.bones import Local, bony_canal, capsule, ellipsoid, lamina_height
from spineps_pacs.phantom.canvas import Canvas, Mask
from spineps_pacs.phantom.grid import Field
from spineps_pacs.phantom.spine import Spine, Vertebra
from spineps_pacs.phantom.tissues import Tissue


def paint_linings(spine: Spine, canvas: Canvas) -> None:
    """Around every canal level, where no bone is."""
    for v in spine.vertebrae:
        reach, canal = v.body.width / 2 + 14, bony_canal(v)
        low = (-reach, v.body.depth * 0.1, -v.body.height * 1.3 - 6)
        box = canvas.box(v.placed, low, (reach, canal.centre + canal.half_depth + 16, v.body.height * 0.6))
        if box is None:
            continue
        at = canvas.local(box, v.placed)
        for mask, tissue in (
            (_root(v, at) < 1, Tissue.ROOT),
            (_flavum(v, at), Tissue.LIGAMENT),
            (_fat(v, at), Tissue.EPIDURAL_FAT),
        ):
            canvas.paint(box, mask & canvas.free(box), (0, 0), int(tissue))


def _root(v: Vertebra, at: Local) -> Field:
    """A root with its ganglion; below the pedicle, in the neck at the height of the disc."""
    mirrored, canal, half = Local(np.abs(at.left), at.posterior, at.up, at.rough), bony_canal(v), v.body.height / 2
    k = v.body.depth / 33
    if v.position < 8:
        inner = (canal.half_width - 2, canal.centre - 1, -half + 1)
        ganglion = (canal.half_width + 7, canal.centre - 6, -half - 3)
        outer = (canal.half_width + 18, canal.centre - 12, -half - 8)
        radii = (1.2, 2.2)
    else:
        inner = (canal.half_width - 1, canal.centre - 2, 0.0)
        ganglion = (canal.half_width + v.posterior.pedicle_width * 0.55, canal.centre - 5 * k, -half * 0.75)
        outer = (v.body.width / 2 + 9, v.body.depth * 0.25, -half - 9)
        radii = (1.3, 1.9 + 1.2 * k)
    q = capsule(mirrored, inner, ganglion, radii)
    return np.minimum(q, capsule(mirrored, ganglion, outer, (radii[1], radii[1] * 0.7)))


def _flavum(v: Vertebra, at: Local) -> Mask:
    """From the inner face of a lamina down to the next one."""
    canal = bony_canal(v)
    behind = at.posterior - canal.centre
    side = 1 - np.minimum(np.abs(at.left) / canal.half_width, 1)
    inner = (at.left / canal.half_width) ** 2 + (behind / (canal.half_depth + 2.0 * side)) ** 2
    outer = (at.left / (canal.half_width + 3)) ** 2 + (behind / (canal.half_depth + 2.0 * side + 3)) ** 2
    level = at.up - lamina_height(v, behind)
    tall = (level < v.posterior.lamina_height / 2) & (level > -v.posterior.lamina_height / 2 - 12)
    return np.asarray((inner > 1) & (outer < 1) & (behind > canal.half_depth * 0.3) & tall)


def _fat(v: Vertebra, at: Local) -> Mask:
    """Fat behind the sac and in the foramina."""
    canal, k = bony_canal(v), v.body.depth / 33
    mirrored = Local(np.abs(at.left), at.posterior, at.up, at.rough)
    half = v.body.height / 2
    middle = ellipsoid(
        at, (0, canal.centre + canal.half_depth + 0.5, -half * 1.2), (8 * k, 4.5 * k + 1, 9 * k + 2), 0, 0
    )
    foramen = (canal.half_width + v.posterior.pedicle_width * 0.5, canal.centre - canal.half_depth * 0.5, -half * 0.95)
    side = ellipsoid(mirrored, foramen, (v.posterior.pedicle_width * 0.7 + 3, 4.5 + 3 * k, 6 + 5 * k), 0, 0)
    sleeve = (at.left / (canal.half_width + 1.2)) ** 2 + ((at.posterior - canal.centre) / (canal.half_depth + 1.6)) ** 2
    return np.asarray((middle < 1) | (side < 1) | ((sleeve < 1) & (np.abs(at.up) < half * 1.4)))
