"""Trains both networks at full size on a user's own cases and writes complete model folders.

    python -m training.own_data semantic CASES --work DIR --out MODELS/My_semantic_v1
    python -m training.own_data instance CASES --work DIR --out MODELS/My_instance_v1

CASES holds the folders `images`, `structures` and `instances`: NIfTI files of the same names, labels with SPINEPS ids.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from training import own_instance, own_semantic

_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--spacing", {"type": float, "nargs": 3, "metavar": ("P", "I", "R"), "help": "grid in mm"}),
    ("--patch", {"type": int, "nargs": 3, "metavar": ("P", "I", "R"), "help": "patch or cutout in voxels"}),
    ("--batch", {"type": int}),
    ("--epochs", {"type": int}),
    ("--device", {"help": "cuda, cuda:1 or cpu"}),
    ("--folds", {"type": int, "help": "semantic only"}),
    ("--iterations", {"type": int, "help": "per epoch; semantic only"}),
    ("--processes", {"type": int, "help": "semantic only"}),
    ("--dim", {"type": int, "help": "width of the network; instance only"}),
)


def main() -> None:
    """Reads the command line and trains one of the two networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=("semantic", "instance"))
    parser.add_argument("cases", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    for name, how in _OPTIONS:
        parser.add_argument(name, **how)
    given = parser.parse_args()
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(given).items()
        if value is not None and name not in {"network", "cases", "work", "out"}
    }
    if given.network == "semantic":
        semantic = replace(own_semantic.Settings(), **chosen)
        own_semantic.train_semantic(given.cases, given.work, given.out, semantic)
    else:
        chosen = {"size" if name == "patch" else name: value for name, value in chosen.items()}
        own_instance.train_instance(given.cases, given.work, given.out, replace(own_instance.Settings(), **chosen))


if __name__ == "__main__":
    main()
