"""Finds the centre of every vertebral body in a semantic mask; bodies that grew together are told apart.

Arrays are indexed (P, I, R) on the instance model's grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.pieces import Centre, Labels, Mask, centres, pieces, shrunk, sizes, without_small
from spineps_pacs.analysis.split_body import cut_apart
from spineps_pacs.domain.anatomy import CORPUS_ID, DISC_ID, ENDPLATE_ID
from spineps_pacs.domain.errors import Unusable

FILLED_CORPUS_ID, DENS_ID = 50, 51
SAME_HEIGHT_MM = 7.5
"""Two bodies, or two discs, whose centres are nearer than this along I are one."""
NEIGHBOURS = 5
"""How many entries on each side of a suspicious place are looked at."""
ENOUGH_BODIES = 4
"""A body is only called too large when at least this many lie around the place."""
TOO_LARGE = 1.5
"""Times the mean volume of the other bodies around."""


@dataclass(frozen=True)
class Entry:
    """One body or disc on the list from the head down: its piece, height (voxels along I) and volume (voxels)."""

    piece: int
    disc: bool
    height: float
    volume: int


def corpus_centres(semantic: Labels, height_mm: float, smallest: int, mode: Mode) -> list[Centre]:
    """Centres of all bodies in voxels, from the lowest up; the dens, where the model knows it, comes before them.

    `height_mm` is the voxel's size along I, `smallest` the least number of voxels of a body after erosion.
    """
    bodies, count = pieces(body_cores(semantic, smallest))
    if not count:
        raise Unusable(
            f"no vertebral body is left after erosion and removal of pieces below {smallest} voxels, "
            f"of {int((semantic == CORPUS_ID).sum())} voxels labelled as one"
        )
    found = sorted(centres(_alternating(bodies, semantic, height_mm, mode)).values(), key=lambda c: c[1])
    if FILLED_CORPUS_ID in semantic:
        whole, _ = pieces(semantic)
        found += centres(np.where(semantic == DENS_ID, whole, 0)).values()
    return found[::-1]


def body_cores(semantic: Labels, smallest: int) -> Mask:
    """The inside of the bodies, so that neighbours no longer touch."""
    if not (semantic == CORPUS_ID).any():
        raise Unusable("no voxel is labelled as vertebral body")
    if FILLED_CORPUS_ID in semantic:
        return np.asarray(semantic == FILLED_CORPUS_ID)
    core = shrunk(semantic == CORPUS_ID, 18, times=2)
    if smallest <= 0 or core.all():
        return core
    return without_small(core.astype(np.uint8), smallest) > 0


def _alternating(bodies: Labels, semantic: Labels, height_mm: float, mode: Mode) -> Labels:
    """The pieces after the check that bodies and discs take turns from the head down."""
    discs, _ = pieces(np.isin(semantic, (DISC_ID, ENDPLATE_ID)))
    if not discs.any():
        return bodies
    bodies = bodies.astype(np.uint32)
    entries = sorted(_entries(discs, disc=True) + _entries(bodies, disc=False), key=lambda e: e.height)
    for entry in tuple(entries):
        follower = _follower(entries, entry)
        if follower is None or follower.disc != entry.disc:
            continue
        here = entries.index(entry)
        if abs(follower.height - entry.height) < SAME_HEIGHT_MM / height_mm:
            entries.remove(entry)
            if mode is Mode.CORRECTED and not entry.disc:
                bodies[bodies == entry.piece] = follower.piece
            continue
        suspect = too_large(entries, here)
        if suspect is None or not _split(bodies, suspect):
            continue
        if mode is Mode.CORRECTED:
            entries[entries.index(suspect)] = replace(suspect, volume=int((bodies == suspect.piece).sum()))
    return bodies


def _entries(labelled: Labels, *, disc: bool) -> list[Entry]:
    volumes = sizes(labelled)
    return [Entry(n, disc, centre[1], volumes[n]) for n, centre in centres(labelled).items()]


def _follower(entries: list[Entry], entry: Entry) -> Entry | None:
    """The next entry towards the feet; None at the end, or when the entry is no longer on the list."""
    if entry not in entries or entries[-1] == entry:
        return None
    return entries[entries.index(entry) + 1]


def too_large(entries: list[Entry], here: int) -> Entry | None:
    """The body around a place that is far larger than the others around it, or None."""
    around = [
        entries[at]
        for at in range(max(here - NEIGHBOURS, 0), min(here + NEIGHBOURS + 1, len(entries)))
        if at != here and not entries[at].disc
    ]
    if len(around) < ENOUGH_BODIES:
        return None
    biggest = max(around, key=lambda e: e.volume)
    others = sum(e.volume for e in around if e is not biggest) / (len(around) - 1)
    return biggest if biggest.volume / others > TOO_LARGE else None


def _split(bodies: Labels, suspect: Entry) -> bool:
    """Cuts one piece in two where it stands; the lower part becomes a new piece. False when it cannot be cut."""
    lower = cut_apart(bodies == suspect.piece)
    if lower is None:
        return False
    bodies[lower] = bodies.max() + 1
    return True
