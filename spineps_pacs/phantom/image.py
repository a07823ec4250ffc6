"""Tissues to an MR image: means, textures, thick slices, point spread, bias and coil, ghosts, motion, Rician noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from spineps_pacs.domain.volume import Geometry
from spineps_pacs.phantom.contrast import Contrast
from spineps_pacs.phantom.grid import Field
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.tissues import Tissue
from spineps_pacs.phantom.voxels import Labels, voxelise

_MARROWS = (Tissue.MARROW, Tissue.ARCH_MARROW, Tissue.SACRAL_MARROW)


SUB_SLICES = 3
"""Sub-slices through the thickness of a slice; odd, so that the middle one gives the labels."""
METAL_REACH = 2.6
"""Standard deviation in mm of the disturbance around metal."""


def synthesise(labels: Labels, contrast: Contrast, rng: np.random.Generator) -> Field:
    """The image of these labels, CSF near 1, float32; all noise is drawn from `rng`."""
    return finish(clean(labels.tissues, labels.geometry.spacing, contrast, rng), labels.geometry, contrast, rng)


def clean(
    tissues: NDArray[np.uint8], spacing: tuple[float, ...], contrast: Contrast, rng: np.random.Generator
) -> Field:
    """Signal before the scanner touches it: means with texture, patchy marrow, flow in the CSF."""
    means = np.array(contrast.means, dtype=np.float32)
    rough = np.array(contrast.texture, dtype=np.float32)
    fine = smooth_noise(rng, tissues.shape, spacing, 2.2)
    image = means[tissues] * (1 + rough[tissues] * fine)
    patchy = np.zeros(len(Tissue), dtype=np.float32)
    patchy[list(_MARROWS)] = contrast.marrow_patch
    patchy[Tissue.CSF] = contrast.flow * 0.35
    image *= 1 + patchy[tissues] * smooth_noise(rng, tissues.shape, spacing, 14.0)
    metal = tissues == Tissue.METAL
    if metal.any():
        image *= _void(metal, spacing)
    return np.maximum(image, 0)


def _void(metal: NDArray[np.bool_], spacing: tuple[float, ...]) -> Field:
    """Metal takes the signal around it as well, and piles some up at the edge of the void."""
    near = metal.astype(np.float32)
    for axis, step in enumerate(spacing):
        near = gaussian_filter1d(near, METAL_REACH / step, axis=axis, truncate=3.0)
    return np.where(near > 0.1, np.float32(0.02), 1 + 5 * near * (near > 0.035))


def finish(image: Field, geometry: Geometry, contrast: Contrast, rng: np.random.Generator) -> Field:
    """What the scanner adds to the signal of its slices; index order (slice, row, column)."""
    spacing = geometry.spacing
    for axis, wide in ((1, contrast.stretch), (2, 1.0)):
        image = gaussian_filter1d(image, contrast.blur * wide / spacing[axis], axis=axis, truncate=3.0)
    if contrast.sharpen:
        image = _sharpened(image, contrast.sharpen)
    image = image * _sensitivity(geometry, contrast, rng)
    if contrast.band:
        image = image * _saturation(geometry, contrast.band)
    if contrast.motion:
        image = _moved(image, contrast, rng)
    if contrast.ghost:
        image = _ghosted(image, contrast, rng)
    if contrast.gamma != 1:
        image = np.power(np.maximum(image, 0), np.float32(contrast.gamma))
    return _noisy(image, contrast.noise, rng)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], spacing: tuple[float, ...], scale: float) -> Field:
    """Noise of about unit variance whose grains measure about `scale` mm."""
    steps = [max(1.0, scale / s) for s in spacing]
    small = [int(np.ceil(n / k)) + 2 for n, k in zip(shape, steps, strict=True)]
    grains = rng.standard_normal(small, dtype=np.float32)
    for axis, (n, k) in enumerate(zip(shape, steps, strict=True)):
        grains = _stretch(grains, axis, n, k, float(rng.random()))
    return np.asarray(grains * np.float32(1.5), dtype=np.float32)


def _stretch(field: Field, axis: int, count: int, step: float, phase: float) -> Field:
    at = np.arange(count) / step + phase
    i = np.minimum(at.astype(int), field.shape[axis] - 2)
    w = (at - i).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(field.ndim)])
    between = np.take(field, i, axis=axis) * (1 - w) + np.take(field, i + 1, axis=axis) * w
    return np.asarray(between, dtype=np.float32)


def _sensitivity(geometry: Geometry, contrast: Contrast, rng: np.random.Generator) -> Field:
    """A smooth bias field, and the falling signal of the coil behind the back (LPS +y is posterior)."""
    bias = smooth_noise(rng, geometry.shape, geometry.spacing, 160.0) * np.float32(contrast.bias)
    back = _backward(geometry)
    fall = np.float32(contrast.coil / 100.0) * (back - back.mean())
    return np.asarray(np.exp(np.clip(bias + fall, -2.5, 1.2)), dtype=np.float32)


def _sharpened(image: Field, strength: float) -> Field:
    """Edges overshoot as with a scanner's own filter, about a pixel wide."""
    soft = image
    for axis in (1, 2):
        soft = gaussian_filter1d(soft, 1.0, axis=axis, truncate=2.5)
    return np.maximum(image + np.float32(strength) * (image - soft), 0)


