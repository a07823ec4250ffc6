"""Datasets on disk, a folder a series: written beside, synced, renamed; the inbox is one such, the outbox another.

Keys and names are ours (hashes, kinds), never attributes of DICOM; anything that could leave the folder is refused.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from spineps_pacs.domain.errors import TryAgain, Unusable
from spineps_pacs.domain.series import Series

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
STAGING = ".incoming"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
OF_THE_FILE = {None, errno.EINVAL}
"""What a reader says of a file that lies about its lengths; other numbers tell of the disk."""
CLOCK_SLACK_S = 60.0


def sync_folder(folder: Path) -> None:
    """Makes renames inside the folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, content: bytes) -> None:
    """Writes a new file and waits until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


class DatasetFolder:
    """`Datasets` in a folder; `clock` gives seconds since the epoch."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._clock = clock
        (root / STAGING).mkdir(parents=True, exist_ok=True)

    @property
    def staging(self) -> Path:
        """Where files grow before they are given to `add`; on the same file system as the rest."""
        return self._root / STAGING

    def free_bytes(self) -> int:
        """Free space of the disk beneath."""
        return shutil.disk_usage(self._root).free

    def path(self, key: str, name: str) -> Path:
        """Where a dataset lies, or would lie."""
        return self._folder(key) / _safe(name)

    def add(self, key: str, name: str, content: bytes | Path) -> bool:
        """Keeps one dataset; when this returns, a power cut cannot take it. A known one changes nothing."""
        try:
            return self._add(self.path(key, name), content)
        except OSError as error:
            if error.errno in FULL:
                raise TryAgain(f"the data folder takes nothing more: {os.strerror(error.errno or 0)}") from error
            raise

    def _add(self, target: Path, content: bytes | Path) -> bool:
        if target.exists():
            if isinstance(content, Path):
                content.unlink(missing_ok=True)
            os.utime(target.parent)  # it came again: what else is kept of its key is not old either
            return False
        if not target.parent.exists():
            target.parent.mkdir(exist_ok=True)
            sync_folder(self._root)
        staged = content if isinstance(content, Path) else self.staging / f"{uuid.uuid4().hex}.part"
        if isinstance(content, bytes):
            write_synced(staged, content)
        else:
            _sync(staged)
        staged.replace(target)
        sync_folder(target.parent)
        return True

    def names(self, key: str) -> tuple[str, ...]:
        """Names of what is kept under the key, sorted; nothing for an unknown key."""
        try:
            return tuple(sorted(entry.name for entry in os.scandir(self._folder(key)) if entry.is_file()))
        except FileNotFoundError:
            return ()

    def holds(self, name: str) -> bool:
        """True when some key has a dataset of that name."""
        return any((Path(entry.path) / _safe(name)).is_file() for entry in self._folders())

    def load(self, key: str, pixels: bool = True) -> Series:
        """All datasets of a key, whole or only their headers."""
        names = self.names(key)
        if not names:
            raise Unusable("no images are kept for this series; they were erased or never arrived")
        datasets = tuple(_read(self.path(key, name), pixels) for name in names)
        return Series(str(datasets[0].get("SeriesInstanceUID", "")), datasets)

    def quiet(self, before: float) -> Sequence[str]:
        """Keys to which nothing was added since `before`.

        A folder dated in the future (the clock went back) is dated anew, so that its quiet time begins now.
        """
        now = self._clock()
        keys = []
        for entry in self._folders():
            changed = entry.stat().st_mtime
            if changed > now + CLOCK_SLACK_S:
                os.utime(entry.path, (now, now))
            elif changed <= before:
                keys.append(entry.name)
        return sorted(keys)

    def changed(self, key: str) -> float:
        """When something was last added (seconds since the epoch); 0 for an unknown key."""
        try:
            return self._folder(key).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def forget(self, key: str, before: float = math.inf) -> bool:
        """Removes a key with all it holds; an unknown key is no error.

        False, and nothing is removed, where something came since `before`: that was acknowledged, and needs the rest.
        """
        folder, doomed = self._folder(key), self.staging / f"{uuid.uuid4().hex}.gone"
        try:
            if folder.stat().st_mtime > before:
                return False
            folder.rename(doomed)
        except FileNotFoundError:  # never there, or another host was faster
            return True
        if doomed.stat().st_mtime > before:  # came between the look and the move
            self._bring_back(doomed, folder)
            return False
        sync_folder(self._root)
        shutil.rmtree(doomed)
        return True

    def _bring_back(self, doomed: Path, folder: Path) -> None:
        """Undoes a removal, also where a new folder of that key was begun meanwhile."""
        folder.mkdir(exist_ok=True)
        for path in doomed.iterdir():
            path.replace(folder / path.name)
        sync_folder(folder)
        doomed.rmdir()

    def tidy(self, older_than_s: float = 3600.0) -> int:
        """Removes what a crash left in the staging folder; gives how many things."""
        limit = self._clock() - older_than_s
        left = [entry for entry in self.staging.iterdir() if entry.stat().st_mtime < limit]
        for entry in left:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
        for folder in self._folders():
            if folder.stat().st_mtime < limit:
                with contextlib.suppress(OSError):  # not empty, as nearly all are
                    Path(folder.path).rmdir()
        return len(left)

    def _folder(self, key: str) -> Path:
        return self._root / _safe(key)

    def _folders(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self._root) as entries:
            yield from (entry for entry in entries if SAFE.fullmatch(entry.name) and entry.is_dir())


def _safe(name: str) -> str:
    if not SAFE.fullmatch(name):
        raise ValueError(f"{name!r} cannot name anything in a data folder")
    return name


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _read(path: Path, pixels: bool) -> Dataset:
    try:
        return dcmread(path, stop_before_pixels=not pixels)
    except Exception as error:  # broken files raise many kinds
        if isinstance(error, OSError) and error.errno not in OF_THE_FILE:
            raise TryAgain(f"{path.name} cannot be read just now: {os.strerror(error.errno or 0)}") from error
        # its text may quote a patient's values, and reasons are shown and logged
        raise Unusable(f"{path.name} cannot be read as DICOM: {type(error).__name__}") from error
