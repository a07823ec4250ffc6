"""Networks of seeded weights in the layouts that are published, with an input for each: as stages beside the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.domain.ports import Cutouts, unwatched
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.engines.load import load_instance, load_labeling, load_semantic
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.weights import open_model
from tests.engines import folders
from tests.parity import models
from tests.parity.stages import RAS, Arrays

UPSTREAM = EngineOptions("upstream", "cpu")
SPACING = (0.75, 0.75, 1.65)
MIRRORED = {"inference_augmentation": True}
FOLDERS: dict[str, Callable[[Path], object]] = {
    "semantic-new": lambda at: folders.semantic_folder(at, folds=("0", "1"), config=MIRRORED),
    "semantic-old": lambda at: folders.semantic_folder(at, old=True),
    "semantic-residual": lambda at: folders.semantic_folder(at, name="ResidualEncoderUNet"),
    "instance-legacy": lambda at: folders.instance_folder(at, 16, 10),
    "instance-new": lambda at: folders.instance_folder(at, 8, 11),
    "labeling-121": models.labeling,
}
"""How each folder is made; the first word is the kind."""


def made(name: str, root: Path) -> Path:
    """The folder of a name, made anew."""
    folder = root / name
    FOLDERS[name](folder)
    return folder


def network_input(name: str, seed: int = 5) -> Arrays:
    """Something smooth for the network of a name: an image, cutouts of classes, or a patch."""
    rng = np.random.default_rng(seed)
    kind = name.split("-", maxsplit=1)[0]
    case: Arrays = {"name": np.array(name), "affine": RAS @ _pir()}
    if kind == "semantic":
        return case | {"image": (900 * _smooth(rng, (44, 52, 18))).astype(np.int16)}
    if kind == "instance":
        return case | {"cutouts": (9.99 * _smooth(rng, (2, 32, 40, 16))).astype(np.uint8)}
    return case | {"patch": _smooth(rng, models.PATCH).astype(np.float16).astype(np.float32)}


def _smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    values = ndimage.gaussian_filter(rng.normal(size=shape), 2.0)
    return np.asarray((values - values.min()) / np.ptp(values))


def _pir() -> NDArray[np.float64]:
    p, i, r = SPACING
    return np.array([[0, 0, -r, 14], [p, 0, 0, -16], [0, -i, 0, 19], [0, 0, 0, 1]], dtype=np.float64)


def network(case: Arrays, root: Path) -> Arrays:
    """Our answer of the network that the case names."""
    name = str(case["name"])
    model = open_model(made(name, root))
    if "image" in case:
        engine = load_semantic(model, UPSTREAM)
        a, b, c = case["image"].shape
        found = engine.predict(Volume(case["image"], Geometry(RAS @ case["affine"], (a, b, c))), unwatched)
        return {"labels": found.labels}
    if "cutouts" in case:
        return {"parts": load_instance(model, UPSTREAM).predict(Cutouts(case["cutouts"], ()), unwatched)}
    patch = case["patch"]
    normal = np.where(patch != 0, (patch - patch[patch != 0].mean()) / patch[patch != 0].std(), 0)
    heads = load_labeling(model, UPSTREAM).predict(Cutouts(normal[None].astype(np.float32), ()), unwatched)
    return {f"head_{head}": scores[0] for head, scores in heads.items()}
