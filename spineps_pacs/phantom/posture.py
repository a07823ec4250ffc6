"""Puts vertebrae on top of each other: from the sacral slope, wedges of discs and bodies to rigid frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spineps_pacs.phantom.spine import Floats, Placed


@dataclass(frozen=True)
class Piece:
    """What the stacking needs of one body and the disc below it; angles in degrees, lengths in mm."""

    height: float
    depth: float
    wedge: float
    disc_height: float
    disc_wedge: float
    tilt: float
    turn: float
    slip: float


def axes_of(slope: float, tilt: float, turn: float) -> Floats:
    """Axes (rows left, posterior, up) tipped forward by `slope`, to the left by `tilt`, turned by `turn` degrees."""
    f, t, r = np.radians([slope, tilt, turn])
    about_left = np.array([[1, 0, 0], [0, np.cos(f), np.sin(f)], [0, -np.sin(f), np.cos(f)]])
    about_posterior = np.array([[np.cos(t), 0, -np.sin(t)], [0, 1, 0], [np.sin(t), 0, np.cos(t)]])
    about_up = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_up @ about_posterior @ about_left)


def stack(pieces: list[Piece], slope: float, base_depth: float) -> list[Placed]:
    """Frames of the pieces, given from the bottom up, on an endplate at the origin that slopes forward by `slope`.

    Neighbours stand with their posterior walls in line, then a slip moves the upper one forward.
    """
    point, depth, placed = np.zeros(3), base_depth, []
    for piece in pieces:
        middle = axes_of(slope - piece.disc_wedge / 2, piece.tilt, piece.turn)
        slope -= piece.disc_wedge
        point = point + middle[2] * piece.disc_height + middle[1] * ((depth - piece.depth) / 2 - piece.slip)
        axes = axes_of(slope - piece.wedge / 2, piece.tilt, piece.turn)
        placed.append(Placed(point + axes[2] * piece.height / 2, axes))
        point = point + axes[2] * piece.height
        slope -= piece.wedge
        depth = piece.depth
    return placed


def hang(heights: list[float], depths: list[float], bends: list[float], slope: float) -> list[Placed]:
    """Frames of sacral pieces from the top down, below an endplate at the origin; `bends` curve the front hollow."""
    point, placed = np.zeros(3), []
    for n, (height, bend) in enumerate(zip(heights, bends, strict=True)):
        slope -= bend
        axes = axes_of(slope, 0.0, 0.0)
        back = 0.0 if n == 0 else (depths[n - 1] - depths[n]) * 0.35
        point = point + axes[1] * back
        placed.append(Placed(point - axes[2] * height / 2, axes))
        point = point - axes[2] * height
    return placed
