"""A volume: voxels and the geometry that ties them to the patient. The one place that states index order and axes.

Index order is (slice, row, column). World coordinates are DICOM patient coordinates, LPS (x to the patient's Left,
y to Posterior, z to Superior), in millimetres. `affine @ (slice, row, column, 1)` is the centre of that voxel.
Slices are sorted along the slice axis so that the affine's first column points from slice 0 to slice 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def frozen(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The same array, read-only (a copy when somebody else may still write to it)."""
    if array.flags.writeable:
        array = array.copy() if array.base is not None else array
        array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where a grid of voxels lies in the patient."""

    affine: Floats
    shape: tuple[int, int, int]
    frame_of_reference_uid: str = ""

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError(f"an affine is 4 x 4 and finite, not {affine.shape}")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between neighbours along (slice, row, column)."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @property
    def directions(self) -> Floats:
        """Unit vectors of the three index axes, as columns, LPS."""
        return np.asarray(self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def voxel_volume(self) -> float:
        """Cubic millimetres of one voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def to_world(self, index: NDArray[np.generic]) -> Floats:
        """Indices (..., 3) in (slice, row, column) to LPS millimetres (..., 3)."""
        return np.asarray(np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, world: NDArray[np.generic]) -> Floats:
        """LPS millimetres (..., 3) to fractional indices (..., 3) in (slice, row, column)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(np.asarray(world, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3])

    def same_grid(self, other: Geometry, tolerance_mm: float = 1e-3) -> bool:
        """True when both grids have the same voxels at the same places."""
        return self.shape == other.shape and bool(np.allclose(self.affine, other.affine, atol=tolerance_mm, rtol=0))


@dataclass(frozen=True)
class Frame:
    """The source image of one slice: a DICOM instance, and the frame within it (1-based) if it has several."""

    sop_class_uid: str
    sop_instance_uid: str
    number: int | None = None


@dataclass(frozen=True, eq=False)
class Volume:
    """An image on its grid; `frames[k]` is where slice k came from (empty when it came from no DICOM)."""

    voxels: NDArray[np.generic]
    geometry: Geometry
    frames: tuple[Frame, ...] = ()
    echo_time_ms: float | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise ValueError(f"voxels are {self.voxels.shape}, their geometry says {self.geometry.shape}")
        if self.frames and len(self.frames) != self.geometry.shape[0]:
            raise ValueError(f"{len(self.frames)} source frames for {self.geometry.shape[0]} slices")
        object.__setattr__(self, "voxels", frozen(self.voxels))
