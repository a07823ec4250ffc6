"""The instance phase: from the structures to single vertebrae, on the instance model's grid.

Index order (P, I, R). Numbers follow the order of acceptance; `matching.py` numbers from the head down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.corpora import corpus_centres
from spineps_pacs.analysis.cutouts import classes, cut, places
from spineps_pacs.analysis.fusion import cleaned, couples, fuse, predictions
from spineps_pacs.analysis.geometry import Zoom, bounding_box, crop, nearest, rescaled, turn, zoom
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.pieces import Centre, Labels
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.ports import VertebraEngine, Watch
from spineps_pacs.domain.volume import Geometry

MARGIN_MM = 3.75
LEAST_PIECE_MM3 = 37.125
"""40 voxels of 0.75 x 0.75 x 1.65 mm: no threshold falls below this volume."""


@dataclass(frozen=True, eq=False)
class Vertebrae:
    """Vertebrae as numbers on a grid, the centres of the bodies they were looked for at, and couples left out."""

    labels: NDArray[np.uint16]
    geometry: Geometry
    centres: tuple[Centre, ...] = ()
    empty_couples: int = 0


def separate(semantic: Labels, geometry: Geometry, engine: VertebraEngine, mode: Mode, watch: Watch) -> Vertebrae:
    """Asks the network about a box around every body, and fuses what it says of three vertebrae each time."""
    plan = engine.plan
    upright = turn(geometry)
    grid = rescaled(upright.after, plan.spacing_pir)
    whole = nearest(upright.there(semantic), upright.after, grid)
    box = bounding_box(whole > 0, int(MARGIN_MM / min(zoom(grid))))
    if box is None:
        raise Unusable("the structures are empty, there are no vertebrae to tell apart")
    part = crop(grid, box)
    inside = np.ascontiguousarray(part.there(whole))
    found = corpus_centres(inside, zoom(grid)[1], least_voxels(plan.corpus_size_mm3, plan.spacing_pir), mode)
    known = classes(inside, plan)
    wanted = places(found, known, plan)
    answers = engine.predict(cut(known, part.after, wanted), watch)
    seen = predictions(answers, wanted)
    fused, empty = fuse(seen, couples(seen), inside.shape, mode)
    numbered = cleaned(fused, least_voxels(plan.vertebra_size_mm3, plan.spacing_pir))
    return Vertebrae(part.back(numbered), grid, _in_grid(found, part.box), empty)


def least_voxels(volume_mm3: float, spacing: Zoom) -> int:
    """A volume as voxels of this size, but never fewer than 37.125 mm3 are."""
    a, b, c = spacing
    return max(int(volume_mm3 / (a * b * c)), round(LEAST_PIECE_MM3 / (a * b * c)), 1)


def _in_grid(found: list[Centre], box: tuple[slice, slice, slice]) -> tuple[Centre, ...]:
    p, i, r = (s.start for s in box)
    return tuple((c[0] + p, c[1] + i, c[2] + r) for c in found)
