"""Trains the second labeller's networks on small fields of view of whole phantom spines.

    python -m training.small_fov_pool --out POOL
    python -m training.small_fov segmentation --pool POOL --out segmentation.pt --minutes 20
    python -m training.small_fov naming --pool POOL --out naming.pt --minutes 20
    python -m training.small_fov_export segmentation.pt naming.pt --out spineps_pacs/engines/defaults/small-fov

The pool's seeds are its own (training/small_fov_pool.py): the two labellers share no spine. A run goes on where its
checkpoint stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spineps_pacs.analysis.small_fov_split import DISC
from training.running import Plan, Run, move, report, start, steps
from training.small_fov_crops import Batch, Rng, Whole, draw, open_pool
from training.small_fov_network import CLASSES, FINEST, NAMING, SEGMENTATION, SmallFov
from training.small_fov_pool import UNNAMED

BACKGROUND = {SEGMENTATION: 0.3, NAMING: 0.02}
"""Weight of the background, of which there is much: what is no vertebra is the other network's question."""
DISCS = 2.0
"""Weight of the discs: one that is missed makes one vertebra of two, one that is drawn too thick does nothing."""
IGNORED = -100


def plan(step_count: int) -> Plan:
    """AdamW with a warm-up and a cosine."""
    return Plan(step_count, rate=3e-3, warm_up=100, weight_decay=0.02, seed=90_000)


def loss(network: SmallFov, part: str, batch: Batch) -> torch.Tensor:
    """Cross entropy on the decoder's own grid, where the truth is the nearest voxel's; for classes also Dice."""
    slices = torch.from_numpy(batch.slices).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network.coarse(slices)
    scores = scores.float()
    times = 2 ** (FINEST[part] + 1)
    whole = batch.classes if part == SEGMENTATION else batch.named
    truth = torch.from_numpy(whole[:, times // 2 :: times, times // 2 :: times].astype(np.int64))
    truth[truth == UNNAMED] = IGNORED
    weights = torch.ones(CLASSES[part])
    weights[0] = BACKGROUND[part]
    if part == SEGMENTATION:
        weights[DISC] = DISCS
    entropy = nn.functional.cross_entropy(scores, truth, weights, ignore_index=IGNORED)
    return entropy + _overlap_loss(scores, truth) if part == SEGMENTATION else entropy


def _overlap_loss(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """One less the soft Dice of vertebrae and discs over the batch."""
    likely = scores.softmax(dim=1)[:, 1:]
    real = nn.functional.one_hot(truth, scores.shape[1]).movedim(-1, 1)[:, 1:].float()
    shared = (likely * real).sum(dim=(0, 2, 3))
    return 1 - (2 * shared / (likely.sum(dim=(0, 2, 3)) + real.sum(dim=(0, 2, 3)) + 1)).mean()


def advancing(run: Run, wanted: Plan, part: str, pool: list[Whole]) -> Callable[[], float]:
    """One step of the training; each step has its own draw, so a run that goes on draws what it would have."""

    def advance() -> float:
        rng: Rng = np.random.default_rng([wanted.seed, run.step, len(part)])
        run.network.train()
        return move(run, wanted, loss(run.network, part, draw(pool, rng)))

    return advance


def main() -> None:
    """Reads the command line and trains one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=(SEGMENTATION, NAMING))
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=20)
    given = parser.parse_args()
    torch.manual_seed(plan(given.steps).seed)
    wanted, pool = plan(given.steps), open_pool(given.pool)
    run = start(SmallFov(given.part).to(memory_format=torch.channels_last), wanted, given.out)
    report(steps(run, wanted, advancing(run, wanted, given.part, pool), given.out, given.minutes))


if __name__ == "__main__":
    main()
