"""Trains a full-size instance network on a user's own label volumes and writes its model folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from spineps_pacs.domain.anatomy import HEAD_TO_TAIL, SACRUM_ID
from spineps_pacs.engines.unet3d import Unet3D
from training.cutouts import BODY, Cutout, Frame, cutout_around
from training.export import instance_config, instance_parameters
from training.losses import level_loss
from training.own_cases import Spacing, prepared_cases
from training.recipe import CUTOUT_CHANNELS, MAPPING

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Settings:
    """The paper's settings (Appendix A): cutouts of 248 x 304 x 64 (P, I, R), two at a time, 300 epochs.

    The learning rate falls linearly by epoch from `rate` to `last_rate`; an epoch shows every vertebra once.
    """

    spacing: Spacing = (0.75, 0.75, 1.65)
    size: tuple[int, int, int] = (248, 304, 64)
    batch: int = 2
    epochs: int = 300
    rate: float = 1e-4
    last_rate: float = 1e-6
    dim: int = 16
    device: str = "cuda"
    seed: int = 1

    def rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch."""
        return self.rate + (self.last_rate - self.rate) * epoch / max(1, self.epochs - 1)


@dataclass(frozen=True, eq=False)
class Spine:
    """One case as cutouts need it: input channels and vertebra numbers from the head (R, I, P)."""

    channels: Bytes
    vertebrae: Bytes

    def numbers(self) -> list[int]:
        """The vertebrae that have a body."""
        return [int(n) for n in np.unique(self.vertebrae[self.channels == BODY]) if n]


def load_spines(cases: Path, settings: Settings) -> list[Spine]:
    """The label volumes of all cases on the network's grid."""
    channels, order = np.zeros(256, dtype=np.uint8), np.zeros(512, dtype=np.uint8)
    channels[list(MAPPING)] = list(MAPPING.values())
    ranked = [identity for identity in HEAD_TO_TAIL if identity != SACRUM_ID]
    order[ranked] = np.arange(1, len(ranked) + 1)
    spines = []
    for case in prepared_cases(cases, settings.spacing):
        known = channels[case.structures].transpose(2, 1, 0)
        numbers = np.where(known > 0, order[case.instances].transpose(2, 1, 0), 0)
        spines.append(Spine(np.ascontiguousarray(known), np.ascontiguousarray(numbers.astype(np.uint8))))
    return spines


def train_instance(cases: Path, work: Path, out: Path, settings: Settings) -> None:
    """All epochs, and the model folder; goes on where a checkpoint in `work` ends."""
    torch.manual_seed(settings.seed)
    network = Unet3D(settings.dim, CUTOUT_CHANNELS).to(settings.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.rate)
    work.mkdir(parents=True, exist_ok=True)
    checkpoint, first = work / "instance.pt", 0
    if checkpoint.exists():
        kept = torch.load(checkpoint, map_location=settings.device, weights_only=True)
        network.load_state_dict(kept["network"])
        optimiser.load_state_dict(kept["optimiser"])
        first = kept["epoch"]
    spines = load_spines(cases, settings)
    for epoch in range(first, settings.epochs):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate_at(epoch)
        losses = [_step(network, optimiser, batch, settings) for batch in batches(spines, epoch, settings)]
        print(f"epoch {epoch + 1} of {settings.epochs}: loss {np.mean(losses):.4f}", flush=True)
        state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch + 1}
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").replace(checkpoint)
    write_folder(network, out, settings)


def batches(spines: list[Spine], epoch: int, settings: Settings) -> Iterator[list[Cutout]]:
    """Every vertebra of every case once, in a random order, augmented anew in each epoch."""
    rng = np.random.default_rng([settings.seed, epoch])
    frame = Frame(settings.spacing[::-1], settings.spacing, settings.size)
    places = [(spine, number) for spine in spines for number in spine.numbers()]
    order = rng.permutation(len(places))
    for start in range(0, len(order), settings.batch):
        chosen = [places[n] for n in order[start : start + settings.batch]]
        yield [cutout_around(spine.channels, spine.vertebrae, number, frame, rng) for spine, number in chosen]


def _step(network: nn.Module, optimiser: torch.optim.Optimizer, batch: list[Cutout], settings: Settings) -> float:
    channels = torch.from_numpy(np.stack([c.channels for c in batch]).astype(np.int64)).to(settings.device)
    inputs = nn.functional.one_hot(channels, CUTOUT_CHANNELS).movedim(-1, 1).float()
    parts = torch.from_numpy(np.stack([c.parts for c in batch]).astype(np.int64)).to(settings.device)
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast(torch.device(settings.device).type, dtype=torch.bfloat16):
        logits = network(inputs)
    losses = [level_loss(logits[n : n + 1], parts[n : n + 1]) for n in range(len(batch))]
    loss = torch.stack(losses).mean()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def write_folder(network: nn.Module, out: Path, settings: Settings) -> None:
    """inference_config.json and a Lightning-style checkpoint in full precision."""
    out.mkdir(parents=True, exist_ok=True)
    config = instance_config() | {
        "log_name": out.name,
        "demonstration": False,
        "resolution_range": list(settings.spacing),
        "cutout_size": list(settings.size),
        "corpus_size_cleaning": 100,
        "vert_size_threshold": 250,
    }
    (out / "inference_config.json").write_text(json.dumps(config, indent=2) + "\n")
    content = {
        "epoch": settings.epochs,
        "global_step": 0,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {f"network.{key}": value.detach().cpu() for key, value in network.state_dict().items()},
        "hyper_parameters": instance_parameters(CUTOUT_CHANNELS, settings.dim),
    }
    torch.save(content, out / "instance-weights.ckpt")
