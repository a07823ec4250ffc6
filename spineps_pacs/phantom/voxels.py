"""Turns a spine into labels and tissues on any grid: first canal and cord, then bodies and discs, then the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.volume import Geometry, frozen
from spineps_pacs.phantom.canal import Around, Curve, canal_curve, coordinates
from spineps_pacs.phantom.canvas import Canvas
from spineps_pacs.phantom.column import paint_bodies, paint_discs, paint_sacrum
from spineps_pacs.phantom.grid import Grid
from spineps_pacs.phantom.linings import paint_linings
from spineps_pacs.phantom.processes import paint_processes
from spineps_pacs.phantom.sac import paint_sac
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.surroundings import paint_surroundings


@dataclass(frozen=True, eq=False)
class Labels:
    """What is at each voxel of a grid, index order (slice, row, column).

    `structures` and `instances` hold SPINEPS ids. Conventions of ours: the dens belongs to the body of C2 (49);
    C1, ribs, skull and coccyx are bone tissue without a label; the whole sacrum is 26 and S1 has no endplate of its
    own; canal is the dural sac from the foramen magnum to S2 with the cauda equina in it; cord ends at the conus.
    """

    structures: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    tissues: NDArray[np.uint8]
    geometry: Geometry

    def __post_init__(self) -> None:
        for name in ("structures", "instances", "tissues"):
            object.__setattr__(self, name, frozen(getattr(self, name)))


def voxelise(spine: Spine, geometry: Geometry) -> Labels:
    """Labels of the spine at the centres of all voxels; the same world point gets the same label on every grid."""
    grid = Grid.of(geometry)
    curve = canal_curve(spine)
    around = coordinates(curve, grid)
    canvas = Canvas.blank(grid, spine.roughness)
    paint_all(spine, curve, around, canvas)
    return Labels(canvas.structures, canvas.instances, canvas.tissues, geometry)


def paint_all(spine: Spine, curve: Curve, around: Around, canvas: Canvas) -> None:
    """Everything in its order; whoever comes first keeps the voxel."""
    paint_sac(spine, curve, around, canvas)
    paint_bodies(spine, canvas)
    paint_sacrum(spine, canvas)
    paint_discs(spine, canvas)
    paint_processes(spine, canvas)
    paint_linings(spine, canvas)
    paint_surroundings(spine, curve, around, canvas)
