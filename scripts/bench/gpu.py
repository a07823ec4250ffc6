"""On a machine with a GPU: absolute times of the whole analysis, warm, and the GPU's memory; rows as JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch

from spineps_pacs.analysis.pipeline import analyse
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.engines.load import load_engines
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.evaluation.bench import Row

CASE = Path("build/bench/case")
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def main() -> None:
    """Nothing where there is no GPU; else a cold and a warm run with random weights, forward passes timed by events."""
    if not torch.cuda.is_available():
        print(json.dumps([vars(Row("gpu", note="no GPU on this machine; nothing was measured"))]))
        return
    with np.load(CASE / "case.npz") as held:
        image, affine = held["image"], held["affine"]
    volume = Volume(image, Geometry(RAS @ affine, image.shape))
    engines = load_engines(*(CASE / n for n in ("semantic", "instance", "labeling")), EngineOptions(device="cuda"))
    rows = []
    for name in ("gpu cold", "gpu warm"):
        busy, hooks = _timed(engines)
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
        cpu, wall = time.process_time(), time.perf_counter()
        report = analyse(volume, engines, clock=time.monotonic)
        torch.cuda.synchronize()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        for hook in hooks:
            hook.remove()
        share = sum(a.elapsed_time(b) for a, b in busy) / 1000 / wall
        phases = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in report.timings_s)
        note = f"{torch.cuda.get_device_name()}: networks {100 * share:.0f} % of the time; {phases}"
        memory = torch.cuda.max_memory_allocated() / 1e6
        rows.append(Row(name, cpu, None, wall, None, None, memory, None, note + "; memory is the GPU's"))
    print(json.dumps([vars(row) for row in rows]))


def _timed(engines) -> tuple[list, list]:
    """Events before and after every forward pass of the three networks."""
    busy, hooks = [], []
    runners = [*engines.semantic._runners, engines.vertebra._runner, engines.levels._runner]

    def before(*_) -> None:
        busy.append((torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)))
        busy[-1][0].record()

    def after(*_) -> None:
        busy[-1][1].record()

    for runner in runners:
        hooks.append(runner.network.register_forward_pre_hook(before))
        hooks.append(runner.network.register_forward_hook(after))
    return busy, hooks


if __name__ == "__main__":
    main()
