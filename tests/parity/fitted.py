"""A labelling network for whole runs: a seeded DenseNet121 whose heads are fitted to vertebrae of phantoms.

Only the heads learn, from what the seeded layers find in the patches: a minute and a half of CPU time. Of a spine left
out, narrower heads (64) named every second vertebra rightly, and with the path through the scores all of them (four of
four spines: plain, scoliotic, with 13 thoracic, with 6 lumbar vertebrae).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spineps_pacs.analysis.patches import Spine, patches
from spineps_pacs.domain.ports import PatchPlan
from spineps_pacs.engines.densenet import Classifier, DenseNet
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.contrast import T2W
from spineps_pacs.phantom.image import scan
from spineps_pacs.phantom.wishes import Wishes
from tests.parity import cases

SPACING = (1.5, 1.5, 3.3)
SPINES: tuple[tuple[int, Wishes], ...] = (
    (11, Wishes()), (12, Wishes()), (13, Wishes(scoliosis=25.0)), (14, Wishes(degeneration=0.8)),
    (15, Wishes(thoracic=11)), (16, Wishes(thoracic=13)), (17, Wishes(lumbar=4)), (18, Wishes(lumbar=6)),
    (19, Wishes(thoracic=13, lumbar=4)), (20, Wishes(levels="C6-S1")),
)  # fmt: skip
"""Seeds and wishes of the spines that are learned; none of them is one of the whole runs."""
STEPS, RATE, DECAY, SHAKEN = 120, 3e-3, 0.1, 0.8
"""Steps over all patches at once; `SHAKEN`: noise on the features, in their own spread."""
BATCH = 8
GROUPS = (2, 5, 7, 9, 11, 14, 16, 18, 19, 21, 23, 24)
"""The last class (of 24, from 1) of each of the twelve groups: C1-2, C3-5, C6-7, T1-2, T3-4, T5-7, T8-9, ..."""
T13, L6 = 28, 25


def fitted(blocks: Sequence[int], heads: dict[str, int], hidden: int, size: tuple[int, int, int]) -> Classifier:
    """The classifier, its heads fitted to patches of a size; the same on every call."""
    torch.manual_seed(11)
    made = Classifier(DenseNet(blocks), {name: (hidden, count) for name, count in heads.items()})
    found = [_shown(seed, wishes, PatchPlan(SPACING, size, rotate=True)) for seed, wishes in SPINES]
    shown = torch.from_numpy(np.concatenate([arrays for arrays, _ in found]))
    _fit_heads(made, _features(made.net, shown), _targets([ids for _, ids in found]))
    return made.eval()


def _shown(seed: int, wishes: Wishes, plan: PatchPlan) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """The patches of one spine with the ids of its vertebrae, from the head down."""
    truth = cases.truth_of(wishes, seed, SPACING)
    image = 700 * scan(draw_spine(seed, wishes), truth.geometry, T2W, np.random.default_rng(seed), SPACING[2])
    spine = Spine(np.clip(image, 0, 4000).astype(np.int16), truth.structures, truth.vertebrae, truth.geometry)
    cut = patches(spine, plan)
    order = sorted(range(len(cut.numbers)), key=lambda n: 19.5 if cut.numbers[n] == T13 else cut.numbers[n])
    return cut.cutouts.arrays[order].astype(np.float32), tuple(cut.numbers[n] for n in order)


def _features(net: nn.Module, shown: Tensor) -> Tensor:
    """What the backbone finds in each patch, once its norms know how these patches spread."""
    parts = shown[:, None].split(BATCH)
    with torch.no_grad():
        for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm3d)):
            norm.momentum = None
        net.train()
        for part in parts:
            net(part)
        net.eval()
        return torch.cat([net(part) for part in parts])


def _fit_heads(made: Classifier, features: Tensor, targets: dict[str, Tensor]) -> None:
    """Fits all heads to the features; their mean and spread end in each head's first layer."""
    mean, spread = features.mean(0), features.std(0) + 1e-6
    plain = (features - mean) / spread
    for name, head in made.classification_heads.items():
        torch.manual_seed(11)
        tuned = torch.optim.AdamW(head.parameters(), RATE, weight_decay=DECAY)
        for _ in range(STEPS):
            tuned.zero_grad()
            noisy = plain + SHAKEN * torch.randn(plain.shape)
            nn.functional.cross_entropy(head(noisy), targets[name]).backward()
            tuned.step()
        with torch.no_grad():
            head[0].weight /= spread
            head[0].bias -= head[0].weight @ mean


def _targets(spines: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """What each head should say of each patch."""
    rows = [row for ids in spines for row in _answers(ids)]
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}


def _answers(ids: Sequence[int]) -> Iterator[dict[str, int]]:
    """One spine's answers, from the head down."""
    for at, number in enumerate(ids):
        region = _region(number)
        above = _region(ids[at - 1]) if at else None
        below = _region(ids[at + 1]) if at + 1 < len(ids) else None
        plain = {T13: 19, L6: 24}.get(number, number)
        yield {
            "REGION": region,
            "VERT": plain - 1,
            "VERTEX": {T13: 19, L6: 25}.get(number, number - 1 if number < 20 else number),
            "VT13": int(number == T13),
            "VERTREL": _relation(region, above, below),
            "VERTGRP": next(n for n, last in enumerate(GROUPS) if plain <= last),
            "FULLYVISIBLE": 1,
        }


def _region(number: int) -> int:
    """0 cervical, 1 thoracic, 2 lumbar."""
    return 1 if number == T13 else int(number > 7) + int(number > 19)


def _relation(region: int, above: int | None, below: int | None) -> int:
    """0 none, 1 last cervical, 2 first and 3 last thoracic, 4 first and 5 last lumbar."""
    if region == 0:
        return int(below == 1)
    first = above is not None and above < region
    if region == 1:
        return 2 if first else 3 * int(below == 2)
    return 4 if first else 5 * int(below is None)
