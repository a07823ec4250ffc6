"""Cuts a body that is really two: shrinks it until it falls apart, lets the parts meet again, cuts where they meet.

Arrays are indexed (P, I, R); the lower part is the one towards I.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.pieces import Mask, grown, largest, pieces, shrunk

MOST_EROSIONS = 11


def cut_apart(body: Mask) -> Mask | None:
    """The voxels of the lower of the two parts; None when the body does not fall apart."""
    parts = _fallen_apart(body)
    if parts is None:
        return None
    return body & below(*_plane(*parts), body.shape)


def _fallen_apart(body: Mask) -> tuple[Mask, Mask] | None:
    """The two largest parts that erosion leaves, each once; the one met first is first when there are just two."""
    core = body
    for _ in range(MOST_EROSIONS):
        core = shrunk(core)
        found, count = pieces(core)
        if count == 2:
            return found == 1, found == 2
        if count > 2:
            first, second = largest(core, 2)
            return first, second
        if count == 0:
            return None
    return None


def _plane(first: Mask, second: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A point and the normal of the plane between two parts: where they collide as they grow in turns."""
    one, other = grown(first), grown(second)
    while not (one & other).any():
        one = grown(one)
        if (one & other).any():
            break
        other = grown(other)
    return _centre(one & other), _centre(first) - _centre(second)


def _centre(mask: Mask) -> NDArray[np.float64]:
    at = np.argwhere(mask)
    return np.asarray(at.sum(axis=0) / len(at))


def below(point: NDArray[np.float64], normal: NDArray[np.float64], shape: tuple[int, ...]) -> Mask:
    """All voxels towards I of the plane; the plane is drawn one voxel thick along its dominant axis, held in the array.

    Where the plane does not cross a column of voxels along I, the whole column counts as below.
    """
    axis = int(np.argmax(np.abs(normal)))
    u, v = (a for a in range(3) if a != axis)
    along_u, along_v = np.meshgrid(range(shape[u]), range(shape[v]))
    shift = -point.dot(normal)
    depth = (-normal[u] * along_u - normal[v] * along_v - shift) * 1.0 / normal[axis]
    at: list[NDArray[np.intp]] = [np.empty(0, np.intp)] * 3
    at[axis] = np.clip(depth, 0, shape[axis] - 1).astype(np.intp)
    at[u], at[v] = along_u, along_v
    plane = np.zeros(shape, dtype=bool)
    plane[tuple(at)] = True
    reached = np.logical_or.accumulate(plane[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(~reached)
