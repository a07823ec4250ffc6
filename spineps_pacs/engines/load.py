"""Model folders to engines: the one place where folders, options and networks meet."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.ports import Engines, LevelEngine, ModelInfo, SemanticEngine, VertebraEngine
from spineps_pacs.engines.memory import reuse_memory
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.weights import Model, checksums, digest_of, hold_to_record, open_model, record_once

Engine = TypeVar("Engine")


def load_engines(
    semantic: Path,
    instance: Path | None = None,
    labeling: Path | None = None,
    options: EngineOptions | None = None,
    recorded_in: Path | None = None,
) -> Engines:
    """The networks of up to three model folders.

    `recorded_in` is the models folder whose lock file the used files are held to (and recorded in the first time).
    """
    chosen = options or EngineOptions()
    reuse_memory()
    if chosen.threads:
        import torch

        torch.set_num_threads(chosen.threads)
    return Engines(
        semantic=load_semantic(open_model(semantic), chosen, recorded_in),
        vertebra=None if instance is None else load_instance(open_model(instance), chosen, recorded_in),
        levels=None if labeling is None else load_labeling(open_model(labeling), chosen, recorded_in),
        warnings=warnings_of(semantic, instance, labeling),
    )


def load_semantic(model: Model, options: EngineOptions, recorded_in: Path | None = None) -> SemanticEngine:
    """The semantic network of a folder."""
    from spineps_pacs.engines.semantic import NnUnetEngine, files_used

    _expect(model, "semantic", "nnunet")
    engine = NnUnetEngine(model, describe(model, files_used(model), recorded_in), options)
    return _proved(engine, model, recorded_in)


def load_instance(model: Model, options: EngineOptions, recorded_in: Path | None = None) -> VertebraEngine:
    """The instance network of a folder."""
    from spineps_pacs.engines.lightning import instance_checkpoint
    from spineps_pacs.engines.vertebra import UnetVertebraEngine

    _expect(model, "instance", "unet")
    files = (model.config.path, instance_checkpoint(model.folder))
    return _proved(UnetVertebraEngine(model, describe(model, files, recorded_in), options), model, recorded_in)


def load_labeling(model: Model, options: EngineOptions, recorded_in: Path | None = None) -> LevelEngine:
    """The labelling network of a folder."""
    from spineps_pacs.engines.level import DenseLevelEngine
    from spineps_pacs.engines.lightning import labeling_checkpoint

    _expect(model, "labeling", "classifier")
    files = (model.config.path, labeling_checkpoint(model.folder))
    return _proved(DenseLevelEngine(model, describe(model, files, recorded_in), options), model, recorded_in)


def _proved(engine: Engine, model: Model, recorded_in: Path | None) -> Engine:
    """An engine that could be loaded: from now on its files stay what they are."""
    if recorded_in is not None:
        record_once(model, recorded_in)
    return engine


def _expect(model: Model, kind: str, modeltype: str) -> None:
    if (model.kind, model.config.modeltype) != (kind, modeltype):
        what = f"{model.kind} model of type {model.config.modeltype}"
        raise ModelError(f"{model.folder} holds a {what}, not a {kind} model of type {modeltype}")


def describe(model: Model, files: tuple[Path, ...], recorded_in: Path | None) -> ModelInfo:
    """Name, version and digest of a model; a file that is not as it was recorded is refused."""
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise ModelError(f"{missing[0]} does not exist")
    sums = checksums(model.folder, files)
    if recorded_in is not None:
        hold_to_record(model, recorded_in, sums)
    return ModelInfo(model.kind, model.name, model.version, digest_of(sums), model.config.demonstration)


def warnings_of(*folders: Path | None) -> tuple[str, ...]:
    """What the configurations of some model folders hold that is not known, a sentence each."""
    return tuple(w for folder in folders if folder is not None for w in open_model(folder).config.warnings)
