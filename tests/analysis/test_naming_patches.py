"""What the labelling network is shown of an image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.matching import Matched
from spineps_pacs.analysis.naming import Rules, name
from spineps_pacs.domain.ports import Cutouts, ModelInfo, PatchPlan, Watch, unwatched
from spineps_pacs.domain.volume import Geometry, Volume

PIR = np.array([[0, 0, -2.0, 40], [1.0, 0, 0, -30], [0, -1.0, 0, 50], [0, 0, 0, 1]])


@dataclass
class Seeing:
    """A labelling network that keeps its patches and is sure of nothing."""

    info: ModelInfo = field(default_factory=lambda: ModelInfo("labeling", "seeing", "", ""))
    plan: PatchPlan = field(default_factory=lambda: PatchPlan((1.0, 1.0, 2.0), (24, 80, 16), rotate=False))
    patches: list[NDArray[np.generic]] = field(default_factory=list)

    def predict(self, patches: Cutouts, watch: Watch) -> dict[str, NDArray[np.float32]]:
        self.patches.append(patches.arrays)
        return {"VERT": np.full((len(patches.arrays), 24), 1 / 24, dtype=np.float32)}


def test_the_network_sees_hardly_more_than_the_structures() -> None:
    """A millimetre and a half around the structures is image; what lies beyond is empty, as in the reference."""
    structures = np.zeros((40, 60, 20), np.uint8)
    vertebrae = np.zeros(structures.shape, np.uint16)
    for number, top in enumerate((16, 26, 36), start=1):
        structures[10:22, top : top + 8, 6:14] = 49
        vertebrae[10:22, top : top + 8, 6:14] = number
    ramp = np.arange(structures.size).reshape(structures.shape) % 97 + 400
    volume = Volume(ramp.astype(np.int16), Geometry(PIR, structures.shape))
    engine = Seeing()
    name(volume, Matched(structures, vertebrae), engine, Rules(), unwatched)
    middle = engine.patches[0][1]
    seen = np.flatnonzero((middle != 0).any(axis=(0, 2)))
    assert len(seen) == 44 - 16 + 2 * 1
