"""Local frames in the patient, and the surfaces of a labelled solid as points in LPS millimetres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.volume import Floats, Geometry

Mask = NDArray[np.bool_]
SHORT = 0.3
"""A column of voxels below this part of the median length is left out."""
HALF, FINE, COARSE = 0.5, 0.5, 1.0
"""Value of a mask at its surface; steps of the look-up along and across a line, as parts of a voxel."""
OUTLYING = 0.7
"""Distance from a surface in mm at which a point counts half."""
LEFT, POSTERIOR, UP = 0, 1, 2
"""Places of the axes of a frame, and of its local coordinates."""


class Shapeless(Exception):
    """A handful of voxels that has no shape to measure; the message says why."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A rigid frame: origin in LPS mm; axes as rows (left, posterior, up), right-handed."""

    origin: Floats
    axes: Floats

    @staticmethod
    def along(origin: Floats, up: Floats, posterior: Floats) -> Frame:
        """The frame with this upward axis, and posterior as near as it can be to the one given."""
        up = unit(up)
        back = unit(posterior - up * float(posterior @ up))
        return Frame(origin, np.stack([np.cross(back, up), back, up]))

    def local(self, world: Floats) -> Floats:
        """LPS mm (..., 3) to (left, posterior, up) mm."""
        return np.asarray((world - self.origin) @ self.axes.T)

    def world(self, left: float, posterior: float, up: float) -> Floats:
        """A local point in LPS mm."""
        return np.asarray(self.origin + np.array([left, posterior, up]) @ self.axes)


def unit(vector: Floats) -> Floats:
    """The vector with length 1."""
    return np.asarray(vector / np.linalg.norm(vector))


@dataclass(frozen=True, eq=False)
class Solid:
    """The voxels of one thing: a mask cut out of its grid, and the index of the cut-out's first voxel."""

    mask: Mask
    first: NDArray[np.int_]
    geometry: Geometry

    def points(self) -> Floats:
        """Centres of its voxels, LPS mm (n, 3)."""
        return self.geometry.to_world(np.argwhere(self.mask) + self.first)

    def largest(self) -> Solid:
        """Its largest connected piece."""
        pieces, count = ndimage.label(self.mask)
        if count < 2:
            return self
        sizes = np.bincount(pieces.ravel())[1:]
        return Solid(pieces == int(np.argmax(sizes)) + 1, self.first, self.geometry)

    def border_points(self, axes: tuple[int, ...]) -> Floats:
        """Its voxels in the first or last plane of the grid along any of these index axes, LPS mm (n, 3)."""
        index = np.argwhere(self.mask) + self.first
        last = np.array(self.geometry.shape) - 1
        on = np.any([(index[:, i] == 0) | (index[:, i] == last[i]) for i in axes], axis=0)
        return self.geometry.to_world(index[on])

    def ends(self, frame: Frame, size: tuple[float, float, float], axis: int) -> tuple[Floats, Floats]:
        """Where the solid begins and ends along an axis of a frame: (near, far), each (n, 3) in that frame.

        The mask is looked up, linearly between voxels, on lines parallel to the axis. Lines whose way through the solid
        is far shorter than most only graze an edge and are left out.
        """
        ticks = [self._ticks(frame, size, i, FINE if i == axis else COARSE) for i in range(3)]
        lattice = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1)
        index = self.geometry.to_index(frame.origin + lattice @ frame.axes) - self.first
        values = ndimage.map_coordinates(
            self.mask.astype(np.float32), np.moveaxis(index, -1, 0), order=1, mode="grid-constant"
        )
        lines = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
        places = np.moveaxis(lattice, axis, -2)[..., 0, :].reshape(-1, 3)
        hit = lines.max(axis=1) >= HALF
        if not hit.any():
            raise Shapeless("it is thinner than a voxel")
        low, high = _crossings(lines[hit], ticks[axis])
        long = high - low > SHORT * np.median(high - low)
        near, far = places[hit][long].copy(), places[hit][long].copy()
        near[:, axis], far[:, axis] = low[long], high[long]
        return near, far

    def _ticks(self, frame: Frame, size: tuple[float, float, float], axis: int, part: float) -> Floats:
        """Places along an axis of a frame, over the size and a margin, in steps of a part of a voxel."""
        voxel = float(np.abs(frame.axes[axis] @ self.geometry.affine[:3, :3]).max())
        half = size[axis] / 2 + 2 * voxel
        count = int(np.ceil(half / (part * voxel)))
        return np.asarray(np.arange(-count, count + 1) * part * voxel, dtype=np.float64)


