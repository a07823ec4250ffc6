"""nnU-Net's own preparation of an image (crop, normalise, resample) and the way back for its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.domain.errors import ModelError, Unusable
from spineps_pacs.engines.nnunet import Plan, Resampling

Array = NDArray[Any]
Spacing = tuple[float, float, float]

_REVERSED = (2, 1, 0)
"""From our index order (P, I, R) to the order (R, I, P) in which nnU-Net saw the images, and back."""
_ANISOTROPIC = 3
"""From this ratio of spacings on, the coarse axis is resampled apart."""
_LEAST_STD = 1e-8


@dataclass(frozen=True)
class Prepared:
    """An image as the network takes it (channels, x, y, z), and what leads back to the grid that it came from."""

    data: Array
    whole: tuple[int, ...]
    box: tuple[slice, ...]
    spacing: tuple[float, ...]
    plan: Plan

    @property
    def cropped(self) -> tuple[int, ...]:
        """The shape after the crop, before resampling."""
        return tuple(part.stop - part.start for part in self.box)

    @property
    def resampled(self) -> bool:
        """True when the network sees another shape than the crop has."""
        return self.data.shape[1:] != self.cropped

    def scores_back(self, scores: Array) -> Array:
        """Scores (heads, x, y, z) on the crop's shape again."""
        return resample(scores, self.cropped, self.plan.spacing, self.spacing, self.plan.logits)

    def labels_back(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels of the crop on the grid of the image (P, I, R), background around them."""
        whole = np.zeros(self.whole, dtype=np.uint8)
        whole[self.box] = labels
        return np.ascontiguousarray(whole.transpose(self.plan.backward).transpose(_REVERSED))


def prepare(image: Array, spacing: Spacing, plan: Plan, half: bool) -> Prepared:
    """Crops an image (P, I, R) to what is not zero, normalises it, brings it to the plan's spacing if need be.

    `half` keeps the image in half precision before and after the normalisation, as the reference does.
    """
    kept = np.float16 if half else np.float32
    turned = image.astype(kept).transpose(_REVERSED).transpose(plan.forward)
    apart = tuple(spacing[::-1][axis] for axis in plan.forward)
    filled = turned != 0
    box = ndimage.find_objects(filled.astype(np.uint8), max_label=1)[0]
    if box is None:
        raise Unusable("the image is empty: no voxel differs from zero")
    inside = ndimage.binary_fill_holes(filled)[box] if plan.masked[0] else None
    normal = normalised(turned[box], plan.schemes[0], inside, plan.intensities.get("0", {})).astype(kept)
    shape = tuple(round(a / b * n) for a, b, n in zip(apart, plan.spacing, normal.shape, strict=True))
    data = resample(normal[None], shape, apart, plan.spacing, plan.images)
    return Prepared(np.ascontiguousarray(data), turned.shape, box, apart, plan)


def normalised(image: Array, scheme: str, inside: Array | None, facts: Mapping[str, float]) -> NDArray[np.float32]:
    """Intensities as the plan's scheme wants them. With `inside`, only voxels in it count and change."""
    out = image.astype(np.float32)
    match scheme:
        case "ZScoreNormalization":
            part = out if inside is None else out[inside]
            scaled = (out - part.mean()) / np.float32(max(part.std(), _LEAST_STD))
            return scaled if inside is None else np.where(inside, scaled, out)
        case "CTNormalization":
            low, high = facts["percentile_00_5"], facts["percentile_99_5"]
            return np.asarray((out.clip(low, high) - facts["mean"]) / max(facts["std"], _LEAST_STD), dtype=np.float32)
        case "RescaleTo01Normalization":
            out -= out.min()
            return np.asarray(out / max(out.max(), np.float32(_LEAST_STD)), dtype=np.float32)
        case "NoNormalization":
            return out
    raise ModelError(f"the plan names the normalisation {scheme}, which is not known")


def resample(array: Array, shape: Sequence[int], now: Sequence[float], then: Sequence[float], how: Resampling) -> Array:
    """Every channel of (channels, x, y, z) in another shape; the same array if the shape is the same."""
    if array.shape[1:] == tuple(shape):
        return array
    if how.function != "resample_data_or_seg_to_shape":
        raise ModelError(f"the plan names the resampling {how.function}, which is not known")
    axis = coarse_axis(now, then, how.force_separate_z)
    out = np.empty((len(array), *shape), dtype=array.dtype)
    for channel, values in enumerate(array):
        whole = values.astype(np.float64)
        out[channel] = _resized(whole, shape, how.order) if axis is None else _by_slices(whole, shape, axis, how)
    return out


def coarse_axis(now: Sequence[float], then: Sequence[float], forced: bool | None) -> int | None:
    """The axis to be resampled apart: the one coarse axis of the first spacing that is far from isotropic."""
    if forced is False:
        return None
    for spacing in (now, then):
        if forced or max(spacing) / min(spacing) > _ANISOTROPIC:
            coarse = [axis for axis, z in enumerate(spacing) if z == max(spacing)]
            return coarse[0] if len(coarse) == 1 else None
    return None


def _by_slices(values: Array, shape: Sequence[int], axis: int, how: Resampling) -> Array:
    """In-plane by splines, then along the coarse axis by its own order."""
    plane = [n for other, n in enumerate(shape) if other != axis]
    stack = np.stack([_resized(piece, plane, how.order) for piece in np.moveaxis(values, axis, 0)], axis=axis)
    if stack.shape[axis] == shape[axis]:
        return stack
    if how.order_z:
        return _resized(stack, shape, how.order_z)
    place = stack.shape[axis] / shape[axis] * (np.arange(shape[axis]) + 0.5) - 0.5
    picked = np.clip(np.floor(place + 0.5), 0, stack.shape[axis] - 1).astype(np.intp)
    return np.asarray(stack.take(picked, axis=axis))


def _resized(values: Array, shape: Sequence[int], order: int) -> Array:
    """Another shape over the same field; values stay within those that were there."""
    factors = [n / old for n, old in zip(shape, values.shape, strict=True)]
    out = ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=True)
    return np.asarray(np.clip(out, values.min(), values.max()))
