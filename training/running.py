"""What both trainings share: the plan, the run with its averaged weights, checkpoints, and the loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

SAVE_EVERY_S = 120.0
AVERAGE_DECAY = 0.998
"""Of the running average of the weights, the network that is exported."""
LARGEST_GRADIENT = 12.0


@dataclass(frozen=True)
class Plan:
    """How long and how fast: steps of one case each, AdamW with a warm-up and a cosine to nearly zero.

    The curriculum lies in the pool, whose first spines have narrow contrasts: a training sees the first `opening`
    spines, and one more each `pace` steps.
    """

    steps: int
    rate: float = 1.5e-3
    warm_up: int = 200
    weight_decay: float = 0.01
    opening: int = 24
    pace: float = 8.0
    seed: int = 20260

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))

    def visible(self, step: int, available: int) -> int:
        """How many spines of the pool may be drawn at a step."""
        return min(available, self.opening + int(step / self.pace))


@dataclass(eq=False)
class Run:
    """What a training carries from step to step."""

    network: nn.Module
    average: dict[str, torch.Tensor]
    optimiser: torch.optim.Optimizer
    step: int = 0
    skipped: int = 0


def start(network: nn.Module, plan: Plan, checkpoint: Path) -> Run:
    """A new run, or the one that the checkpoint holds."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.weight_decay)
    run = Run(network, {k: v.detach().clone() for k, v in network.named_parameters()}, optimiser)
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        optimiser.load_state_dict(kept["optimiser"])
        run.average, run.step, run.skipped = kept["average"], kept["step"], kept["skipped"]
    return run


def averaged(checkpoint: Path, network: nn.Module) -> nn.Module:
    """The network with the averaged weights of a training checkpoint."""
    kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
    parameters = dict(network.named_parameters())
    if {k: v.shape for k, v in parameters.items()} != {k: v.shape for k, v in kept["average"].items()}:
        raise ValueError(f"{checkpoint} was made by another architecture")
    with torch.no_grad():
        for key, value in kept["average"].items():
            parameters[key].copy_(value)
    return network


def keep(run: Run, checkpoint: Path) -> None:
    """Writes the run beside its file and renames it."""
    content = {
        "network": run.network.state_dict(),
        "average": run.average,
        "optimiser": run.optimiser.state_dict(),
        "step": run.step,
        "skipped": run.skipped,
    }
    beside = checkpoint.with_suffix(".part")
    torch.save(content, beside)
    beside.replace(checkpoint)


def spines(pool: Path) -> list[Path]:
    """The finished spines of a pool, in the order in which they were drawn."""
    return sorted(marker.parent for marker in pool.glob("*/points.npy"))


def move(run: Run, plan: Plan, loss: torch.Tensor) -> float:
    """Follows the gradient of a loss, unless it is not finite; gives the loss."""
    for group in run.optimiser.param_groups:
        group["lr"] = plan.rate_at(run.step)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(run.network.parameters(), LARGEST_GRADIENT)
    run.step += 1
    if not bool(torch.isfinite(norm)):
        run.skipped += 1
        return math.nan
    run.optimiser.step()
    _average(run)
    return float(loss.detach())


def _average(run: Run) -> None:
    """Moves the averaged weights a little towards the present ones; early on faster."""
    decay = min(AVERAGE_DECAY, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        for key, value in run.network.named_parameters():
            run.average[key].lerp_(value, 1 - decay)


def steps(
    run: Run, plan: Plan, advance: Callable[[], float], checkpoint: Path, minutes: float
) -> Iterator[tuple[int, float]]:
    """Advances until the plan or the time is over, and keeps the run every few minutes; yields (step, loss)."""
    began = saved = time.monotonic()
    while run.step < plan.steps and time.monotonic() - began < minutes * 60:
        loss = advance()
        yield run.step, loss
        if time.monotonic() - saved > SAVE_EVERY_S:
            keep(run, checkpoint)
            saved = time.monotonic()
    keep(run, checkpoint)


def report(taken: Iterator[tuple[int, float]]) -> None:
    """Prints the mean loss of every hundred steps, with wall and processor time in seconds."""
    losses: list[float] = []
    began = time.monotonic()
    for step, loss in taken:
        losses.append(loss)
        if step % 100 == 0:
            lost = sum(math.isnan(value) for value in losses)
            wall, cpu = time.monotonic() - began, time.process_time()
            print(f"{step} loss {np.nanmean(losses):.4f} skipped {lost} wall {wall:.0f} cpu {cpu:.0f}", flush=True)
            losses.clear()
