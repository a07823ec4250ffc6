"""Installs, checks and removes model folders: from a release address, or from a file where there is no network."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.engines.download import Progress, download, unreported
from spineps_pacs.engines.inference_config import FILE
from spineps_pacs.engines.releases import Release
from spineps_pacs.engines.weights import (
    Model,
    Record,
    checksums,
    differences,
    find_models,
    open_model,
    read_record,
    record_folder,
    sha256,
    write_record,
)

_PARTS = ".downloads"
_LARGEST_BYTES = 32 << 30
"""An archive that unpacks to more than this is refused."""


def install(
    release: Release,
    root: Path,
    base: str,
    progress: Progress = unreported,
    pause: Callable[[float], None] = time.sleep,
) -> Model:
    """Downloads and installs one published model; what is already there stays as it is."""
    target = root / release.folder
    if target.exists():
        return open_model(target)
    parts = root / _PARTS
    parts.mkdir(parents=True, exist_ok=True)
    part = parts / f"{release.tag}-{release.archive}.part"
    download(release.address(base), part, progress, pause)
    try:
        digest = _hold_archive(root, f"{release.tag}/{release.archive}", part)
        model = _unpack(part, root, release.folder, release.kind)
    finally:
        part.unlink()
    record = read_record(root)
    write_record(root, Record(record.models, {**record.archives, f"{release.tag}/{release.archive}": digest}))
    return model


def install_file(archive: Path, root: Path, release: Release | None = None) -> Model:
    """Installs a model from an archive on disk; without a release its folder is named after what the archive holds."""
    if not archive.is_file():
        raise ModelError(f"{archive} does not exist")
    root.mkdir(parents=True, exist_ok=True)
    if release is not None:
        _hold_archive(root, f"{release.tag}/{release.archive}", archive)
        return _unpack(archive, root, release.folder, release.kind)
    return _unpack(archive, root, None, None)


def _hold_archive(root: Path, name: str, archive: Path) -> str:
    """The SHA-256 of an archive, compared with the one recorded when it was first seen."""
    digest, known = sha256(archive), read_record(root).archives.get(name)
    if known is not None and known != digest:
        raise ModelError(f"{name} has the SHA-256 {digest}, it was recorded as {known}")
    return digest


def _unpack(archive: Path, root: Path, name: str | None, kind: str | None) -> Model:
    """Unpacks beside and renames, so that a model folder is there whole or not at all; records its checksums."""
    with _beside(root) as work:
        unpacked = work / "content"
        _extract(archive, unpacked)
        inner = _model_folder(unpacked, archive)
        target = root / (name or (inner.name if inner != unpacked else archive.stem))
        found = open_model(inner)
        if kind is not None and found.kind != kind:
            raise ModelError(f"{archive.name} holds a {found.kind} model, not a {kind} one")
        if target.exists():
            raise ModelError(f"{target} is already there; remove it first")
        os.replace(inner, target)  # noqa: PTH105 - one rename, which cannot be half done
    model = open_model(target)
    record_folder(root, model.folder)
    return model


@contextmanager
def _beside(root: Path) -> Iterator[Path]:
    """A hidden folder in the models folder, gone afterwards whatever happens."""
    work = Path(tempfile.mkdtemp(prefix=".installing-", dir=root))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _extract(archive: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as content:
            members = content.infolist()
            _refuse_odd(archive, members)
            content.extractall(target, members)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise ModelError(f"{archive.name} is no whole zip archive: {error}") from error


def _refuse_odd(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuses archives that write outside their folder, hold links, or are too large to be a model."""
    size = sum(member.file_size for member in members)
    if size > _LARGEST_BYTES:
        raise ModelError(f"{archive.name} unpacks to {size} bytes, more than {_LARGEST_BYTES}")
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename:
            raise ModelError(f"{archive.name} holds {member.filename!r}, which lies outside of it")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise ModelError(f"{archive.name} holds {member.filename!r}, which is neither a file nor a folder")


def _model_folder(unpacked: Path, archive: Path) -> Path:
    """The model's own folder: the archive's top, or the one extra folder around it."""
    if next(unpacked.rglob(FILE), None) is None:
        raise ModelError(f"{archive.name} holds no {FILE}, it is no model")
    inner = [p for p in unpacked.iterdir() if p.name != "__MACOSX"]
    if not (unpacked / FILE).is_file() and len(inner) == 1 and inner[0].is_dir():
        return inner[0]
    return unpacked


def verify(root: Path) -> dict[str, tuple[str, ...]]:
    """Model folder to what is not as it was recorded; a model without a record is recorded now."""
    found, faults = find_models(root)
    answer: dict[str, tuple[str, ...]] = {fault: (fault,) for fault in faults}
    recorded = read_record(root).models
    for model in found:
        name = model.folder.relative_to(root).as_posix()
        if name in recorded:
            answer[name] = differences(recorded[name], checksums(model.folder))
        else:
            record_folder(root, model.folder)
            answer[name] = ()
    lost = [name for name in recorded if not (root / name).is_dir()]
    return answer | dict.fromkeys(lost, ("the folder is missing",))


def remove(root: Path, model: Model) -> None:
    """Deletes a model's folder, with the folders around it that hold nothing else, and its record."""
    shutil.rmtree(model.folder)
    for around in model.folder.parents:
        if around == root or root not in around.parents or any(around.iterdir()):
            break
        around.rmdir()
    record, name = read_record(root), model.folder.relative_to(root).as_posix()
    if name in record.models:
        write_record(root, Record({n: f for n, f in record.models.items() if n != name}, record.archives))
