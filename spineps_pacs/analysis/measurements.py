"""Masks to numbers: all that is measured in one series; docs/measurements.md says what each number means."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from spineps_pacs.analysis.alignment import angles, slips
from spineps_pacs.analysis.canal import Tube, canal_numbers, cut, find_tube, no_canal
from spineps_pacs.analysis.column import Column, find_column
from spineps_pacs.analysis.heights import between, heights, no_heights, ratio
from spineps_pacs.analysis.volumes import volumes
from spineps_pacs.domain.anatomy import DISC_OFFSET, SACRUM_ID
from spineps_pacs.domain.masks import InstanceMask, Levels, SemanticMask
from spineps_pacs.domain.report import Measurement
from spineps_pacs.domain.volume import Volume

Mask = TypeVar("Mask", SemanticMask, InstanceMask)


def measure(
    volume: Volume, structures: SemanticMask, instances: InstanceMask, levels: Levels
) -> tuple[Measurement, ...]:
    """All numbers of one series, from the head down; what cannot be measured says why."""
    for mask in (structures, instances):
        if not mask.geometry.same_grid(volume.geometry):
            raise ValueError(
                f"a mask of {mask.geometry.shape} is not on the grid of the volume {volume.geometry.shape}"
            )
    structures, instances = _slices_first(structures), _slices_first(instances)
    tube = find_tube(structures)
    column = find_column(structures, instances, levels, tube.points)
    vertebrae = [i for i in column.sequence if i != SACRUM_ID]
    found = volumes(structures, instances)
    found += [m for i in vertebrae for m in _vertebra(column, i)]
    found += [m for i in _discs(column) for m in _disc(column, i)]
    found += [m for i in vertebrae for m in _canal(column, tube, i)]
    return (*found, *slips(column), *angles(column, levels))


def _slices_first(mask: Mask) -> Mask:
    """The mask with the axis from left to right first, whatever the order of the file."""
    geometry = mask.geometry
    a, b, c = ((0, 1, 2), (1, 0, 2), (2, 0, 1))[int(np.argmax(np.abs(geometry.directions[0])))]
    if a == 0:
        return mask
    shape = (geometry.shape[a], geometry.shape[b], geometry.shape[c])
    moved = replace(geometry, affine=geometry.affine[:, [a, b, c, 3]], shape=shape)
    return replace(mask, labels=mask.labels.transpose(a, b, c), geometry=moved)


def _vertebra(column: Column, instance: int) -> list[Measurement]:
    kind = "body_height"
    body = column.bodies.get(instance)
    found = heights(body, kind) if body else no_heights(instance, kind, column.why_not(instance))
    return [*found, ratio(found)]


def _discs(column: Column) -> list[int]:
    """The vertebrae above a disc, or above another vertebra with which there should be one."""
    below = [i for i in column.sequence[:-1] if i != SACRUM_ID]
    return sorted({*below, *column.discs}, key=lambda i: (column.sequence.index(i) if i in column.sequence else -1, i))


def _disc(column: Column, upper: int) -> list[Measurement]:
    kind, subject = "disc_height", upper + DISC_OFFSET
    disc = column.discs.get(upper)
    if disc is None:
        return no_heights(subject, kind, column.why_not(subject))
    below = column.below(upper) if upper in column.sequence else None
    return heights(disc, kind, between(disc, column.bodies.get(upper), column.bodies.get(below or 0)))


def _canal(column: Column, tube: Tube, instance: int) -> list[Measurement]:
    body = column.bodies.get(instance)
    if body is None:
        return no_canal(instance, column.why_not(instance))
    if body.is_cut:
        return no_canal(instance, body.problem)
    return canal_numbers(cut(tube, body.frame), instance)
