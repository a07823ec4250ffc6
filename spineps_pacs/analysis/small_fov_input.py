"""Brings a volume to what the small-field-of-view networks know: their pixel, axes, field and range, and back again.

On their grid the index order is (slice, row, column) with rows to Anterior and columns to Superior; slices keep the
order in which they came.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.geometry import Array, axes_of, crop, cubic, nearest, pad, rescaled, turn
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.volume import Geometry, Volume

PIXEL_MM = 0.85
"""In-plane pixel of the networks: inferred (0.8 to 0.9 mm, as of the scans they learned from), published nowhere."""
ROWS, COLUMNS = 320, 896
"""The field of the networks in pixels: posterior to anterior, inferior to superior."""
ONE_SLICE = "the series has one slice: the networks saw it three times instead of it and its two neighbours"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A volume on the networks' grid, in 0..1 (float32), and what must be known of the way there."""

    image: NDArray[np.float32]
    geometry: Geometry
    source: Geometry
    notes: tuple[str, ...] = ()

    def slices(self) -> NDArray[np.float32]:
        """What the networks read: (slices, 3, rows, columns)."""
        return with_neighbours(self.image)

    def on_source(self, labels: Array) -> Array:
        """Labels of the networks' grid on the grid that the volume came on; 0 where the networks saw nothing."""
        wide = pad(self.geometry, 1)
        return nearest(wide.there(labels), wide.after, self.source)


def prepare(volume: Volume, pixel_mm: float = PIXEL_MM) -> Prepared:
    """The volume turned, resampled in plane, placed in the field and scaled by its least and largest value there."""
    if not 0.1 <= pixel_mm <= 10:
        raise Unusable(f"a pixel of {pixel_mm:g} mm is out of range: 0.1 to 10 mm")
    way = turn(volume.geometry, _axes(volume.geometry))
    fine = rescaled(way.after, (way.after.spacing[0], pixel_mm, pixel_mm))
    image = cubic(way.there(volume.voxels).astype(np.float32), way.after, fine)
    placed, geometry, lost = _in_field(image, fine)
    notes = (ONE_SLICE,) if len(placed) == 1 else ()
    return Prepared(scaled(placed), geometry, volume.geometry, notes + lost)


def _axes(geometry: Geometry) -> str:
    """Slices as they come from left or right, then rows to Anterior and columns to Superior."""
    sideways = next(letter for letter in axes_of(geometry) if letter in "LR")
    return f"{sideways}AS"


def _in_field(image: Array, geometry: Geometry) -> tuple[Array, Geometry, tuple[str, ...]]:
    """Cropped or padded with 0: rows about their middle, columns at the inferior end, so that the top stays."""
    over = (geometry.shape[1] - ROWS, geometry.shape[2] - COLUMNS)
    start = (max(over[0] // 2, 0), max(over[1], 0))
    inner = crop(geometry, (slice(None), slice(start[0], start[0] + ROWS), slice(start[1], None)))
    below = max(-over[0], 0) // 2
    outer = pad(inner.after, ((0, 0), (below, max(-over[0], 0) - below), (max(-over[1], 0), 0)))
    said = "the field of the networks is {} x {} pixels; the image is larger ({} x {}) and was cropped"
    lost = (said.format(ROWS, COLUMNS, *geometry.shape[1:]),) if max(over) > 0 else ()
    return outer.there(inner.there(image)), outer.after, lost


def scaled(image: Array) -> NDArray[np.float32]:
    """Values in 0..1 by the least and the largest of the whole."""
    low, high = float(image.min()), float(image.max())
    if not np.isfinite([low, high]).all():
        raise Unusable("the image holds values that are no numbers")
    if low == high:
        raise Unusable(f"every voxel in the field of the networks has the value {low:g}")
    return ((image - low) / (high - low)).astype(np.float32)


def with_neighbours(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(slices, 3, rows, columns): the slice before, the slice, the one after; the ends repeat the inner neighbour."""
    return np.asarray(image[neighbours(len(image))])


def neighbours(count: int) -> NDArray[np.intp]:
    """For each of so many slices the three that the networks see."""
    last = count - 1
    at = np.arange(last + 1)
    before = np.where(at > 0, at - 1, min(1, last))
    after = np.where(at < last, at + 1, max(last - 1, 0))
    return np.stack([before, at, after], axis=1)
