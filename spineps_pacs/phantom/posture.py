"""Puts vertebrae on top of each other: from the sacral slope, wedges of discs and bodies to rigid frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spineps_pacs.phantom.spine import Floats, Placed

STEEPEST = (12.0, 62.0)
"""Least and greatest sacral slope in degrees."""
NECK_BEND = 4.5
"""Degrees by which a disc of the neck may bend to let the eyes look ahead."""


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


def balanced(pieces: list[Piece], neck: int, slope: float, lean: float, gaze: float) -> tuple[list[Piece], float]:
    """The pieces and sacral slope of somebody who keeps the balance, given from the bottom up.

    The whole turns until the lowest piece of the neck (the last `neck` pieces) stands `lean` mm behind the sacrum, and
    the discs of the neck bend until its top leans forward by `gaze` degrees.
    """
    low = stack(pieces, slope, pieces[0].depth)[-neck].origin
    slope = min(max(slope - np.degrees(np.arctan2(lean - low[1], low[2])), STEEPEST[0]), STEEPEST[1])
    top = slope - sum(p.disc_wedge + p.wedge for p in pieces)
    more = min(max((top - gaze) / neck, -NECK_BEND), NECK_BEND)
    bent = [replace(p, disc_wedge=p.disc_wedge + more) for p in pieces[-neck:]]
    return [*pieces[:-neck], *bent], float(slope)
