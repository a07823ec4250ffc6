"""The outline of a mask as closed polygons along the edges of its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]
_TURNS = ((0, 1), (1, 0), (0, -1), (-1, 0))
"""Steps (row, column) clockwise, as rows run downwards: right, down, left, up."""


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed polygons (n, 2) of (row, column), pixel centres at whole numbers; holes are polygons of their own.

    Pixels that touch only at a corner belong to different polygons.
    """
    edges = _edges(mask)
    polygons = []
    while edges:
        start, step = min(edges)
        polygons.append(_corners_only(_walk(edges, start, step)) - 0.5)
    return polygons


def _edges(mask: NDArray[np.bool_]) -> set[tuple[Corner, int]]:
    """Directed edges (start corner, direction) with the mask on their right."""
    padded = np.pad(mask.astype(bool), 1)
    inside = padded[1:-1, 1:-1]
    free = {
        0: ~padded[:-2, 1:-1],  # nothing above: its top edge runs right
        1: ~padded[1:-1, 2:],  # nothing right of it: down
        2: ~padded[2:, 1:-1],  # nothing below: left
        3: ~padded[1:-1, :-2],  # nothing left of it: up
    }
    begins = {0: (0, 0), 1: (0, 1), 2: (1, 1), 3: (1, 0)}
    return {
        ((int(row) + begins[step][0], int(column) + begins[step][1]), step)
        for step, open_side in free.items()
        for row, column in np.argwhere(inside & open_side)
    }


def _walk(edges: set[tuple[Corner, int]], start: Corner, step: int) -> list[Corner]:
    """Follows edges until the start is reached again, turning right first, and takes them out of the set."""
    path, here = [], start
    while (here, step) in edges:
        edges.remove((here, step))
        path.append(here)
        here = (here[0] + _TURNS[step][0], here[1] + _TURNS[step][1])
        step = next((turn % 4 for turn in (step + 1, step, step + 3) if (here, turn % 4) in edges), step)
    return path


def _corners_only(path: list[Corner]) -> NDArray[np.float64]:
    points = np.array(path, dtype=np.float64)
    arriving, leaving = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    return np.asarray(points[(arriving != leaving).any(axis=1)])