def _saturation(geometry: Geometry, share: float) -> Field:
    """A band that takes the signal of what lies in front; it keeps off the 110 mm at the back."""
    back = _backward(geometry)
    front, depth = float(back.min()), float(back.max() - back.min())
    edge = front + share * max(0.0, depth - 110.0)
    return np.asarray(0.08 + 0.92 / (1 + np.exp(np.clip((edge - back) / 2.5, -30, 30))), dtype=np.float32)


def _backward(geometry: Geometry) -> Field:
    """How far back each voxel lies, LPS mm."""
    steps = [np.arange(n, dtype=np.float32) * np.float32(geometry.affine[1, k]) for k, n in enumerate(geometry.shape)]
    return np.asarray(steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :], dtype=np.float32)


def _moved(image: Field, contrast: Contrast, rng: np.random.Generator) -> Field:
    """Swallowing and breathing: some slices are a mixture with themselves, shifted along the rows."""
    shift = max(1, round(contrast.motion * 2))
    chosen = (rng.random(image.shape[0]) < 0.7) * rng.uniform(0.1, 0.35, image.shape[0])
    share = np.asarray(chosen, dtype=np.float32)[:, None, None]
    return np.asarray(image * (1 - share) + share * np.roll(image, shift, axis=1), dtype=np.float32)


def _ghosted(image: Field, contrast: Contrast, rng: np.random.Generator) -> Field:
    """Faint copies along the phase direction (rows: head to foot, as spine protocols choose)."""
    away = int(image.shape[1] * rng.uniform(0.08, 0.3)) + 1
    sign = np.float32(rng.choice([-1.0, 1.0]))
    copies = np.roll(image, away, axis=1) + sign * np.roll(image, -away, axis=1)
    return np.maximum(image + np.float32(contrast.ghost) * copies, 0)


def _noisy(image: Field, sigma: float, rng: np.random.Generator) -> Field:
    real = image + np.float32(sigma) * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = np.float32(sigma) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.sqrt(real * real + imaginary * imaginary), dtype=np.float32)


def sub_slices(spine: Spine, geometry: Geometry, thickness: float, times: int) -> list[Labels]:
    """Labels of `times` sub-slices at even places through each slice's thickness (mm); gaps stay unseen."""
    normal, found = geometry.directions[:, 0], []
    for n in range(times):
        affine = geometry.affine.copy()
        affine[:3, 3] += normal * thickness * ((n + 0.5) / times - 0.5)
        found.append(voxelise(spine, Geometry(affine, geometry.shape, geometry.frame_of_reference_uid)))
    return found


def photograph(
    tissues: Sequence[NDArray[np.uint8]], geometry: Geometry, contrast: Contrast, rng: np.random.Generator
) -> Field:
    """The image of slices from the tissues of their sub-slices: the mean of their signals, then the scanner."""
    total = np.zeros(geometry.shape, dtype=np.float32)
    for part in tissues:
        total += clean(part, geometry.spacing, contrast, rng)
    return finish(total / np.float32(len(tissues)), geometry, contrast, rng)


def scan(
    spine: Spine, geometry: Geometry, contrast: Contrast, rng: np.random.Generator, thickness: float | None = None
) -> Field:
    """The image of a spine with slices of this thickness (mm; None: as thick as their spacing)."""
    parts = sub_slices(spine, geometry, thickness or geometry.spacing[0], SUB_SLICES)
    return photograph([p.tissues for p in parts], geometry, contrast, rng)
