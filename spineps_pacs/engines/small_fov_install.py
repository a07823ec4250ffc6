"""Installs the published ONNX networks of the small-field-of-view labeller, or files on disk, and checks them.

No licence is stated for the published files: a site fetches them itself, this package ships nothing of them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.engines.download import Progress, download, unreported
from spineps_pacs.engines.weights import (
    Record,
    checksums,
    differences,
    read_record,
    record_folder,
    sha256,
    write_record,
)

FOLDER = "small-fov"
BASE_ADDRESS = "https://github.com/LiquidFun/Spine/releases/download"
TAG = "onnx_models_1.0.0"
FILES = (
    "2023-09-12_Seg2_Unet_mitb5_896px.onnx",
    "2023-11-06_Seg25_Unet_mitb5_vert-only_896px_no-input-seg.onnx",
)
"""Segmentation and naming, as the published system uses them."""


def install_networks(
    root: Path,
    base: str = BASE_ADDRESS,
    progress: Progress = unreported,
    pause: Callable[[float], None] = time.sleep,
) -> Path:
    """Downloads both files; what is already there stays as it is. Broken-off downloads go on where they stopped."""
    if (root / FOLDER).exists():
        return root / FOLDER
    parts = root / ".downloads"
    parts.mkdir(parents=True, exist_ok=True)
    fetched = {name: parts / f"{TAG}-{name}.part" for name in FILES}
    for name, part in fetched.items():
        download(f"{base.rstrip('/')}/{TAG}/{name}", part, progress, pause)
    try:
        sums = {f"{TAG}/{name}": _held(root, f"{TAG}/{name}", part) for name, part in fetched.items()}
        folder = _placed(root, fetched)
    finally:
        for part in fetched.values():
            part.unlink(missing_ok=True)
    record = read_record(root)
    write_record(root, Record(record.models, {**record.archives, **sums}))
    return folder


def install_networks_from(files: Sequence[Path], root: Path) -> Path:
    """Copies networks from disk, for sites without a network; a file of a published name is held to its record."""
    absent = [path for path in files if not path.is_file()]
    if absent or not any(path.suffix == ".onnx" for path in files):
        raise ModelError(f"{absent[0]} does not exist" if absent else "none of the files is an .onnx file")
    root.mkdir(parents=True, exist_ok=True)
    for path in files:
        _held(root, f"{TAG}/{path.name}", path)
    return _placed(root, {path.name: path for path in files})


def networks_differences(root: Path) -> tuple[str, ...]:
    """A sentence for each installed file that is not as it was recorded; copied there by hand, it is recorded now."""
    folder, recorded = root / FOLDER, read_record(root).models.get(FOLDER)
    if not folder.is_dir():
        raise ModelError(f"{root} holds no folder {FOLDER}")
    if recorded is not None:
        return differences(recorded, checksums(folder))
    count = len(list(folder.glob("*.onnx")))
    if count != len(FILES):
        return (f"it has {count} .onnx files, the labeller needs {len(FILES)}; nothing was recorded",)
    record_folder(root, folder)
    return ()


def remove_networks(root: Path) -> None:
    """Deletes the folder and its record."""
    if not (root / FOLDER).is_dir():
        raise ModelError(f"{root} holds no folder {FOLDER}")
    shutil.rmtree(root / FOLDER)
    record = read_record(root)
    write_record(root, Record({n: f for n, f in record.models.items() if n != FOLDER}, record.archives))


def _held(root: Path, name: str, path: Path) -> str:
    """The SHA-256 of a file, compared with the one recorded when it was first seen."""
    digest, known = sha256(path), read_record(root).archives.get(name)
    if known is not None and known != digest:
        raise ModelError(f"{name} has the SHA-256 {digest}, it was recorded as {known}")
    return digest


def _placed(root: Path, files: dict[str, Path]) -> Path:
    """Copies beside and renames, so that the folder is there whole or not at all; records its checksums."""
    target = root / FOLDER
    if target.exists():
        raise ModelError(f"{target} is already there; remove it first")
    work = Path(tempfile.mkdtemp(prefix=".installing-", dir=root))
    try:
        for name, path in files.items():
            shutil.copyfile(path, work / name)
        work.chmod(0o755)
        os.replace(work, target)  # noqa: PTH105 - one rename, which cannot be half done
    finally:
        shutil.rmtree(work, ignore_errors=True)
    record_folder(root, target)
    return target
