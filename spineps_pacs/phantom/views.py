"""Fields of view: where the slices of a series lie, in which order and which way round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spineps_pacs.domain.volume import Geometry
from spineps_pacs.phantom.grid import Floats
from spineps_pacs.phantom.spine import Spine

AXES = {
    "L": (1.0, 0.0, 0.0), "R": (-1.0, 0.0, 0.0), "P": (0.0, 1.0, 0.0), "A": (0.0, -1.0, 0.0),
    "H": (0.0, 0.0, 1.0), "F": (0.0, 0.0, -1.0),
}  # fmt: skip
NAMES = {
    "sagittal": "LIP", "reversed": "RIP", "rows-flipped": "LSP", "columns-flipped": "LIA", "both-flipped": "LSA",
    "transposed": "LPI", "transposed-rows-flipped": "LAI", "transposed-columns-flipped": "LPS",
    "transposed-reversed": "RPI",
}  # fmt: skip
"""Plain names of common orientations; every other one is given by its three letters."""


@dataclass(frozen=True)
class Orientation:
    """Towards which side of the patient instance number, row index and column index run (L R A P H F each).

    `turn` (about the head-foot axis) and `tilt` (about the back-front axis) make it oblique, in degrees.
    """

    letters: str = "LFP"
    turn: float = 0.0
    tilt: float = 0.0

    def __post_init__(self) -> None:
        kinds = {"LR": "x", "AP": "y", "HF": "z"}
        found = [name for letter in self.letters for pair, name in kinds.items() if letter in pair]
        if len(self.letters) != 3 or sorted(found) != ["x", "y", "z"]:
            raise ValueError(f"an orientation has one letter each of LR, AP, HF, not {self.letters!r}")

    @staticmethod
    def named(name: str, turn: float = 0.0, tilt: float = 0.0) -> Orientation:
        """A named orientation, or one by its letters; S and I are taken for H and F."""
        letters = NAMES.get(name, name.upper())
        return Orientation(letters.translate(str.maketrans("SI", "HF")) if len(letters) == 3 else name, turn, tilt)

    @property
    def directions(self) -> Floats:
        """Unit vectors of instance number, row index, column index, as rows."""
        t, b = np.radians([self.turn, self.tilt])
        about_z = np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])
        about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        return np.asarray(np.array([AXES[c] for c in self.letters]) @ (about_z @ about_y).T)

    @property
    def descending(self) -> bool:
        """True when instance numbers run against the normal of the image plane (row direction x column direction)."""
        numbers, rows, columns = self.directions
        return bool(np.cross(columns, rows) @ numbers < 0)


@dataclass(frozen=True)
class Raster:
    """The size of a series: slices, rows, columns; distance of slices, thickness and pixel size in mm."""

    slices: int
    rows: int
    columns: int
    spacing: float
    thickness: float
    pixel: float


def place(centre: Floats, raster: Raster, orientation: Orientation, frame_of_reference: str) -> Geometry:
    """The grid of a series about a centre; its slice axis always runs along the normal of the image plane."""
    numbers, rows, columns = orientation.directions
    normal = -numbers if orientation.descending else numbers
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([normal * raster.spacing, rows * raster.pixel, columns * raster.pixel])
    shape = (raster.slices, raster.rows, raster.columns)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    affine[:3, 3] = np.round(affine[:3, 3], 6)
    return Geometry(affine, shape, frame_of_reference)


@dataclass(frozen=True)
class Reach:
    """The part of the spine that a series shows: upper and lower end (z) and its middle."""

    top: float
    bottom: float
    left: float
    back: float

    @property
    def height(self) -> float:
        """mm from the lower to the upper end."""
        return self.top - self.bottom

    @property
    def centre(self) -> Floats:
        """Its middle, LPS mm."""
        return np.array([self.left, self.back, (self.top + self.bottom) / 2])


def reach_of(spine: Spine, levels: str, crop: tuple[float, float] = (0.0, 0.0)) -> Reach:
    """The field of view that shows levels "C2-S1"; `crop` cuts these parts off its upper and lower end."""
    first, last = levels.split("-")
    upper = spine.vertebra(first)
    top = upper.placed.world(0, 0, upper.body.height / 2 + upper.dens)[2] + 12
    if last == "S1":
        bottom = min(piece.placed.origin[2] for piece in spine.sacrum) - 12
    else:
        lower = spine.vertebra(last)
        bottom = lower.placed.world(0, 0, -lower.body.height / 2)[2] - 12
    top, bottom = top - crop[0] * (top - bottom), bottom + crop[1] * (top - bottom)
    line = np.array(
        [v.placed.world(0, v.canal_centre, 0) for v in spine.vertebrae] + [s.placed.origin for s in spine.sacrum]
    )
    near = line[(line[:, 2] < top + 20) & (line[:, 2] > bottom - 20)]
    return Reach(float(top), float(bottom), float(near[:, 0].mean()), float(near[:, 1].min() + near[:, 1].max()) / 2)
