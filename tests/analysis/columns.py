"""Constructed columns of vertebrae and discs: blocks one above the other, classes and what a naming network says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.small_fov_fit import NAMES, SACRUM
from spineps_pacs.analysis.small_fov_split import DISC, VERTEBRA
from spineps_pacs.domain.ports import ModelInfo, Watch

BONE, GAP, DEPTH, WIDTH = 12, 4, 4, 14
"""Voxels: heights of a vertebra and a disc, and their extent over slices and rows."""


@dataclass(frozen=True, eq=False)
class Column:
    """Classes, positions (1 is C2, 25 is S1) and the true position of each vertebra from the top."""

    classes: NDArray[np.uint8]
    said: NDArray[np.uint8]
    positions: tuple[int, ...]


def run(first: str, last: str, *, lumbar: int = 5) -> tuple[int, ...]:
    """Positions from one name to another in a spine with so many lumbar vertebrae."""
    absent = {name for name in ("L5", "L6") if int(name[1]) > lumbar}
    order = [n for n in NAMES if n not in absent]
    return tuple(NAMES.index(n) + 1 for n in order[order.index(first) : order.index(last) + 1])


def column(
    positions: tuple[int, ...],
    *,
    lean: float = 0.0,
    without_disc: int | None = None,
    up: int = 0,
    shape: tuple[int, int, int] = (6, 60, 440),
) -> Column:
    """Blocks from the top; `lean` moves rows with height, `without_disc` n fuses n and n+1, `up` leaves room."""
    classes, said = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    top = shape[2] - 4 - up
    for n, at in enumerate(positions, start=1):
        for height, kind in ((BONE, VERTEBRA), (GAP, VERTEBRA if n == without_disc else DISC)):
            if kind == DISC and n == len(positions):
                continue
            for z in range(top - height, top):
                row = 20 + round(lean * (shape[2] - z))
                box = (slice(1, 1 + DEPTH), slice(row, row + WIDTH), z)
                classes[box] = kind
                said[box] = at if kind == VERTEBRA else 0
            top -= height
    return Column(classes, said, positions)


class Twin:
    """A small-field-of-view engine that knows the answer, whatever slices it gets."""

    info = ModelInfo("small-fov", "twin", "1", "0" * 64)
    pixel_mm: float | None = None
    names = SACRUM

    def __init__(self, column: Column) -> None:
        self.column = column
        self.seen: NDArray[np.float32] | None = None

    def segment(self, slices: NDArray[np.float32], watch: Watch) -> NDArray[np.uint8]:
        self.seen = slices
        return in_field(self.column.classes, len(slices))

    def name(self, slices: NDArray[np.float32], watch: Watch) -> NDArray[np.uint8]:
        return in_field(self.column.said, len(slices))


def in_field(labels: NDArray[np.uint8], slices: int) -> NDArray[np.uint8]:
    """Labels in the middle of the networks' rows and at the upper end of their columns."""
    field = np.zeros((slices, 320, 896), np.uint8)
    start = (320 - labels.shape[1]) // 2
    field[: len(labels), start : start + labels.shape[1], 896 - labels.shape[2] :] = labels[:slices]
    return field


def as_series(labels: NDArray[np.generic]) -> NDArray[np.generic]:
    """The same as a usual sagittal series: rows to Inferior, columns to Posterior."""
    return labels[:, ::-1, ::-1].transpose(0, 2, 1)
