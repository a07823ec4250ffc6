"""Grids on which the phantom tests voxelise: small, and any way round."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from spineps_pacs.domain.volume import Geometry


def sagittal(
    centre: tuple[float, float, float], extent: tuple[float, float, float], spacing: tuple[float, float, float]
) -> Geometry:
    """A plain sagittal grid; extent in mm along left, feet, back; spacing in mm of slices, rows, columns."""
    axes = np.column_stack([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]) * np.array(spacing)
    shape = [max(1, round(e / s)) for e, s in zip(extent, spacing, strict=True)]
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = np.array(centre) - axes @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, (shape[0], shape[1], shape[2]))


def whole() -> Geometry:
    """All of an ordinary spine, coarse: 3 x 2 x 2 mm."""
    return sagittal((0, -5, 0), (90, 760, 200), (3.0, 2.0, 2.0))


def rotated(grid: Geometry, degrees: tuple[float, float, float]) -> Geometry:
    """The same box turned about its middle."""
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ grid.affine[:3, :3]
    middle = (np.array(grid.shape) - 1) / 2
    affine[:3, 3] = grid.to_world(middle) - affine[:3, :3] @ middle
    return Geometry(affine, grid.shape)


def flipped(grid: Geometry, axis: int) -> Geometry:
    """The same voxels counted from the other end of one axis."""
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (grid.shape[axis] - 1)
    affine[:3, axis] *= -1
    return Geometry(affine, grid.shape)


def transposed(grid: Geometry, order: tuple[int, int, int]) -> Geometry:
    """The same voxels with their index axes in another order."""
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, list(order)]
    return Geometry(affine, tuple(grid.shape[i] for i in order))  # type: ignore[arg-type]
