"""`models`: which models are there, installing published ones, holding them to their checksums, removing them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from spineps_pacs.cli.models_second import SMALL_FOV, install_second, remove_second, second_labeller
from spineps_pacs.domain.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from spineps_pacs.engines.releases import Release
    from spineps_pacs.engines.weights import Model
    from spineps_pacs.settings import Settings

Config = Annotated[Path | None, Parameter(name=["--config", "-c"], help="The configuration file of the node.")]
Folder = Annotated[Path | None, Parameter(name="--models", help="The models folder, instead of the configured one.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Write JSON, for machines.")]
Archive = Annotated[
    tuple[Path, ...],
    Parameter(
        name="--from", negative="", help="Install from this zip file (small-fov: its .onnx files), not the network."
    ),
]

VARIABLE = "SPINEPS_SEGMENTOR_MODELS"
"""Where SPINEPS itself looks for its models."""

models = App(name="models", help="List, install, verify and remove models.")


@models.command(name="list")
def list_models(config: Config = None, *, folder: Folder = None, as_json: Json = False) -> int:
    """The models that are installed, the embedded ones, and those that could be installed."""
    from spineps_pacs.engines.releases import RELEASES
    from spineps_pacs.engines.weights import embedded_folder, find_models

    root = _folder_if_any(config, folder)
    found, faults = find_models(root) if root is not None and root.is_dir() else ((), ())
    inside = embedded_folder()
    embedded = find_models(inside)[0] if inside is not None else ()
    absent = [r for r in RELEASES if r.folder.lower() not in {m.name for m in found}]
    second = second_labeller(root)
    if as_json:
        kinds = {"models": [_row(m) for m in found] + second, "embedded": [_row(m) for m in embedded]}
        published = [r.name for r in absent] + ([] if second else [SMALL_FOV])
        named = str(root) if root is not None else None
        print(json.dumps({"folder": named, **kinds, "faults": faults, "published": published}))
        return 0
    print(
        f"models in {root}:"
        if found or second
        else f"no models in {root}"
        if root is not None
        else "no models folder is named"
    )
    _show(found)
    print("".join(f"  {row['name']:<32} second labeller: {row['folder']}\n" for row in second), end="")
    print("".join(f"  not usable: {fault}\n" for fault in faults), end="")
    print("embedded, used where no folder is named (demonstration models, not for diagnosis or measurement):")
    _show(embedded)
    if absent or not second:
        print("not installed (spineps-pacs models install NAME):")
        print("".join(f"  {r.name:<32} {r.kind:<9} {r.tag}\n" for r in absent), end="")
        print("" if second else f"  {SMALL_FOV:<32} second labeller, of other authors; no licence is stated\n", end="")
    return 0


def _row(model: Model) -> dict[str, str]:
    """One model as JSON has it."""
    return {"name": model.name, "kind": model.kind, "version": model.version, "folder": str(model.folder)}


def _show(models_found: Sequence[Model]) -> None:
    for model in models_found:
        print(f"  {model.name:<32} {model.kind:<9} {model.version:<8} {model.config.log_name}")
        print("".join(f"    {warning}\n" for warning in model.config.warnings), end="")


@models.command
def install(*names: str, config: Config = None, folder: Folder = None, archives: Archive = ()) -> int:
    """Install published models by name (t2w, instance, t2w_labeling, small-fov, ...), or one from a zip file.

    Without a name the three that a node for sagittal T2w needs are installed. The second labeller, small-fov, comes
    from its own authors' release, or from its two files: --from A.onnx --from B.onnx.
    """
    from spineps_pacs.engines.install import install_file
    from spineps_pacs.engines.releases import FOR_T2W, release

    root = models_folder(config, folder)
    if SMALL_FOV in names:
        if len(names) > 1:
            raise ModelError(f"{SMALL_FOV} is installed by itself, {len(names)} models were named")
        install_second(root, archives, _configured(config))
        return 0
    if archives:
        if len(names) > 1 or len(archives) > 1:
            raise ModelError(f"one archive holds one model; {len(names)} were named, {len(archives)} archives given")
        _told(install_file(archives[0], root, release(names[0]) if names else None))
        return 0
    for wanted in [release(name) for name in names or FOR_T2W]:
        _told(_downloaded(wanted, root, release_address(config)))
    return 0


@models.command
def verify(config: Config = None, *, folder: Folder = None) -> int:
    """Compare every model with the checksums that were recorded for it; those without any are recorded now."""
    from spineps_pacs.engines.install import verify as compare
    from spineps_pacs.engines.small_fov_install import networks_differences

    root = models_folder(config, folder)
    answer = dict(compare(root))
    if second_labeller(root):
        answer[SMALL_FOV] = networks_differences(root)
    for name, found in sorted(answer.items()):
        print(f"{name}: as recorded" if not found else "".join(f"{name}: {text}\n" for text in found).rstrip())
    return int(any(answer.values()))


@models.command
def remove(name: str, config: Config = None, *, folder: Folder = None) -> int:
    """Delete one model."""
    from spineps_pacs.engines.install import remove as delete
    from spineps_pacs.engines.weights import answers, find_models

    root = models_folder(config, folder)
    if name.lower() == SMALL_FOV:
        remove_second(root)
        return 0
    able = [model for model in find_models(root)[0] if answers(model.name, name.lower())]
    if len(able) != 1:
        found = ", ".join(model.name for model in able) or "none"
        raise ModelError(f"{name} must name one installed model; it names {found}")
    delete(root, able[0])
    print(f"removed {able[0].name}")
    return 0


def models_folder(config: Path | None, folder: Path | None) -> Path:
    """The folder given, else the configured one, else SPINEPS's own variable."""
    found = _folder_if_any(config, folder)
    if found is None:
        raise SettingsError(f"say where the models are: --models, models.folder in the configuration, or {VARIABLE}")
    return found


def _folder_if_any(config: Path | None, folder: Path | None) -> Path | None:
    if folder is not None:
        return folder
    configured = _configured(config)
    if configured is not None and configured.models.folder is not None:
        return configured.models.folder
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def release_address(config: Path | None) -> str:
    """The address below which releases lie."""
    from spineps_pacs.engines.releases import BASE_ADDRESS

    configured = _configured(config)
    return configured.models.release_address if configured is not None else BASE_ADDRESS


def _configured(config: Path | None) -> Settings | None:
    if config is None:
        return None
    from spineps_pacs.settings import load

    return load(config)


def _downloaded(wanted: Release, root: Path, base: str) -> Model:
    """Installs one release with a bar that shows how far it is."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from spineps_pacs.engines.install import install as fetch

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(wanted.archive, total=None)
        return fetch(wanted, root, base, lambda done, total: bar.update(task, completed=done, total=total))


def _told(model: Model) -> None:
    print(f"installed {model.name} ({model.kind}) in {model.folder}")
