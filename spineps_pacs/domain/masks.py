"""Masks: what was found at each voxel, and the names that vertebrae got. Ids are those of domain/anatomy.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.volume import Geometry, frozen


@dataclass(frozen=True, eq=False)
class _Mask:
    """Labels on a grid, index order (slice, row, column)."""

    labels: NDArray[np.integer]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.labels.shape != self.geometry.shape:
            raise ValueError(f"labels are {self.labels.shape}, their geometry says {self.geometry.shape}")
        object.__setattr__(self, "labels", frozen(self.labels))

    def ids(self) -> tuple[int, ...]:
        """The ids present, ascending, background left out."""
        return tuple(int(i) for i in np.unique(self.labels) if i)


class SemanticMask(_Mask):
    """Structure ids per voxel: 26, 41-49, 52, 53, 60, 61, 62, 80, 100 (uint8)."""


class InstanceMask(_Mask):
    """Vertebra ids 1-26 and 28 per voxel, 100+X for the disc below X, 200+X for the endplates of X (uint16)."""


UNCONFIRMED = "the second labeller does not confirm the name"
"""The mark of a LevelChoice whose name two labellers do not share; its segment's label ends with a question mark."""


class LevelMethod(StrEnum):
    """How the vertebrae came by their names."""

    MODEL = "model-labelled"
    ANCHOR = "counted-from-anchor"
    COUNTED = "counted-from-top"


@dataclass(frozen=True)
class LevelChoice:
    """The name of one vertebra: its id in the InstanceMask, the name's probability mass, and what is odd about it.

    `level` is the anatomical id (1-26, 28), or None where vertebrae are only counted. `position` counts from the head
    down, 1 first. `confidence` is in 0..1, None when nothing gave one.
    """

    instance: int
    position: int
    level: int | None
    confidence: float | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Levels:
    """The names of all vertebrae of a series, from the head down.

    `margin` is the cost difference to the best different numbering (None without one); `flags` concern the numbering
    as a whole, e.g. "T12 absent", "L6 present", "numbering uncertain".
    """

    method: LevelMethod
    choices: tuple[LevelChoice, ...]
    margin: float | None = None
    flags: tuple[str, ...] = ()
    reason: str = ""
