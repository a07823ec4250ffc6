"""Which networks a command uses: of a models folder, by name or the only one of its kind, or the embedded ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.ports import Engines

NONE = "none"


@dataclass(frozen=True)
class Wanted:
    """Models by name; empty means the only one of its kind, "none" that there shall be none (instance, labelling)."""

    folder: Path | None = None
    semantic: str = ""
    instance: str = ""
    labeling: str = ""
    mode: str = "corrected"
    device: str = "auto"


def engines(wanted: Wanted) -> Engines:
    """The networks; a folder with phantom truths gives their twins, no folder gives the embedded models.

    Without an instance model vertebrae are told apart by the discs, without a labelling model they are not named by a
    network.
    """
    from spineps_pacs.engines import load, weights
    from spineps_pacs.engines.options import EngineOptions

    folder = wanted.folder or weights.embedded_folder()
    if folder is None:
        raise ModelError("this package holds no embedded model; name a folder of models with --models")
    if any(folder.glob("**/truth.json")):
        from spineps_pacs.engines.phantom import PhantomEngines

        return PhantomEngines.from_folder(folder)
    models, faults = weights.find_models(folder)
    if not models:
        raise ModelError(faults[0] if faults else f"{folder} holds no model")
    return load.load_engines(
        weights.choose(models, "semantic", wanted.semantic or None).folder,
        _optional(models, "instance", wanted.instance),
        _optional(models, "labeling", wanted.labeling),
        EngineOptions(wanted.mode, wanted.device),
        folder if wanted.folder is not None else None,
    )


def _optional(models: tuple[object, ...], kind: str, name: str) -> Path | None:
    from spineps_pacs.engines import weights

    able = [m for m in models if isinstance(m, weights.Model)]
    if name == NONE or (not name and not any(m.kind == kind for m in able)):
        return None
    return weights.choose(able, kind, name or None).folder
