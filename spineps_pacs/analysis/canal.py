"""Canal and cord in the plane at a right angle to the canal at the height of a vertebra: areas and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.answers import given, not_given
from spineps_pacs.analysis.frames import LEFT, POSTERIOR, UP, Frame
from spineps_pacs.domain.anatomy import CANAL_ID, CORD_ID
from spineps_pacs.domain.masks import SemanticMask
from spineps_pacs.domain.report import Measurement, Missing
from spineps_pacs.domain.volume import Floats, Geometry

REACH = 14.0
"""Half length in mm of the piece of canal that tells which way it runs."""
SLAB = 2.0
"""Standard deviation in mm of the weight, along the canal, with which voxels count for the plane."""
WIDE, FAR = 25.0, 60.0
"""How far to the side of a body's middle, and behind it, its canal is looked for, mm."""
SHORTEST = 0.5
"""A slice with a shorter chord, mm, only grazes the canal."""
GRAZING = 0.02
"""A slice with a shorter chord than this, mm, holds none of it."""
FEW_VOXELS, FEW_SLICES, FEW_CORD_SLICES = 50, 3, 2
"""With fewer voxels or slices the canal, or the cord, is not measured."""


@dataclass(frozen=True, eq=False)
class Tube:
    """The voxels of the canal with the cord: centres (n, 3) LPS mm, slice of each, whether it is cord.

    `outermost` are those on an outer face of the grid.
    """

    points: Floats
    slices: NDArray[np.int_]
    cord: NDArray[np.bool_]
    outermost: NDArray[np.bool_]
    geometry: Geometry


def find_tube(structures: SemanticMask) -> Tube:
    """The canal of a mask."""
    index = np.argwhere(np.isin(structures.labels, (CANAL_ID, CORD_ID)))
    cord = structures.labels[tuple(index.T)] == CORD_ID
    outermost = ((index == 0) | (index == np.array(structures.geometry.shape) - 1)).any(axis=1)
    return Tube(structures.geometry.to_world(index), index[:, 0], cord, outermost, structures.geometry)


@dataclass(frozen=True, eq=False)
class Section:
    """A cut through the tube, slice by slice: the slice's place to the left, its chords of canal and of cord, all mm.

    `middle` is how far behind the frame's origin the middle of the canal's chord lies; `pitch` the distance of
    neighbouring slices in the cut; `pixel` the size of a pixel; `is_cut` is true when the canal may go on
    beyond the field of view.
    """

    frame: Frame
    pitch: float
    pixel: float
    left: Floats
    middle: Floats
    canal: Floats
    cord: Floats
    is_cut: bool


def cut(tube: Tube, body: Frame) -> Section | None:
    """The cut at the height of a body's centre; None where the canal ends too near or is cut."""
    frame = _across(tube, body)
    if frame is None:
        return None
    local = frame.local(tube.points)
    near = np.hypot(local[:, LEFT], local[:, POSTERIOR]) < WIDE
    weight = _weights(tube.geometry, frame, local[near, UP])
    pitch = _pitch(tube.geometry, frame)
    count = tube.geometry.shape[0]

    def chords(values: Floats) -> Floats:
        return np.asarray(np.bincount(tube.slices[near], weights=values, minlength=count), dtype=np.float64)

    total = chords(weight)
    used = total * tube.geometry.voxel_volume / pitch > SHORTEST
    ends = [chords(weight * local[near, axis])[used] / total[used] for axis in (LEFT, POSTERIOR)]
    scale = tube.geometry.voxel_volume / pitch
    cord = chords(weight * tube.cord[near])[used] * scale
    is_cut = bool(used[0] or used[-1] or weight[tube.outermost[near]].sum() > 0.01 * weight.sum())
    return Section(frame, pitch, max(tube.geometry.spacing[1:]), ends[0], ends[1], total[used] * scale, cord, is_cut)


def _weights(geometry: Geometry, frame: Frame, up: Floats) -> Floats:
    """What each voxel counts for the plane, per mm: a bell curve along the canal, wider than a voxel."""
    sigma = max(SLAB, 0.6 * float(np.abs(geometry.affine[:3, :3].T @ frame.axes[UP]).sum()))
    return np.asarray(np.exp(-0.5 * (up / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi)))


def _pitch(geometry: Geometry, frame: Frame) -> float:
    """Distance in mm of neighbouring slices where they cross the plane."""
    normal = np.linalg.inv(geometry.affine[:3, :3])[0]
    return 1.0 / float(np.linalg.norm(normal - (normal @ frame.axes[UP]) * frame.axes[UP]))


