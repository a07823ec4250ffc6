"""A straight column of exact solids to measure: wedge-shaped bodies, discs between them, a round canal, on any grid."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from spineps_pacs.analysis.measurements import measure
from spineps_pacs.domain.anatomy import CANAL_ID, CORD_ID, CORPUS_ID, DISC_ID, DISC_OFFSET
from spineps_pacs.domain.masks import InstanceMask, LevelChoice, LevelMethod, Levels, SemanticMask
from spineps_pacs.domain.report import Measurement
from spineps_pacs.domain.volume import Floats, Geometry, Volume

Key = tuple[str, int]
Masks = tuple[SemanticMask, InstanceMask]


@dataclass(frozen=True, eq=False)
class Column:
    """Bodies one below the other with their middle at the origin; mm and degrees.

    Each body is a box whose endplates lean by half a wedge, front taller; the discs between fill what is left. `slip`
    is how far the first body stands in front of the others; `pose` turns the whole patient.
    """

    levels: tuple[int, ...] = (21, 22, 23)
    width: float = 44.0
    depth: float = 32.0
    height: float = 26.0
    disc: float = 12.0
    wedge: float = 6.0
    canal: tuple[float, float] = (22.0, 15.0)
    cord: tuple[float, float] = (12.0, 8.0)
    slip: float = 0.0
    pose: Rotation = field(default_factory=Rotation.identity)

    @property
    def slope(self) -> float:
        """How much an endplate falls per mm backwards."""
        return float(np.tan(np.radians(self.wedge / 2)))

    def truth(self) -> dict[Key, float]:
        """Every number that follows from the sizes; a slip is taken along the endplate below, which leans."""
        found: dict[Key, float] = {}
        for n, level in enumerate(self.levels):
            for name, part in (("anterior", 0.1), ("middle", 0.5), ("posterior", 0.9)):
                more = 2 * self.slope * self.depth * (0.5 - part)
                found[f"body_height_{name}", level] = self.height + more
                if n + 1 < len(self.levels) and not self.slip:
                    found[f"disc_height_{name}", DISC_OFFSET + level] = self.disc - more
            found["canal_area", level] = np.pi / 4 * self.canal[0] * self.canal[1]
            found["cord_area", level] = np.pi / 4 * self.cord[0] * self.cord[1]
            found["canal_ap_diameter", level] = self.canal[1]
        lean, gap = np.radians(self.wedge / 2), self.disc + self.slope * self.depth
        for n, level in enumerate(self.levels[:-1]):
            forward = self.slip if n == 0 else 0.0
            found["slip", level] = float(forward * np.cos(lean) + gap * np.sin(lean))
        return found


def grid(step: tuple[float, float, float], size: tuple[float, float, float], turn: Rotation | None = None) -> Geometry:
    """A sagittal grid about the origin: steps and sizes in mm to the left, down and back; then turned."""
    count = np.ceil(np.array(size) / step).astype(int)
    affine = np.eye(4)
    axes = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
    affine[:3, :3] = (turn.as_matrix() if turn else np.eye(3)) @ axes * step
    affine[:3, 3] = -affine[:3, :3] @ (count - 1) / 2
    return Geometry(affine, (int(count[0]), int(count[1]), int(count[2])))


def paint(column: Column, geometry: Geometry) -> Masks:
    """The column on a grid, point by point."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    left, back, up = np.moveaxis(geometry.to_world(index) @ column.pose.as_matrix(), -1, 0)
    structures, instances = np.zeros(geometry.shape, np.uint8), np.zeros(geometry.shape, np.uint16)
    pitch = column.height + column.disc
    inside = (np.abs(left) < column.width / 2) & (np.abs(back) < column.depth / 2)
    for n, level in enumerate(column.levels):
        high = up - pitch * ((len(column.levels) - 1) / 2 - n)
        ahead = back + (column.slip if n == 0 else 0.0)
        own = (np.abs(left) < column.width / 2) & (np.abs(ahead) < column.depth / 2)
        own &= np.abs(high) < column.height / 2 - column.slope * ahead
        structures[own], instances[own] = CORPUS_ID, level
        if n + 1 < len(column.levels):
            disc = inside & (np.abs(high + pitch / 2) < column.disc / 2 + column.slope * back) & (structures == 0)
            structures[disc], instances[disc] = DISC_ID, DISC_OFFSET + level
    behind = back - column.depth / 2 - column.canal[1] / 2 - 2.0 - max(0.0, -column.slip)
    for (wide, deep), label in ((column.canal, CANAL_ID), (column.cord, CORD_ID)):
        structures[(2 * left / wide) ** 2 + (2 * behind / deep) ** 2 < 1] = label
    return SemanticMask(structures, geometry), InstanceMask(instances, geometry)


def named(ids: tuple[int, ...]) -> Levels:
    """Levels whose names are their instance ids."""
    return Levels(LevelMethod.MODEL, tuple(LevelChoice(i, n, i) for n, i in enumerate(ids, start=1)))


def measured(masks: Masks, levels: Levels) -> dict[Key, Measurement]:
    """All answers by kind and subject; an angle's subject is 0."""
    structures, instances = masks
    volume = Volume(np.zeros(structures.geometry.shape, np.uint8), structures.geometry)
    found = measure(volume, structures, instances, levels)
    return {(m.kind, 0 if m.kind.startswith(("lordosis", "kyphosis")) else m.subject): m for m in found}


def values(masks: Masks, levels: Levels) -> dict[Key, float]:
    """The numbers that were given."""
    return {key: m.value for key, m in measured(masks, levels).items() if m.value is not None}


def moved(masks: Masks, affine: Floats) -> Masks:
    """The same voxels somewhere else: the affine is applied after the grid's own."""
    structures, instances = masks
    geometry = Geometry(affine @ structures.geometry.affine, structures.geometry.shape)
    return SemanticMask(structures.labels, geometry), InstanceMask(instances.labels, geometry)
