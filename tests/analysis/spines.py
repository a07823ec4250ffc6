"""Small phantom spines with twins of the networks, for tests of the whole analysis."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.ports import Cutouts, Engines, SemanticPrediction, Watch
from spineps_pacs.domain.volume import Volume
from spineps_pacs.engines.phantom import PhantomEngines, Truth
from spineps_pacs.phantom.wishes import Wishes
from tests.parity import cases

SPACING = (1.5, 1.5, 3.3)
SHORT = {
    "lumbar": Wishes(levels="L1-S1"),
    "no-disc": Wishes(levels="L1-S1", missing_disc="L2"),
    "thirteen": Wishes(levels="T11-S1", thoracic=13),
}


@cache
def spine(name: str, seed: int = 1) -> cases.Truth:
    """A short spine, made once."""
    return cases.truth_of(SHORT[name], seed, SPACING)


def volume(name: str) -> Volume:
    """Its image."""
    truth = spine(name)
    return Volume(truth.image, truth.geometry)


def engines(name: str, **parts: Any) -> Engines:
    """Networks that know the truth; `levels=None` and the like replace one."""
    truth = spine(name)
    loaded = PhantomEngines.over([Truth(truth.structures, truth.vertebrae, truth.geometry)], SPACING)
    return replace(loaded, **parts)


class Wrapped:
    """An engine that behaves like another but for its answer."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


class Blind(Wrapped):
    """A vertebra engine that sees no vertebra."""

    def predict(self, cutouts: Cutouts, watch: Watch) -> NDArray[np.uint8]:
        return np.zeros(cutouts.arrays.shape, np.uint8)


class Mute(Wrapped):
    """A level engine whose answers are no numbers."""

    def predict(self, patches: Cutouts, watch: Watch) -> dict[str, NDArray[np.float32]]:
        return {head: scores * np.float32(np.nan) for head, scores in self.engine.predict(patches, watch).items()}


class Refusing(Wrapped):
    """A level engine that raises."""

    def predict(self, patches: Cutouts, watch: Watch) -> dict[str, NDArray[np.float32]]:
        raise Unusable("the head VERT is missing")


class TwoFolds(Wrapped):
    """A semantic engine with two folds, one of which finds no discs."""

    def predict(self, image: Volume, watch: Watch) -> SemanticPrediction:
        labels = self.engine.predict(image, watch).labels
        return SemanticPrediction(labels, (labels, np.where(labels == 100, 0, labels).astype(np.uint8)))


class Planned(Wrapped):
    """A semantic engine that says something else of its grid."""

    def __init__(self, engine: Any, **changes: Any) -> None:
        super().__init__(engine)
        self.grid = replace(engine.grid, **changes)


class Without(Wrapped):
    """A semantic engine that never finds one structure."""

    def __init__(self, engine: Any, structure: int) -> None:
        super().__init__(engine)
        self.structure = structure

    def predict(self, image: Volume, watch: Watch) -> SemanticPrediction:
        labels = self.engine.predict(image, watch).labels
        return SemanticPrediction(np.where(labels == self.structure, 0, labels).astype(np.uint8))
