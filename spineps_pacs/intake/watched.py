"""Images in from a watched folder: a file is taken when it has not changed between two looks."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spineps_pacs.domain.errors import TryAgain, Unusable
from spineps_pacs.domain.series import fingerprint
from spineps_pacs.intake.dimse import Door, Log
from spineps_pacs.intake.reception import Source

SOURCE = Source("watched")
DONE = "watched"
Stamp = tuple[int, int]


@dataclass(frozen=True)
class Drop:
    """The folder that is watched, and whether what is safe in the inbox is removed there."""

    folder: Path
    remove: bool = False


class Notes(Protocol):
    """Which files were taken, also before a restart."""

    def put(self, key: str, kind: str, text: str) -> None: ...

    def get(self, key: str, kind: str) -> str | None: ...


class WatchedFolder:
    """Looks through a folder, whatever its file system; `step` is one look."""

    def __init__(self, door: Door, notes: Notes, drop: Drop, staging: Path, log: Log) -> None:
        self._door = door
        self._notes = notes
        self._drop = drop
        self._staging = staging
        self._log = log
        self._seen: dict[Path, Stamp] = {}

    def step(self) -> int:
        """One look; gives how many files were taken in."""
        now = dict(self._files())
        steady = [p for p, stamp in now.items() if self._seen.get(p) == stamp and not self._is_done(p, stamp)]
        self._seen = now
        taken = 0
        for path in sorted(steady):
            try:
                taken += self._take(path)
            except TryAgain as reason:
                self._log("the watched folder waits", reason=str(reason))
                break
            self._notes.put(_note(path, now[path]), DONE, "")
        return taken

    def _is_done(self, path: Path, stamp: Stamp) -> bool:
        return self._notes.get(_note(path, stamp), DONE) is not None

    def _take(self, path: Path) -> int:
        copy = self._staging / f"{uuid.uuid4().hex}.part"
        try:
            shutil.copyfile(path, copy)
            self._door.arrived(copy, SOURCE)
        except Unusable as reason:
            self._log("a file of the watched folder was left", reason=str(reason))
            return 0
        except OSError as error:
            self._log("a file of the watched folder cannot be read", reason=type(error).__name__)
            return 0
        finally:
            copy.unlink(missing_ok=True)
        if self._drop.remove:
            path.unlink(missing_ok=True)
        return 1

    def _files(self) -> Iterator[tuple[Path, Stamp]]:
        for path in self._drop.folder.rglob("*"):
            if path.is_symlink() or path.name.startswith("."):
                continue
            try:
                found = path.stat()
            except OSError:
                continue
            if path.is_file():
                yield path, (found.st_mtime_ns, found.st_size)


def _note(path: Path, stamp: Stamp) -> str:
    return fingerprint([f"{path} {stamp[0]} {stamp[1]}"])
