"""The embedded model inside the node's own analysis: what the examination examines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spineps_pacs.analysis.geometry import nearest, turn, zoom
from spineps_pacs.analysis.instances import separate
from spineps_pacs.analysis.matching import match
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.ports import unwatched
from spineps_pacs.domain.volume import Volume
from spineps_pacs.engines.load import load_instance, load_semantic
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.weights import open_model
from training.examination import Masks, Segment
from training.forward import structures

DEFAULTS = Path(__file__).parent.parent / "spineps_pacs" / "engines" / "defaults"


def embedded(folder: Path = DEFAULTS) -> Segment:
    """The embedded model as a function of an image."""
    options = EngineOptions(device="cpu")
    semantic = load_semantic(open_model(folder / "semantic"), options)
    instance = load_instance(open_model(folder / "instance"), options)

    def segment(image: Volume) -> Masks:
        found = structures(semantic, image)
        vertebrae = separate(found.labels, found.geometry, instance, Mode.CORRECTED, unwatched)
        upright = turn(found.geometry)
        labels = np.ascontiguousarray(nearest(vertebrae.labels, vertebrae.geometry, upright.after))
        matched = match(upright.there(found.labels), labels, zoom(upright.after), Mode.CORRECTED)
        return (
            SemanticMask(upright.back(matched.structures), found.geometry),
            InstanceMask(upright.back(matched.vertebrae), found.geometry),
        )

    return segment
