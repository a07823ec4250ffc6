"""Small notes beside the inbox, each a file of its own: who sent a series, that its association ended, what was taken.

The loops of the node remember nothing; what they must know after a restart stands here.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from spineps_pacs.storage.datasets import sync_folder, write_synced

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class Marks:
    """Notes by key and kind, in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, kind: str, text: str) -> None:
        """Writes a note, or replaces it; on disk when this returns."""
        beside = self._root / f".{uuid.uuid4().hex}"
        write_synced(beside, text.encode())
        beside.replace(self._path(key, kind))
        sync_folder(self._root)

    def get(self, key: str, kind: str) -> str | None:
        """The note, or None where there is none."""
        try:
            return self._path(key, kind).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def keys(self, kind: str) -> list[str]:
        """Every key that has such a note, sorted."""
        found = (path for path in self._root.glob(f"*.{_safe(kind)}") if not path.name.startswith("."))
        return sorted(path.name.removesuffix(f".{kind}") for path in found)

    def forget(self, key: str, *kinds: str) -> None:
        """Removes these kinds of note, or all of the key."""
        paths = [self._path(key, kind) for kind in kinds] or self._root.glob(f"{_safe(key)}.*")
        for path in paths:
            path.unlink(missing_ok=True)

    def _path(self, key: str, kind: str) -> Path:
        return self._root / f"{_safe(key)}.{_safe(kind)}"


def _safe(name: str) -> str:
    if not SAFE.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a note")
    return name