def _crossings(lines: Floats, ticks: Floats) -> tuple[Floats, Floats]:
    """First and last place on each line where the values pass one half."""
    inside = lines >= HALF
    first = np.argmax(inside, axis=1)
    last = lines.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)
    return _between(lines, ticks, first, -1), _between(lines, ticks, last, 1)


def _between(lines: Floats, ticks: Floats, inner: NDArray[np.int_], step: int) -> Floats:
    """The place between the inner tick and the next one outwards where the value is one half."""
    outer, rows = np.clip(inner + step, 0, len(ticks) - 1), np.arange(len(lines))
    a, b = lines[rows, inner], lines[rows, outer]
    part = np.where(outer == inner, 0.0, (a - HALF) / np.maximum(a - b, 1e-6))
    return np.asarray(ticks[inner] + part * (ticks[outer] - ticks[inner]))


def pieces(
    structures: SemanticMask, instances: InstanceMask, ids: tuple[int, ...], wanted: Mapping[int, tuple[int, ...]]
) -> dict[int, Solid]:
    """For each key the solid of its instance ids, as far as it has one of these structure ids; the absent left out."""
    boxes = ndimage.find_objects(instances.labels)
    found: dict[int, Solid] = {}
    for key, members in wanted.items():
        present = [boxes[i - 1] for i in members if i <= len(boxes) and boxes[i - 1] is not None]
        if present:
            box = tuple(slice(min(b[n].start for b in present), max(b[n].stop for b in present)) for n in range(3))
            mask = np.isin(instances.labels[box], members) & np.isin(structures.labels[box], ids)
            found[key] = Solid(mask, np.array([s.start for s in box]), instances.geometry)
    return found


@dataclass(frozen=True, eq=False)
class Surface:
    """Points on one side of a solid in a frame (n, 3); `axis` is the coordinate that is a function of the other two."""

    points: Floats
    axis: int

    @property
    def others(self) -> list[int]:
        """The two coordinates that say where on the surface one is."""
        return [i for i in range(3) if i != self.axis]

    def plane(self) -> tuple[Floats, float]:
        """The plane through the points (offset, slope, slope), and the scatter about it in mm."""
        count = len(self.points)
        matrix = np.column_stack([np.ones(count), self.points[:, self.others]])
        return robust_fit(matrix, self.points[:, self.axis], np.ones(count))

    def normal(self) -> Floats:
        """The unit normal of that plane in the frame, along +axis."""
        slopes = self.plane()[0][1:]
        normal = np.zeros(3)
        normal[self.axis], normal[self.others] = 1.0, -slopes
        return unit(normal)

    def at(self, place: tuple[float, float], reach: tuple[float, float]) -> Spot | None:
        """The surface at a place of the other two coordinates; None with fewer than 3 points within reach.

        A plane is fitted to the points within reach, nearer ones counting more.
        """
        away = (self.points[:, self.others] - place) / reach
        near = (np.abs(away) < 1).all(axis=1)
        if near.sum() < 3:
            return None
        matrix = np.column_stack([np.ones(int(near.sum())), away[near]])
        found, scatter = robust_fit(matrix, self.points[near, self.axis], np.prod(1 - np.abs(away[near]), axis=1))
        return Spot(float(found[0]), float(found[2] / reach[1]), scatter)


@dataclass(frozen=True)
class Spot:
    """One place of a surface: its coordinate in mm, slope along the second of the others, scatter of points in mm."""

    value: float
    slope: float
    scatter: float


def robust_fit(matrix: Floats, values: Floats, weight: Floats) -> tuple[Floats, float]:
    """Coefficients of a weighted least-squares fit in which outlying values count less, and the scatter about it."""
    rest = values - np.median(values)
    found: Floats = np.zeros(matrix.shape[1])
    now = weight
    for _ in range(5):
        now = weight / (1 + (rest / OUTLYING) ** 2)
        root = np.sqrt(now)
        found = np.asarray(np.linalg.lstsq(matrix * root[:, None], values * root, rcond=1e-6)[0], dtype=np.float64)
        rest = values - matrix @ found
    return found, float(np.sqrt((now * rest**2).sum() / now.sum()))
