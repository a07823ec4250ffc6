"""Trains the embedded semantic network on a pool of rendered spines; a later start goes on where the last one stopped.

python -m training.semantic --pool DIR --out FILE [--steps N] [--minutes M] [--before FILE --seed S]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from training.losses import total_loss
from training.network import build, quicken
from training.patches import LARGE, SMALL, draw_patch
from training.running import Plan, Run, averaged, move, report, spines, start, steps

LARGE_FROM = 0.9
"""Share of the steps after which patches have the size that inference uses."""
LIST_EVERY = 50
"""Steps after which the pool is looked at again: it may be growing."""


def advance(run: Run, plan: Plan, folders: list[Path]) -> float:
    """One step; gives the loss. The patch depends on seed, step and pool only."""
    rng = np.random.default_rng([plan.seed, run.step])
    folder = folders[int(rng.integers(plan.visible(run.step, len(folders))))]
    patch = draw_patch(folder, LARGE if run.step > LARGE_FROM * plan.steps else SMALL, rng)
    image = torch.from_numpy(patch.image)[None, None].contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = run.network(image)
    return move(run, plan, total_loss(outputs, torch.from_numpy(patch.classes.astype(np.int64))[None]))


def train(
    plan: Plan, pool: Path, checkpoint: Path, minutes: float, before: Path | None = None
) -> Iterator[tuple[int, float]]:
    """Steps until plan or time are over; yields (step, loss). `before`: a run whose averaged weights begin this one."""
    torch.manual_seed(plan.seed)
    network = quicken(build(deep_supervision=True))
    if before:
        averaged(before, network)
    run = start(network, plan, checkpoint)
    folders = spines(pool)

    def one() -> float:
        if run.step % LIST_EVERY == 0:
            folders[:] = spines(pool)
        return advance(run, plan, folders)

    yield from steps(run, plan, one, checkpoint, minutes)


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=20260, help="of the patches; another one for a second run")
    parser.add_argument("--before", type=Path, help="an earlier run's checkpoint, whose weights this one begins with")
    parser.add_argument("--pace", type=float, default=8.0, help="steps after which one more spine is seen")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    plan = Plan(given.steps, rate=given.rate, pace=given.pace, seed=given.seed)
    report(train(plan, given.pool, given.out, given.minutes, given.before))


if __name__ == "__main__":
    main()
