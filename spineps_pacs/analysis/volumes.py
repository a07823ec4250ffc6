"""Volumes of vertebrae, discs and structures: the sum of their voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spineps_pacs.analysis.answers import given, not_given
from spineps_pacs.domain.anatomy import DISC_OFFSET, ENDPLATE_OFFSET, STRUCTURES, VERTEBRAE_BELOW
from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.report import Measurement, Missing

SPREAD = {"volume": 0.6, "disc_volume": 0.25, "structure_volume": 0.6}
"""Relative uncertainty times the number of slices that show the thing."""


def volumes(structures: SemanticMask, instances: InstanceMask) -> list[Measurement]:
    """Vertebrae and discs that lie wholly in the field of view, and of each structure what is in the field of view."""
    return [*_of_instances(instances), *_of_structures(structures)]


def _of_instances(instances: InstanceMask) -> list[Measurement]:
    counts = np.bincount(instances.labels.ravel(), minlength=ENDPLATE_OFFSET)[:ENDPLATE_OFFSET]
    cut = on_border(instances.labels)
    boxes = ndimage.find_objects(instances.labels)
    found = []
    for i in np.flatnonzero(counts)[1:]:
        if VERTEBRAE_BELOW <= i <= DISC_OFFSET:
            continue  # metal
        kind = "volume" if i < DISC_OFFSET else "disc_volume"
        if int(i) in cut:
            found.append(not_given(kind, int(i), "it is cut by the field of view"))
            continue
        extent = boxes[i - 1][0]
        found.append(
            _volume(kind, int(i), int(counts[i]) * instances.geometry.voxel_volume, extent.stop - extent.start)
        )
    return found


def _of_structures(structures: SemanticMask) -> list[Measurement]:
    labels, found = structures.labels, []
    counts = np.bincount(labels.ravel(), minlength=256)
    for structure in STRUCTURES:
        count = int(counts[list(structure.ids)].sum())
        if not count:
            why = "no voxel of it was found"
            found.append(not_given("structure_volume", structure.id, why, missing=Missing.NOT_ATTEMPTED))
            continue
        slices = int(np.isin(labels, structure.ids).any(axis=(1, 2)).sum())
        found.append(_volume("structure_volume", structure.id, count * structures.geometry.voxel_volume, slices))
    return found


def _volume(kind: str, subject: int, volume: float, slices: int) -> Measurement:
    return given(kind, subject, (volume, volume * SPREAD[kind] / slices))


def on_border(labels: NDArray[np.integer]) -> set[int]:
    """The ids that touch an outer face of the grid."""
    faces = [np.moveaxis(labels, axis, 0)[end] for axis in range(3) for end in (0, -1)]
    return {int(i) for face in faces for i in np.unique(face)}
