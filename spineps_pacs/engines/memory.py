"""How much memory the GPU has free, as far as torch can see one."""

from __future__ import annotations


def free_memory_gb() -> float | None:
    """Gigabytes that are free on the first GPU; None where torch has none."""
    try:
        import torch
    except ImportError:  # the receiving half runs without the networks' libraries
        return None
    return float(torch.cuda.mem_get_info()[0]) / 1e9 if torch.cuda.is_available() else None
