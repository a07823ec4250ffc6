"""The histogram half of N4: what the image would look like if the bias had not blurred its intensities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS, PADDED_BINS, OFFSET = 200, 512, 156
"""Bins of the histogram, the length of its Fourier transform, where it lies in that."""
FWHM, NOISE = 0.15, 0.01
"""Width of the Gaussian (log intensity) that the bias is taken for, and the noise of the Wiener filter."""


def sharpener() -> Callable[[Floats], Floats]:
    """Maps log intensities to those of a sharpened histogram; all that does not depend on the image is made once."""
    bins = np.arange(PADDED_BINS)
    squared = np.minimum(bins, PADDED_BINS - bins).astype(np.float64) ** 2

    def sharpen(values: Floats) -> Floats:
        low, high, lost = _extremes(values)
        step = (high - low) / (BINS - 1)
        width = FWHM / step
        gauss = 2 * np.sqrt(np.log(2) / np.pi) / width * np.exp(-squared * 4 * np.log(2) / width**2)
        response = np.fft.rfft(gauss).real
        place = (values - low).ravel() / step
        base = np.clip(place.astype(np.intp), 0, BINS - 2)
        part = place - base
        histogram = np.zeros(PADDED_BINS)
        histogram[OFFSET : OFFSET + BINS] = _histogram(base, part, lost) - _dropped(place, low, high)
        sharp = np.fft.irfft(np.fft.rfft(histogram) * response / (response**2 + NOISE), PADDED_BINS).clip(0)
        value = low + (bins - OFFSET) * step
        above = np.fft.irfft(np.fft.rfft(sharp * value) * response, PADDED_BINS)
        below = np.fft.irfft(np.fft.rfft(sharp) * response, PADDED_BINS)
        expected = np.divide(above, below, out=np.zeros(PADDED_BINS), where=below != 0)[OFFSET : OFFSET + BINS]
        mapped = expected[base] + part * np.diff(expected)[base]
        return (mapped if lost is None else np.where(lost, expected[-1], mapped)).reshape(values.shape)

    return sharpen


def _extremes(values: Floats) -> tuple[float, float, NDArray[np.bool_] | None]:
    """Least and greatest value, and which values (flat) lie below the least, if any do.

    ITK does not test a value for the least that has just been the greatest so far (first axis fastest); if the very
    first is the least of all, another value becomes the least.
    """
    low, high = float(values.min()), float(values.max())
    if values[0, 0, 0] > low:
        return low, high, None
    raster = values.ravel(order="F")
    running = np.maximum.accumulate(raster)
    rises = np.concatenate([[True], raster[1:] > running[:-1]])
    low = low if rises.all() else float(raster[~rises].min())
    return low, high, values.ravel() < low


def _histogram(base: NDArray[np.intp], part: Floats, lost: NDArray[np.bool_] | None) -> Floats:
    """200 bins with linear weights, without the values that are lost."""
    if lost is not None:
        base, part = base[~lost], part[~lost]
    upper = np.bincount(base, weights=part, minlength=BINS)
    counts = np.bincount(base, minlength=BINS) - upper
    counts[1:] += upper[:-1]
    return np.asarray(counts, dtype=np.float64)


def _dropped(place: Floats, low: float, high: float) -> Floats:
    """What single precision loses: the brightest value, where its bin comes out as a little more than 199."""
    out = np.zeros(BINS)
    span = np.float32(high) - np.float32(low)
    if span / (span / np.float32(BINS - 1)) > np.float32(BINS - 1):
        out[-1] = np.count_nonzero(place >= BINS - 1)
    return out
