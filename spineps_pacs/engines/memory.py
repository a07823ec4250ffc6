"""Memory: what the GPU has free, and arrays that take the place of earlier ones instead of fresh pages."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Numbers that glibc's malloc.h gives its options."""


def free_memory_gb() -> float | None:
    """Gigabytes that are free on the first GPU; None where torch has none."""
    try:
        import torch
    except ImportError:  # the receiving half runs without the networks' libraries
        return None
    return float(torch.cuda.mem_get_info()[0]) / 1e9 if torch.cuda.is_available() else None


def reuse_memory() -> bool:
    """Lets this process keep what it frees, for its next arrays; False where the C library is not glibc.

    Else every array above 32 MB is fresh pages of the kernel, which costs a network on a CPU a third of its time.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is None:
        return False
    return all([option(_MMAP_MAX, 0), option(_TRIM_THRESHOLD, 2**31 - 1), option(_TOP_PAD, 64 << 20)])


def give_back() -> None:
    """Hands what is free back to the kernel, once a series is done."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
