"""Writes a folder of files beside its place and renames it, so that nobody sees half of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """The files by name, in a folder that takes the place of an older one of that name."""
    beside = target.parent / f".{target.name}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name, content in files.items():
        (beside / name).write_bytes(content)
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)
