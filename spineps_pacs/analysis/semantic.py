"""The semantic phase: an image becomes structures. Normalise, ask the network, clean.

The image is taken in its own index order; the network and the cleaning see it on the model's grid (P, I, R), and there
the mask stays. `Structures.on` brings it to any other grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.bias import Three, correct
from spineps_pacs.analysis.geometry import (
    Zoom,
    as_written,
    axes_of,
    bounding_box,
    crop,
    cubic,
    nearest,
    pad,
    rescaled,
    turn,
    zoom,
)
from spineps_pacs.analysis.semantic_cleaning import Cleaning, clean
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.masks import SemanticMask
from spineps_pacs.domain.ports import SemanticEngine, SemanticGrid, Watch
from spineps_pacs.domain.report import FoldSpread
from spineps_pacs.domain.volume import Geometry, Volume

LARGEST_VALUE = 1500
PADDING = 4
"""Voxels of the image's least value around it, before it comes to the model's grid."""
LEAST_SLICES = 3
_PLANES = {"R": "sag", "L": "sag", "A": "cor", "P": "cor", "S": "ax", "I": "ax"}
_PLANE_NAMES = {"sag": "sagittal", "cor": "coronal", "ax": "axial", "iso": "isotropic"}


@dataclass(frozen=True)
class SemanticSettings:
    """What is done to the image and to the mask. The defaults are the reference's own; all are off-switches.

    Range and bias of CT are let alone in any case. `bias_samples` replays a choice of samples that was written down.
    """

    limit_range: bool = True
    correct_bias: bool = True
    crop: bool = True
    bias_samples: Three | None = None
    cleaning: Cleaning = field(default_factory=Cleaning)


@dataclass(frozen=True, eq=False)
class Ready:
    """An image on the model's grid, what was noted on the way, and the samples that the bias correction took."""

    image: Volume
    notes: tuple[str, ...] = ()
    bias_samples: Three | None = None


@dataclass(frozen=True, eq=False)
class Structures:
    """Structures on the model's grid; `source` is the grid that the image came on."""

    mask: SemanticMask
    source: Geometry
    folds: tuple[FoldSpread, ...] = ()
    notes: tuple[str, ...] = ()
    bias_samples: Three | None = None

    def on(self, grid: Geometry) -> SemanticMask:
        """The structures on another grid, the nearest voxel each."""
        return SemanticMask(nearest(self.mask.labels, self.mask.geometry, grid), grid)

    def on_source(self) -> SemanticMask:
        """The structures on the grid that the image came on."""
        return self.on(self.source)


def segment(volume: Volume, engine: SemanticEngine, settings: SemanticSettings, watch: Watch) -> Structures:
    """The whole phase."""
    ready = prepare(volume, engine.grid, settings)
    answer = engine.predict(ready.image, watch)
    grid = ready.image.geometry
    if not answer.labels.any():
        raise Unusable("the semantic network found no structure")
    labels = clean(answer.labels, zoom(grid), settings.cleaning)
    if not labels.any():
        raise Unusable("no structure is left after small and stray pieces were removed")
    spreads = fold_spreads(answer.folds, grid.voxel_volume)
    source = as_written(volume.geometry)
    return Structures(SemanticMask(labels, grid), source, spreads, ready.notes, ready.bias_samples)


def prepare(volume: Volume, grid: SemanticGrid, settings: SemanticSettings) -> Ready:
    """Range, crop, bias, padding, turn and resolution: the image as the network wants it."""
    check(volume, grid.plane)
    limit = settings.limit_range and not grid.hounsfield
    voxels = limited(volume.voxels) if limit else volume.voxels
    box = bounding_box(np.asarray(voxels > voxels.min()))
    if box is None:
        raise Unusable(f"the image is empty: every voxel has the value {volume.voxels.flat[0]}")
    part = crop(volume.geometry, box if settings.crop else (slice(None),) * 3)
    piece, notes, samples = part.there(voxels), volume.notes, None
    if settings.correct_bias and not grid.hounsfield:
        fixed = correct(piece, part.after, settings.bias_samples)
        piece, samples = fixed.image.astype(voxels.dtype), fixed.first
        notes = (*notes, fixed.warning) if fixed.warning else notes
    if limit:
        piece = limited(piece)
    whole = voxels.copy()
    whole[part.box] = piece
    return Ready(_on_model_grid(whole, volume.geometry, grid), notes, samples)


def _on_model_grid(voxels: NDArray[Any], geometry: Geometry, grid: SemanticGrid) -> Volume:
    padded = pad(geometry, PADDING)
    upright = turn(padded.after)
    target = rescaled(upright.after, wanted_zoom(zoom(upright.after), grid))
    image = cubic(upright.there(padded.there(voxels, voxels.min())), upright.after, target)
    return Volume(np.ascontiguousarray(image), target)


def check(volume: Volume, plane: str) -> None:
    """Refuses what cannot be analysed: too few slices, voxels that are no numbers, another plane than the model's."""
    if min(volume.voxels.shape) < LEAST_SLICES:
        shape = " x ".join(str(n) for n in volume.voxels.shape)
        raise Unusable(f"the volume has {shape} voxels; at least {LEAST_SLICES} are needed along every axis")
    if volume.voxels.dtype.kind not in "biuf":
        raise Unusable(f"the voxels are neither whole nor real numbers: {volume.voxels.dtype}")
    if np.issubdtype(volume.voxels.dtype, np.floating):
        odd = int(np.count_nonzero(~np.isfinite(volume.voxels)))
        if odd:
            raise Unusable(f"{odd} of {volume.voxels.size} voxels are not finite numbers")
    found = plane_of(volume.geometry)
    if found not in {plane, "iso"}:
        raise Unusable(f"the slices are {_PLANE_NAMES[found]}, the model wants {_PLANE_NAMES[plane]} ones")


def plane_of(geometry: Geometry) -> str:
    """sag, cor, ax or iso, by which axis has the largest voxels (to 0.1 mm, below 1 mm all alike)."""
    sizes = np.around(np.maximum(zoom(geometry), 1.0), 1)
    largest = sizes == sizes.max()
    if largest.all():
        return "iso"
    odd = largest if largest.sum() == 1 else ~largest
    return _PLANES[axes_of(geometry)[int(np.flatnonzero(odd)[0])]]


def limited(voxels: NDArray[Any]) -> NDArray[Any]:
    """From 0 to 1500 at most, never stretched; whole numbers are cut off, not rounded."""
    wide = voxels.astype(np.float64)
    wide -= wide.min()
    top = float(wide.max())
    if top > LARGEST_VALUE:
        wide *= LARGEST_VALUE / top
    return wide.astype(voxels.dtype)


def wanted_zoom(now: Zoom, grid: SemanticGrid) -> Zoom:
    """The model's voxel size, or the image's own held within the model's range."""
    if grid.largest_pir is None:
        return grid.spacing_pir
    held = (max(min(z, high), low) for z, low, high in zip(now, grid.spacing_pir, grid.largest_pir, strict=True))
    a, b, c = held
    return (a, b, c)


def fold_spreads(folds: tuple[NDArray[np.uint8], ...], voxel_mm3: float) -> tuple[FoldSpread, ...]:
    """How far the folds disagree on each structure: mean and standard deviation of its volume."""
    if len(folds) < 2:
        return ()
    counts = np.array([np.bincount(labels.ravel(), minlength=256) for labels in folds]) * voxel_mm3
    return tuple(
        FoldSpread(int(n), float(counts[:, n].mean()), float(counts[:, n].std(ddof=1)))
        for n in np.flatnonzero(counts.any(axis=0))
        if n
    )
