"""Both labellers on the same phantom images: a first one that counts from anchors on soiled true masks, and networks.

The first labeller's masks are the truth, displaced at random by about a pixel and without what the field of view cuts
off; its names are counted from the sacrum or the dens as the node counts them where no labelling network names, and
there are none where neither is in view. The second is the networks, on the image. Both are joined as in the node.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from spineps_pacs.analysis.anchors import anchored
from spineps_pacs.analysis.geometry import turn
from spineps_pacs.analysis.levels import counted
from spineps_pacs.analysis.opinion_pairs import renumbered
from spineps_pacs.analysis.patches import Spine
from spineps_pacs.analysis.second_opinion import DISAGREE
from spineps_pacs.analysis.second_report import reviewed
from spineps_pacs.domain.anatomy import DISC_OFFSET, SACRUM_ID
from spineps_pacs.domain.masks import InstanceMask, LevelMethod, Levels, SemanticMask
from spineps_pacs.domain.ports import ModelInfo, SmallFovEngine, Watch
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.volume import Volume

DISPLACED, SMOOTH = 1.2, 3.0
"""Pixels by which borders are displaced (standard deviation), and over how many that is the same."""
Rng = np.random.Generator
Labels = NDArray[np.integer]


class Once:
    """Networks that are asked once: the same slices again are answered from memory."""

    def __init__(self, engine: SmallFovEngine) -> None:
        self._engine = engine
        self._slices: NDArray[np.float32] = np.zeros(0, np.float32)
        self._answers: dict[str, NDArray[np.uint8]] = {}

    @property
    def info(self) -> ModelInfo:
        return self._engine.info

    @property
    def pixel_mm(self) -> float | None:
        return self._engine.pixel_mm

    @property
    def names(self) -> int:
        return self._engine.names

    def segment(self, slices: NDArray[np.float32], watch: Watch) -> NDArray[np.uint8]:
        self._look(slices)
        if "classes" not in self._answers:
            self._answers["classes"] = self._engine.segment(slices, watch)
        return self._answers["classes"]

    def name(self, slices: NDArray[np.float32], watch: Watch) -> NDArray[np.uint8]:
        self._look(slices)
        if "names" not in self._answers:
            self._answers["names"] = self._engine.name(slices, watch)
        return self._answers["names"]

    def _look(self, slices: NDArray[np.float32]) -> None:
        if not np.array_equal(slices, self._slices):
            self._slices, self._answers = slices, {}


def both(image: Volume, structures: Labels, ids: Labels, engine: SmallFovEngine, rng: Rng) -> dict[str, Any]:
    """Names and flags of the first alone and of both, and the verdict; `ids` are true, without what is cut off."""
    displaced = soiled(image.geometry.shape, rng)
    first = first_report(image, np.where(ids > 0, structures, 0)[displaced], ids[displaced])
    joined = reviewed(first, engine)
    disputed = any(flag.kind == DISAGREE for flag in joined.flags)
    return {
        "first": _told(first.levels, disputed=False),
        "both": _told(joined.levels, disputed=disputed),
        "verdict": joined.second.verdict if joined.second else "",
    }


def soiled(shape: tuple[int, ...], rng: Rng) -> tuple[Labels, ...]:
    """From where each voxel takes its labels: its own place, displaced within the slice."""
    places = np.indices(shape)
    for axis in (1, 2):
        noise = gaussian_filter(rng.normal(size=shape), (0, SMOOTH, SMOOTH))
        moved = np.rint(places[axis] + noise * (DISPLACED / noise.std())).astype(np.intp)
        places[axis] = np.clip(moved, 0, shape[axis] - 1)
    return tuple(places)


def first_report(image: Volume, structures: Labels, ids: Labels) -> Report:
    """What the first labeller says: masks as given, names counted from an anchor, or vertebrae only counted."""
    bones = np.where((ids < DISC_OFFSET) & (ids != SACRUM_ID), ids, 0).astype(np.uint16)
    way = turn(image.geometry)
    turned = way.there(bones)
    found = anchored(Spine(way.there(image.voxels), way.there(structures), turned, way.after))
    named = found or counted(turned, "no anchor is in view")
    old = [int(turned[named.vertebrae == choice.instance][0]) for choice in named.levels.choices]
    moves = [(before, choice.instance) for before, choice in zip(old, named.levels.choices, strict=True)]
    masks = (
        SemanticMask(structures.astype(np.uint8), image.geometry),
        InstanceMask(renumbered(ids, [move for move in moves if move[0] != move[1]]), image.geometry),
    )
    return Report(image, *masks, named.levels, (), (), "soiled truth")


def _told(levels: Levels, *, disputed: bool) -> dict[str, Any]:
    """The names from the head down, none where vertebrae are counted, and whether anything warns of them."""
    ordered = sorted(levels.choices, key=lambda choice: choice.position)
    names = [] if levels.method is LevelMethod.COUNTED else [choice.level for choice in ordered]
    return {"names": names, "flagged": disputed or bool(levels.flags)}
