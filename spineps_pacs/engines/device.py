"""Where a network runs, and what happens when its memory runs out: a smaller batch, then the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from spineps_pacs.domain.errors import SettingsError, TryAgain
from spineps_pacs.domain.ports import ModelInfo
from spineps_pacs.engines.options import EngineOptions

_USABLE = 0.8
"""The share of the free memory that a batch may take."""


def choose_device(name: str) -> torch.device:
    """ "auto" is the GPU if there is one; a device that is not there is an error in the settings."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"the device {name} is not known") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise SettingsError(f"the device {name} is not there: {torch.cuda.device_count()} CUDA devices were found")
    return device


def in_bfloat16(options: EngineOptions, info: ModelInfo) -> bool:
    """Whether a model runs in bfloat16 on the CPU; "auto" allows it to the demonstration model alone."""
    if options.cpu_precision == "auto":
        return info.demonstration and options.mode == "corrected" and cpu_has_bfloat16()
    return options.cpu_precision == "bfloat16"


def cpu_has_bfloat16() -> bool:
    """True when the CPU multiplies bfloat16 itself; elsewhere it takes longer than float32."""
    tell = getattr(torch.cpu, "get_capabilities", dict)
    has: Mapping[str, object] = tell()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def short_of_memory(error: BaseException) -> bool:
    """True when an error only says that memory ran out."""
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def batch_for(device: torch.device, item_bytes: int, at_most: int) -> int:
    """How many items fit into the free memory of a GPU; on a CPU one, which is as fast there and needs least."""
    if device.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(at_most, int(free * _USABLE) // max(item_bytes, 1)))


class Runner:
    """One network on its device. Runs batches; out of memory halves the batch, and one item alone goes to the CPU."""

    def __init__(self, network: nn.Module, device: torch.device, half: bool, cpu_bfloat16: bool = False) -> None:
        self.network = network.eval().requires_grad_(False).to(device)
        self.device = self.home = device
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # all tiles have one shape: the fastest way is looked for once
        self.half, self.cpu_bfloat16 = half, cpu_bfloat16

    def __call__(self, batch: Tensor) -> Tensor:
        """The network's answer, on the device where it was computed."""
        try:
            with torch.inference_mode(), self._precision():
                return self._cast(self.network(batch.to(self.device)))
        except (RuntimeError, MemoryError) as error:
            if not short_of_memory(error):
                raise
        return self._with_less(batch)

    def _with_less(self, batch: Tensor) -> Tensor:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(batch) > 1:
            middle = len(batch) // 2
            first, second = self(batch[:middle]), self(batch[middle:])
            return torch.cat([first.to(second.device), second])
        if self.device.type != "cuda":
            shape = " x ".join(str(n) for n in batch.shape[2:])
            raise TryAgain(f"not enough memory for one forward pass over {shape} voxels")
        self.move(torch.device("cpu"))
        return self(batch)

    def move(self, device: torch.device) -> None:
        """Takes the network to another device."""
        self.device = device
        self.network.to(device)

    def go_home(self) -> None:
        """Back to the device that was chosen, after a series for which its memory did not suffice."""
        if self.device != self.home:
            self.move(self.home)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.device.type == "cuda":
            return torch.autocast("cuda", dtype=torch.float16) if self.half else nullcontext()
        return torch.autocast("cpu", dtype=torch.bfloat16) if self.cpu_bfloat16 else nullcontext()

    def _cast(self, answer: Any) -> Any:
        return answer.float() if isinstance(answer, Tensor) and answer.dtype == torch.bfloat16 else answer
