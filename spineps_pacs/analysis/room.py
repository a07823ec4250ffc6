"""Refuses what cannot be computed here, before any work: grids beyond all measure, and too little memory allowed."""

from __future__ import annotations

from collections.abc import Sequence

from spineps_pacs.analysis.geometry import rescaled, turn, zoom
from spineps_pacs.analysis.semantic import wanted_zoom
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.ports import CutoutPlan, Room, SemanticGrid
from spineps_pacs.domain.volume import Geometry

MOST_VOXELS = 1 << 29
"""On the model's grid; a whole body of 0.75 x 0.75 x 1.65 mm has half of it, a wrong unit of length far more."""
LEAST_EXTENT_MM = 5.0
"""Along the longest axis; less is no part of a spine but a wrong unit of length."""


def expect_room(geometry: Geometry, grid: SemanticGrid, plan: CutoutPlan | None) -> None:
    """Unusable when the volume is no spine's, or when one of the networks needs more memory for it than is allowed."""
    size = _by(geometry.spacing, ".4g")
    extent = [n * z for n, z in zip(geometry.shape, geometry.spacing, strict=True)]
    if max(extent) < LEAST_EXTENT_MM:
        told = f"{_by(extent, '.3g')} mm ({size} mm a voxel)"
        raise Unusable(f"the volume spans {told}; at least {LEAST_EXTENT_MM:g} mm are needed along one axis")
    upright = turn(geometry).after
    shape = rescaled(upright, wanted_zoom(zoom(upright), grid)).shape
    voxels = shape[0] * shape[1] * shape[2]
    if voxels > MOST_VOXELS:
        told = f"{_by(geometry.shape)} voxels of {size} mm become {_by(shape)} on the model's grid"
        raise Unusable(f"{told}, {voxels:.2g} in all; at most {MOST_VOXELS:.2g} are analysed")
    if grid.room is not None:
        _expect(grid.room, voxels, f"{_by(shape)} voxels need", "semantic")
    if plan is not None and plan.room is not None:
        _expect(plan.room, 0, f"a cutout of {_by(plan.size_pir)} voxels needs", "instance")


def _expect(room: Room, voxels: int, what: str, network: str) -> None:
    needed = room.in_any_case + voxels * room.each_voxel
    if needed > room.allowed:
        raise Unusable(
            f"{what} {needed / 1e9:.1f} GB of memory in the {network} network, {room.allowed / 1e9:.3g} GB are allowed"
        )


def _by(values: Sequence[float], form: str = "") -> str:
    return " x ".join(format(value, form) for value in values)
