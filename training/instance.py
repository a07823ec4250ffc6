"""Trains the embedded instance network on cutouts of the pool's true labels; a later start goes on where it stopped.

python -m training.instance --pool DIR --out FILE [--steps N] [--minutes M]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spineps_pacs.engines.unet3d import Unet3D
from training.cutouts import Cutout, draw_cutout
from training.losses import level_loss
from training.network import quicken
from training.recipe import CUTOUT_CHANNELS, CUTOUT_DIM
from training.running import Plan, Run, averaged, move, report, spines, start, steps


def one_hot(cutout: Cutout) -> torch.Tensor:
    """(1, 10, P, I, R) float32."""
    channels = torch.from_numpy(cutout.channels.astype(np.int64))
    stacked = nn.functional.one_hot(channels, CUTOUT_CHANNELS).permute(3, 0, 1, 2)[None].float()
    return stacked.contiguous(memory_format=torch.channels_last_3d)


def advance(run: Run, plan: Plan, folders: list[Path]) -> float:
    """One step; gives the loss."""
    rng = np.random.default_rng([plan.seed, run.step])
    cutout = None
    while cutout is None:
        cutout = draw_cutout(folders[int(rng.integers(len(folders)))], rng)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = run.network(one_hot(cutout))
    return move(run, plan, level_loss(logits, torch.from_numpy(cutout.parts.astype(np.int64))[None]))


def train(
    plan: Plan, pool: Path, checkpoint: Path, minutes: float, before: Path | None = None
) -> Iterator[tuple[int, float]]:
    """Steps until plan or time are over; yields (step, loss). `before`: a run whose averaged weights begin this one."""
    torch.manual_seed(plan.seed)
    network = quicken(Unet3D(CUTOUT_DIM, CUTOUT_CHANNELS)).to(memory_format=torch.channels_last_3d)
    if before:
        averaged(before, network)
    run = start(network, plan, checkpoint)
    folders = spines(pool)
    yield from steps(run, plan, lambda: advance(run, plan, folders), checkpoint, minutes)


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--before", type=Path, help="an earlier run's checkpoint, say on a coarser grid")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    plan = Plan(given.steps, rate=given.rate, warm_up=100, seed=77001)
    report(train(plan, given.pool, given.out, given.minutes, given.before))


if __name__ == "__main__":
    main()
