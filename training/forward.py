"""The model alone, without the node's analysis around it: for learning curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spineps_pacs.analysis.geometry import cubic, nearest, rescaled, turn, zoom
from spineps_pacs.domain.masks import SemanticMask
from spineps_pacs.domain.ports import ModelInfo, SemanticEngine, unwatched
from spineps_pacs.domain.volume import Volume
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.semantic import NnUnetEngine
from spineps_pacs.engines.weights import open_model


def open_semantic(folder: Path) -> NnUnetEngine:
    """The engine of a model folder."""
    return NnUnetEngine(open_model(folder), ModelInfo("semantic", folder.name, "", ""), EngineOptions(device="cpu"))


def structures(engine: SemanticEngine, image: Volume) -> SemanticMask:
    """Structures of an image on its own grid; no bias correction, no cleaning."""
    upright = turn(image.geometry)
    low, high = engine.grid.spacing_pir, engine.grid.largest_pir or engine.grid.spacing_pir
    a, b, c = (float(np.clip(z, lo, hi)) for z, lo, hi in zip(zoom(upright.after), low, high, strict=True))
    grid = rescaled(upright.after, (a, b, c))
    voxels = upright.there(np.asarray(image.voxels, dtype=np.float32))
    prepared = Volume(cubic(voxels - voxels.min(), upright.after, grid), grid)
    labels = engine.predict(prepared, unwatched).labels
    return SemanticMask(upright.back(nearest(labels, grid, upright.after)).astype(np.uint8), image.geometry)
