"""Lightning checkpoints in a model folder: which file it is, its weights and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.engines.pickles import Stub, load_checkpoint


@dataclass(frozen=True)
class Checkpoint:
    """A Lightning checkpoint: its file, its weights by name, its options by name."""

    path: Path
    weights: Mapping[str, Tensor]
    options: Mapping[str, Any]

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The weights whose names begin with a prefix, without it."""
        return {n.removeprefix(prefix): t for n, t in self.weights.items() if n.startswith(prefix)}


def read_lightning(path: Path) -> Checkpoint:
    """Reads one checkpoint; options that Lightning nests under `opt` stand beside the others."""
    content = load_checkpoint(path)
    weights = content.get("state_dict")
    if not isinstance(weights, dict):
        raise ModelError(f"{path} is no Lightning checkpoint: it has no state_dict")
    raw = content.get("hyper_parameters")
    options = _attributes(raw)
    return Checkpoint(path, weights, {**_attributes(options.get("opt")), **options})


def _attributes(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {str(k): v for k, v in value.items()}
    return dict(vars(value)) if isinstance(value, Stub) else {}


def instance_checkpoint(folder: Path) -> Path:
    """The one file *weights*.ckpt of an instance model."""
    found = sorted(folder.glob("**/*weights*.ckpt"))
    if len(found) != 1:
        raise ModelError(f"{folder} holds {len(found)} files *weights*.ckpt, not one")
    return found[0]


def labeling_checkpoint(folder: Path) -> Path:
    """The last file *val_f1=*valf1-weights.ckpt of a labelling model."""
    found = sorted(folder.glob("**/*val_f1=*valf1-weights.ckpt"))
    if not found:
        raise ModelError(f"{folder} holds no file *val_f1=*valf1-weights.ckpt")
    return found[-1]
