"""Cleans what the semantic network drew: small pieces, pieces away from the spine, holes; on the model's grid.

Index order (P, I, R). Both modes clean alike; nothing here is known to be wrong in the reference. `one_sacrum` is ours,
for networks that see a sacrum where none can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import fill_voids
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.analysis.geometry import Box, Zoom
from spineps_pacs.analysis.pieces import centres, pieces, sizes
from spineps_pacs.domain.anatomy import CANAL_ID, CORD_ID, CORPUS_ID, DISC_ID, SACRUM_ID

Labels = NDArray[np.uint8]

SMALL_MM3 = 27.84375
"""30 voxels of 0.75 x 0.75 x 1.65 mm: smaller pieces are noise."""
SMALL_CLEANED = (*range(41, 50), CANAL_ID, DISC_ID)
BOX_MARGIN_MM = 3.0
CANAL_MARGIN_MM = 64.0
FILLED = (CORPUS_ID, CANAL_ID, DISC_ID, CORD_ID)
"""In this order; a later label fills only what is still background."""
LEAST_SACRUM_MM3 = 1000.0
"""Less is no sacrum (a whole one has some 100 000 mm3; a field of view may end within its first segment)."""
MOST_BODY = 0.9
"""A sacrum's centre lies below so much of all that is vertebral body."""


@dataclass(frozen=True)
class Cleaning:
    """Which steps are done; these are the reference's own defaults."""

    beyond_canal: bool = False
    small_pieces: bool = True
    stray_pieces: bool = True
    holes: bool = True
    one_sacrum: bool = False


def clean(labels: Labels, zoom: Zoom, steps: Cleaning) -> Labels:
    """All steps in the reference's order, ours before them."""
    if steps.one_sacrum:
        labels = with_one_sacrum(labels, zoom)
    if steps.beyond_canal:
        labels = without_beyond_canal(labels, zoom)
    if steps.small_pieces:
        labels = without_small_pieces(labels, zoom)
    if steps.beyond_canal:
        labels = without_beyond_canal(labels, zoom)
    if steps.stray_pieces:
        labels = without_stray_pieces(labels, zoom)
    if steps.beyond_canal and steps.stray_pieces:
        labels = without_stray_pieces(without_beyond_canal(labels, zoom), zoom)
    return filled(labels) if steps.holes else labels


def with_one_sacrum(labels: Labels, zoom: Zoom) -> Labels:
    """Of all pieces of sacrum only the largest below the bodies stays, with what lies around it."""
    found, count = pieces(labels == SACRUM_ID, 26)
    if not count:
        return labels
    heights = np.repeat(np.arange(labels.shape[1]), (labels == CORPUS_ID).sum(axis=(0, 2)))
    above = float(np.quantile(heights, MOST_BODY)) if heights.size else -1.0
    middles, volumes = centres(found), sizes(found)
    order = [n - 1 for n in sorted(volumes, key=lambda n: -volumes[n]) if middles[n][1] > above]
    kept: list[int] = []
    if order and volumes[order[0] + 1] * zoom[0] * zoom[1] * zoom[2] >= LEAST_SACRUM_MM3:
        boxes = [_grown(box, int(BOX_MARGIN_MM / min(zoom)), labels.shape) for box in ndimage.find_objects(found)]
        kept = [n + 1 for n in _reached(boxes, order, 0)]
    return np.where((found > 0) & ~np.isin(found, kept), 0, labels).astype(np.uint8)


def without_small_pieces(labels: Labels, zoom: Zoom) -> Labels:
    """Pieces of one label (joined by faces) that are smaller than 27.8 mm3 become background."""
    least = max(round(SMALL_MM3 / (zoom[0] * zoom[1] * zoom[2])), 1)
    found, _ = pieces(np.where(np.isin(labels, SMALL_CLEANED), labels, 0), 6)
    small = np.bincount(found.ravel()) < least
    small[0] = False
    return np.where(small[found], 0, labels).astype(np.uint8)


def without_beyond_canal(labels: Labels, zoom: Zoom) -> Labels:
    """All but the sacrum becomes background more than 64 mm above and below canal and cord."""
    rows = np.flatnonzero(np.isin(labels, (CANAL_ID, CORD_ID)).any(axis=(0, 2)))
    if not rows.size:
        return labels
    margin = int(CANAL_MARGIN_MM / zoom[1])
    index = np.arange(labels.shape[1])
    far = (index < rows[0] - margin) | (index > rows[-1] + margin)
    return np.where(far[None, :, None] & (labels != SACRUM_ID), 0, labels).astype(np.uint8)


def without_stray_pieces(labels: Labels, zoom: Zoom) -> Labels:
    """Only the largest piece stays, and those whose box touches, step by step, the boxes of pieces that stay."""
    found, count = pieces(labels > 0, 26)
    if count < 2:
        return labels
    sizes = np.bincount(found.ravel())[1:]
    boxes = [_grown(box, int(BOX_MARGIN_MM / min(zoom)), labels.shape) for box in ndimage.find_objects(found)]
    order = [int(n) for n in np.argsort(-sizes, kind="stable")]
    kept = _reached(boxes, order, round(BOX_MARGIN_MM / min(zoom)))
    inside = np.zeros(labels.shape, dtype=bool)
    spans = [[boxes[n][axis] for n in kept] for axis in range(3)]
    inside[tuple(slice(min(s.start for s in span), max(s.stop for s in span)) for span in spans)] = True
    member = np.zeros(count + 1, dtype=bool)
    member[[n + 1 for n in kept]] = True
    return np.where(inside & member[found], labels, 0).astype(np.uint8)


def _grown(box: Box, margin: int, shape: Sequence[int]) -> Box:
    i, j, k = (slice(max(s.start - margin, 0), min(s.stop + margin, n)) for s, n in zip(box, shape, strict=True))
    return (i, j, k)


def _reached(boxes: Sequence[Box], order: Sequence[int], extra: int) -> list[int]:
    """Pieces that the largest reaches over boxes that touch; along I a little further, as spines have gaps."""
    kept, waiting = [order[0]], list(order[1:])
    grew = True
    while grew:
        near = [n for n in waiting if any(_touch(boxes[k], boxes[n], extra) for k in kept)]
        grew = bool(near)
        kept += near
        waiting = [n for n in waiting if n not in near]
    return kept


def _touch(one: Box, other: Box, extra: int) -> bool:
    for axis, (a, b) in enumerate(zip(one, other, strict=True)):
        more = extra if axis == 1 else 0
        if b.stop < max(a.start - more, 0) or b.start > a.stop + more:
            return False
    return True


def filled(labels: Labels) -> Labels:
    """Holes within corpora, canal, discs and cord take the label around them; only background changes."""
    out = labels.copy()
    for label in FILLED:
        box = ndimage.find_objects(out == label, max_label=1)[0] if (out == label).any() else None
        if box is None:
            continue
        part = out[box]
        whole = fill_voids.fill(np.ascontiguousarray(part == label))
        part[whole & (part == 0)] = label
    return out
