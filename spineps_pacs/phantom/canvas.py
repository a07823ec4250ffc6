"""The arrays that are painted: structures, instances and tissues on one grid, and who may paint over whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.phantom.bones import Local
from spineps_pacs.phantom.grid import Box, Field, Floats, Grid, Waves
from spineps_pacs.phantom.spine import Placed

UNSET = 255
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Canvas:
    """Labels in the making; a tissue of UNSET is still free."""

    grid: Grid
    structures: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    tissues: NDArray[np.uint8]
    nearness: Field
    roughness: Waves

    @staticmethod
    def blank(grid: Grid, roughness: Waves) -> Canvas:
        """Nothing painted yet."""
        return Canvas(
            grid,
            np.zeros(grid.shape, np.uint8),
            np.zeros(grid.shape, np.uint16),
            np.full(grid.shape, UNSET, np.uint8),
            np.full(grid.shape, 9, np.float32),
            roughness,
        )

    def part(self, box: Box) -> Canvas:
        """A box of it; what is painted there is painted here."""
        arrays = (self.structures[box], self.instances[box], self.tissues[box], self.nearness[box])
        return Canvas(self.grid.part(box), *arrays, self.roughness)

    def local(self, box: Box, placed: Placed) -> Local:
        """The box's voxels in a rigid frame."""
        part = self.grid.part(box)
        left, back, up = (part.along(axis, placed.origin) for axis in placed.axes)
        return Local(left, back, up, self.roughness.on(part))

    def box(self, placed: Placed, low: tuple[float, float, float], high: tuple[float, float, float]) -> Box | None:
        """The voxels of a rigid frame's box from its low to its high corner."""
        corners = [(a, b, h) for a in (low[0], high[0]) for b in (low[1], high[1]) for h in (low[2], high[2])]
        points: Floats = placed.origin + np.array(corners) @ placed.axes
        return self.grid.box_around(points)

    def free(self, box: Box) -> Mask:
        """Where nothing has been painted yet."""
        return np.asarray(self.tissues[box] == UNSET)

    def paint(self, box: Box, mask: Mask, label: tuple[int, int], tissue: int | NDArray[np.uint8]) -> None:
        """Writes structure, instance and tissue where the mask says."""
        self.structures[box][mask] = label[0]
        self.instances[box][mask] = label[1]
        self.tissues[box][mask] = tissue if isinstance(tissue, int) else tissue[mask]
