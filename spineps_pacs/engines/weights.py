"""Model folders: found, named, told apart by kind, and held to the checksums that were recorded for them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.engines.inference_config import FILE, InferenceConfig, read_config

LOCK = "spineps-pacs.lock.json"
"""Beside the model folders: size and SHA-256 of every file of each of them, as first seen."""

_SHORT_NAMES = {
    "t2w": "t2w_semantic", "t1w": "t1w_semantic", "vibe": "vibe_semantic", "ct": "ct_semantic",
    "instance": "instance_sagittal",
}  # fmt: skip
"""The published names and how the folders that they are installed as begin."""

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Model:
    """One model folder: its name (lower case), its kind, where it lies and what it says of itself."""

    name: str
    folder: Path
    config: InferenceConfig

    @property
    def kind(self) -> str:
        """semantic, instance or labeling."""
        return self.config.kind

    @property
    def version(self) -> str:
        """The version that the configuration states, else what follows "_v" in the folder's name, else nothing."""
        _, mark, version = self.folder.name.rpartition("_v")
        return self.config.version or (f"v{version}" if mark else "")


def embedded_folder() -> Path | None:
    """The folder of the models that come with this package, if they do."""
    folder = Path(__file__).parent / "defaults"
    return folder if any(folder.glob(f"**/{FILE}")) else None


def open_model(folder: Path) -> Model:
    """The model in a folder, or one folder further down."""
    configs = [folder / FILE] if (folder / FILE).is_file() else sorted(folder.glob(f"**/{FILE}"))
    if len(configs) != 1:
        raise ModelError(f"{folder} holds {len(configs)} files {FILE}, not one")
    return _model(configs[0])


def _model(config: Path) -> Model:
    folder = config.parent
    named = folder.parent if "nnUNetPlans" in folder.name else folder
    return Model(named.name.lower(), folder, read_config(config))


def find_models(root: Path) -> tuple[tuple[Model, ...], tuple[str, ...]]:
    """All models below a folder, by name, and a sentence for each folder that cannot be used."""
    if not root.is_dir():
        raise ModelError(f"the models folder {root} does not exist")
    models, faults = [], []
    for config in sorted(root.glob(f"**/{FILE}")):
        if any(part.startswith(".") for part in config.relative_to(root).parts):
            continue
        try:
            models.append(_model(config))
        except ModelError as error:
            faults.append(str(error))
    return tuple(sorted(models, key=lambda m: m.name)), tuple(faults)


def choose(models: Iterable[Model], kind: str, wanted: str | None = None, faults: Sequence[str] = ()) -> Model:
    """The model of a kind: by folder name or published name (t2w, instance, ...); without a name the only one.

    `faults` are those of folders that cannot be used: if none fits, it may be one of them.
    """
    able = [m for m in models if m.kind == kind]
    if wanted is not None:
        able = [m for m in able if answers(m.name, wanted.lower())]
    if len(able) == 1:
        return able[0]
    what = f"{kind} model" + (f" named {wanted}" if wanted else "")
    found = ", ".join(m.name for m in able)
    raise ModelError(
        f"several folders fit, say which: {found}" if able else "; ".join((f"no {what} was found", *faults))
    )


def answers(name: str, wanted: str) -> bool:
    """True when a folder's name (lower case) is what a published name or a folder's name asks for."""
    start = _SHORT_NAMES.get(wanted.removesuffix("_semantic"), wanted)
    return name in {wanted, start} or name.startswith(f"{start}_v")


def files_of(folder: Path) -> tuple[Path, ...]:
    """Every file of a model folder, sorted; hidden ones and our own record are left out."""
    inside = (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and p.name != LOCK)
    return tuple(sorted(p for p in inside if not any(q.startswith(".") for q in p.relative_to(folder).parts)))


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def digest_of(sums: Mapping[str, str]) -> str:
    """One digest over files: their names within the folder and their own digests."""
    lines = (f"{name} {sums[name]}\n" for name in sorted(sums))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def checksums(folder: Path, files: Iterable[Path] | None = None) -> dict[str, str]:
    """Name within the folder to SHA-256, of the files given or of all."""
    return {p.relative_to(folder).as_posix(): sha256(p) for p in (files if files is not None else files_of(folder))}


@dataclass(frozen=True)
class Record:
    """What was recorded beside the models: files of folders, and archives that were downloaded, with their SHA-256."""

    models: Mapping[str, Mapping[str, str]]
    archives: Mapping[str, str]


def read_record(root: Path) -> Record:
    """The record of a models folder; empty without one."""
    path = root / LOCK
    if not path.exists():
        return Record({}, {})
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        models = {str(name): {str(f): str(d) for f, d in files.items()} for name, files in content["models"].items()}
        return Record(models, {str(name): str(d) for name, d in content.get("archives", {}).items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is damaged; remove it to record the checksums anew") from error


def write_record(root: Path, record: Record) -> None:
    """Replaces the record, whole or not at all."""
    content = {"models": dict(record.models), "archives": dict(record.archives)}
    new = root / f".{LOCK}.{os.getpid()}"
    new.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(new, root / LOCK)  # noqa: PTH105 - one rename, which cannot be half done


def record_folder(root: Path, folder: Path) -> None:
    """Records all files of one model folder."""
    record = read_record(root)
    models = {**record.models, folder.relative_to(root).as_posix(): checksums(folder)}
    write_record(root, Record(models, record.archives))


def differences(recorded: Mapping[str, str], found: Mapping[str, str], whole: bool = True) -> tuple[str, ...]:
    """A sentence for each file that is not as recorded; `whole` also counts files that are missing."""
    changed = [f"{n} has another content" for n in found if n in recorded and recorded[n] != found[n]]
    added = [f"{n} was not there" for n in found if n not in recorded]
    lost = [f"{n} is missing" for n in recorded if n not in found] if whole else []
    return tuple(sorted(changed + added + lost))


def hold_to_record(model: Model, root: Path, used: Mapping[str, str]) -> None:
    """Compares the files that are used with the record of the folder, if there is one."""
    found = differences(_recorded(model, root) or used, used, whole=False)
    if found:
        advice = f"install it anew, or remove its entry from {root / LOCK} if the change is meant"
        raise ModelError(f"the model {model.name} is not as it was recorded: {'; '.join(found)} ({advice})")


def record_once(model: Model, root: Path) -> None:
    """Records all files of a folder that has no record yet; to be called when they have proved to be a model.

    A folder that cannot be written to keeps no record, nor does the one that comes with this package.
    """
    if root != embedded_folder() and _recorded(model, root) is None and os.access(root, os.W_OK):
        record_folder(root, model.folder)


def _recorded(model: Model, root: Path) -> Mapping[str, str] | None:
    return read_record(root).models.get(model.folder.relative_to(root).as_posix())
