"""Images in from a watched folder: a file is taken when it has not changed between two looks."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spineps_pacs.domain.errors import TryAgain, Unusable
from spineps_pacs.domain.series import fingerprint
from spineps_pacs.intake.dimse import Door, Log
from spineps_pacs.intake.reception import Source

SOURCE = Source("watched")
DONE = "watched"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
Stamp = tuple[int, int]


@dataclass(frozen=True)
class Drop:
    """The folder that is watched, whether what is safe in the inbox is removed there, and whether the disk has room."""

    folder: Path
    remove: bool = False
    room: Callable[[], bool] = lambda: True


class Notes(Protocol):
    """Which files were taken, also before a restart."""

    def put(self, key: str, kind: str, text: str) -> None: ...

    def get(self, key: str, kind: str) -> str | None: ...

    def forget(self, key: str, *kinds: str) -> None: ...

    def keys(self, kind: str) -> list[str]: ...


class WatchedFolder:
    """Looks through a folder, whatever its file system; `step` is one look."""

    def __init__(self, door: Door, notes: Notes, drop: Drop, staging: Path, log: Log) -> None:
        self._door = door
        self._notes = notes
        self._drop = drop
        self._staging = staging
        self._log = log
        self._seen: dict[Path, Stamp] | None = None
        self._told: set[Path] = set()

    def step(self) -> int:
        """One look; gives how many files were taken in."""
        now = dict(self._files())
        if not now:  # empty, or a share that is away just now; it would all be taken again
            return 0
        seen, self._seen = self._forget_gone(now), now
        steady = [p for p, stamp in now.items() if seen.get(p) == stamp and not self._is_done(p, stamp)]
        taken = 0
        for path in sorted(steady):
            try:
                if not self._drop.room():
                    raise TryAgain("less disk is free than the node keeps")
                taken += self._take(path, now[path])
            except TryAgain as reason:
                self._log("the watched folder waits", reason=str(reason))
                break
        return taken

    def _forget_gone(self, now: dict[Path, Stamp]) -> dict[Path, Stamp]:
        """Drops the notes of files that are gone, at a start also while nobody looked; gives what was seen last."""
        if self._seen is None:
            gone = set(self._notes.keys(DONE)) - {_note(path, stamp) for path, stamp in now.items()}
        else:
            gone = {_note(path, stamp) for path, stamp in self._seen.items() if now.get(path) != stamp}
        for key in gone:
            self._notes.forget(key, DONE)
        return self._seen or {}

    def _is_done(self, path: Path, stamp: Stamp) -> bool:
        return self._notes.get(_note(path, stamp), DONE) is not None

    def _take(self, path: Path, stamp: Stamp) -> int:
        copy = self._staging / f"{uuid.uuid4().hex}.part"
        try:
            shutil.copyfile(path, copy)
            self._door.arrived(copy, SOURCE)
        except Unusable as reason:
            self._log("a file of the watched folder was left", reason=str(reason))
            self._notes.put(_note(path, stamp), DONE, "")
            return 0
        except OSError as error:
            self._put_off(path, error)
            return 0
        finally:
            copy.unlink(missing_ok=True)
        if self._drop.remove:
            path.unlink(missing_ok=True)
        else:
            self._notes.put(_note(path, stamp), DONE, "")
        return 1

    def _put_off(self, path: Path, error: OSError) -> None:
        """A disk or share that fails now may not fail at the next look; the others wait only where ours is full."""
        if error.errno in FULL:
            raise TryAgain(f"the data folder takes nothing more: {os.strerror(error.errno or 0)}") from error
        if path not in self._told:
            self._told.add(path)
            self._log("a file of the watched folder cannot be read yet", reason=type(error).__name__)

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
