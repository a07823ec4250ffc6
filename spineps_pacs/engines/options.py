"""What the site chooses about the networks: device, mode, and how much each forward pass may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineOptions:
    """`mode` is "corrected" (sums in single precision) or "upstream" (half precision where the reference has it).

    `device` is "auto", "cpu", "cuda" or "cuda:1". `mirroring` and `step_size` override what the model folder says.
    `batch` 0 chooses by free memory. `cpu_precision` "bfloat16" is faster on CPUs that have it, and not exact; "auto"
    takes it for the demonstration model in mode "corrected" where the CPU has it, and "float32" for all others.
    `threads` 0 leaves the number of CPU threads to torch. A series that would need more than `max_memory_gb` is refused
    before it starts (0: none is).
    """

    mode: str = "corrected"
    device: str = "auto"
    mirroring: bool | None = None
    step_size: float | None = None
    batch: int = 0
    cpu_precision: str = "auto"
    threads: int = 0
    max_memory_gb: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in {"corrected", "upstream"}:
            raise ValueError(f"mode is corrected or upstream, not {self.mode}")
        if self.cpu_precision not in {"auto", "float32", "bfloat16"}:
            raise ValueError(f"CPU precision is auto, float32 or bfloat16, not {self.cpu_precision}")
        if self.step_size is not None and not 0 < self.step_size <= 1:
            raise ValueError(f"a step size is above 0 and at most 1, not {self.step_size}")
