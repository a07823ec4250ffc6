"""Networks in turns: of several series that a worker has in hand, one at a time runs a network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.ports import (
    CutoutPlan,
    Cutouts,
    Engines,
    LevelEngine,
    ModelInfo,
    PatchPlan,
    SemanticEngine,
    SemanticGrid,
    SemanticPrediction,
    VertebraEngine,
    Watch,
)
from spineps_pacs.domain.volume import Volume

LOOK_EVERY_S = 0.5


class Turns:
    """One at a time; who waits still looks whether it is wanted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def mine(self, watch: Watch) -> Iterator[None]:
        """My turn, for as long as the block lasts; the watch may raise Cancelled while one waits."""
        while not self._lock.acquire(timeout=LOOK_EVERY_S):
            watch(0, 1)
        try:
            yield
        finally:
            self._lock.release()

    def over(self, engines: Engines) -> Engines:
        """The same networks, taking turns with all others of these turns."""
        return replace(
            engines,
            semantic=_Semantic(engines.semantic, self),
            vertebra=None if engines.vertebra is None else _Vertebra(engines.vertebra, self),
            levels=None if engines.levels is None else _Levels(engines.levels, self),
        )


@dataclass(frozen=True)
class _Semantic:
    engine: SemanticEngine
    turns: Turns

    @property
    def info(self) -> ModelInfo:
        return self.engine.info

    @property
    def grid(self) -> SemanticGrid:
        return self.engine.grid

    def predict(self, image: Volume, watch: Watch) -> SemanticPrediction:
        with self.turns.mine(watch):
            return self.engine.predict(image, watch)


@dataclass(frozen=True)
class _Vertebra:
    engine: VertebraEngine
    turns: Turns

    @property
    def info(self) -> ModelInfo:
        return self.engine.info

    @property
    def plan(self) -> CutoutPlan:
        return self.engine.plan

    def predict(self, cutouts: Cutouts, watch: Watch) -> NDArray[np.uint8]:
        with self.turns.mine(watch):
            return self.engine.predict(cutouts, watch)


@dataclass(frozen=True)
class _Levels:
    engine: LevelEngine
    turns: Turns

    @property
    def info(self) -> ModelInfo:
        return self.engine.info

    @property
    def plan(self) -> PatchPlan:
        return self.engine.plan

    def predict(self, patches: Cutouts, watch: Watch) -> dict[str, NDArray[np.float32]]:
        with self.turns.mine(watch):
            return self.engine.predict(patches, watch)