def _across(tube: Tube, body: Frame) -> Frame | None:
    """The frame in the middle of the canal at a body's height, its up along the canal."""
    local = body.local(tube.points)
    near = (np.abs(local[:, UP]) < REACH) & (np.abs(local[:, LEFT]) < WIDE) & (np.abs(local[:, POSTERIOR]) < FAR)
    part = local[near]
    if len(part) < FEW_VOXELS or part[:, UP].min() > -REACH / 2 or part[:, UP].max() < REACH / 2:
        return None
    matrix = np.column_stack([np.ones(len(part)), part[:, UP]])
    root = np.sqrt(1 - np.abs(part[:, UP]) / REACH)[:, None]
    found = np.linalg.lstsq(matrix * root, part[:, [LEFT, POSTERIOR]] * root, rcond=None)[0]
    up = np.array([found[1, 0], found[1, 1], 1.0]) @ body.axes
    return Frame.along(body.world(found[0, 0], found[0, 1], 0.0), up, body.axes[POSTERIOR])


def ellipse(left: Floats, chord: Floats) -> tuple[float, float] | None:
    """Depth and width of the ellipse whose chords these are; None with fewer than three, or where none fits.

    The square of an ellipse's chord is a parabola of its place. Long chords count for more; a slice without a chord,
    next to one with, must lie beyond the ellipse.
    """
    there = chord > GRAZING
    if there.sum() < 3:
        return None
    first, last = np.flatnonzero(there)[[0, -1]]
    empty = [n for n in (first - 1, last + 1) if 0 <= n < len(left)]
    fit = _parabola(left[there], chord[there])
    reached = [n for n in empty if np.polynomial.polynomial.polyval(left[n], fit) > 0]
    if reached:
        ends = np.full(len(reached), chord.max())
        fit = _parabola(left[there], chord[there], (left[reached], ends))
    a, b, d = fit
    if d >= 0:
        return None
    depth = float(np.sqrt(a - b * b / (4 * d)))
    return depth, 2 * depth / float(np.sqrt(-d))


def _parabola(left: Floats, chord: Floats, ends: tuple[Floats, Floats] | None = None) -> Floats:
    """The parabola through squared chords, each weighed by its chord; `ends` are places of no chord and weights."""
    place, root = (left, chord) if ends is None else (np.append(left, ends[0]), np.append(chord, ends[1]))
    square = chord**2 if ends is None else np.append(chord**2, np.zeros(len(ends[0])))
    matrix = np.column_stack([np.ones(len(place)), place, place * place])
    return np.asarray(np.linalg.lstsq(matrix * root[:, None], square * root, rcond=None)[0])


def canal_numbers(section: Section | None, subject: int) -> list[Measurement]:
    """Canal area, cord area and canal depth of one cut."""
    if section is None:
        return no_canal(subject, "the canal is not in view at this level")
    if section.is_cut:
        return no_canal(subject, "the canal is cut by the field of view")
    if len(section.left) < FEW_SLICES:
        return no_canal(subject, f"the canal lies in {len(section.left)} slices, {FEW_SLICES} are needed")
    return [_canal_area(section, subject), _cord_area(section, subject), _depth(section, subject)]


def no_canal(subject: int, why: str) -> list[Measurement]:
    """Three times no number."""
    return [not_given(kind, subject, why) for kind in ("canal_area", "cord_area", "canal_ap_diameter")]


def _canal_area(section: Section, subject: int) -> Measurement:
    area = float(section.canal.sum()) * section.pitch
    return given("canal_area", subject, (area, area * _area_error(section, section.canal, 0.45)))


def _cord_area(section: Section, subject: int) -> Measurement:
    """The area of the ellipse through three or more chords; the sum of the chords with fewer."""
    chords = section.cord
    count = int((chords > SHORTEST).sum())
    if count == 0:
        return not_given("cord_area", subject, "there is no cord at this level", missing=Missing.NOT_ATTEMPTED)
    if count < FEW_CORD_SLICES:
        return not_given("cord_area", subject, f"the cord lies in {count} slices, {FEW_CORD_SLICES} are needed")
    found = ellipse(section.left, chords)
    area = float(np.pi / 4 * found[0] * found[1]) if found else float(chords.sum()) * section.pitch
    return given("cord_area", subject, (area, area * _area_error(section, chords, 0.25 if found else 0.6)))


def _area_error(section: Section, chords: Floats, part: float) -> float:
    """Relative half width of the 95 % interval.

    The sum of an ellipse's chords errs by a part that falls with their number to the power of 3/2, and each chord by
    some of a pixel.
    """
    depth = float(chords.max())
    width = max(float(chords.sum()) * section.pitch / (np.pi / 4 * depth), section.pitch)
    return float(part * (section.pitch / width) ** 1.5 + 0.4 * section.pixel / depth)


def _depth(section: Section, subject: int) -> Measurement:
    """The canal's longest chord from front to back, between the slices too."""
    found = ellipse(section.left, section.canal)
    depth = found[0] if found else float(section.canal.max())
    centre = float(np.average(section.middle, weights=section.canal))
    line = (section.frame.world(0.0, centre - depth / 2, 0.0), section.frame.world(0.0, centre + depth / 2, 0.0))
    width = float(section.canal.sum()) * section.pitch / (np.pi / 4 * depth)
    error = 0.35 * section.pixel + 0.06 * depth * (section.pitch / width) ** 2
    return given("canal_ap_diameter", subject, (depth, error), line)
