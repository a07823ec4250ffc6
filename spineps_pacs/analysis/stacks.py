"""Planes sorted into stacks: what does not belong to one volume is told apart, what is no volume says why.

First by geometry (matrix, voxel size, orientation, place in the plane), then, where several images claim the same
place, by what differs between them (echo, component, b-value, time ...). An attribute that merely varies from slice to
slice splits nothing. Distances are millimetres along the normal of the slices, LPS.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.planes import MARKS, Plane

Floats = NDArray[np.float64]

SAME_COSINE = 2e-3
"""Cosines that differ by less are one orientation: 0.1 degrees, above what rounding in headers makes."""

SAME_SIZE = 3e-4
"""Pixel sizes that differ by less than this part are one size, rounded in another way."""

SAME_PLACE_MM = 0.05
"""Slices nearer than this, and than a tenth of their thickness, lie at one place."""

UNEVEN_MM = 0.1
"""How far a slice may lie from the even grid (rounded positions), though never above a fifth of the step."""

TILT_DEG = 1.0
"""A stack whose slices step more than this away from their normal is tilted; what is below stands in the affine."""

STATION_MM = 10.0
"""Neighbours whose corners differ by more in the plane than by their distance plus this are two stations."""

_ALWAYS = ("stack", "echo time", "echo number", "component", "image type")


_BY_VOLUME = ("time point", "acquisition", "instance")
_SURELY_EVEN = 3  # two slices are always evenly spaced


@dataclass(frozen=True)
class Stack:
    """Planes that make one volume, sorted along the normal; or, with a reason, planes that do not."""

    planes: tuple[Plane, ...]
    reason: str = ""
    notes: tuple[str, ...] = ()
    missing_after: int | None = None
    marks: dict[str, Hashable] = field(default_factory=dict, compare=False)

    @property
    def normal(self) -> Floats:
        """Unit vector across the slices: row direction x column direction."""
        row, column = axes(self.planes)
        return np.asarray(np.cross(row, column))

    @property
    def echo_time(self) -> float | None:
        """ms, when all planes agree."""
        found = {plane.marks.get("echo time") for plane in self.planes}
        value = next(iter(found)) if len(found) == 1 else None
        return float(value) if isinstance(value, float) else None


def axes(planes: Sequence[Plane]) -> tuple[Floats, Floats]:
    """Mean unit vectors along which column and row index increase."""
    mean = np.mean([plane.orientation for plane in planes], axis=0)
    return _unit(mean[:3]), _unit(mean[3:])


def affine(stack: Stack) -> Floats:
    """Index (slice, row, column) to LPS mm."""
    first, last = stack.planes[0], stack.planes[-1]
    row, column = axes(stack.planes)
    gaps = len(stack.planes) - 1 + (stack.missing_after is not None)
    way = np.array(last.position) - np.array(first.position)
    step = way / gaps if gaps else stack.normal * (first.thickness or 1.0)
    found = np.eye(4)
    found[:3, 0], found[:3, 3] = step, first.position
    found[:3, 1], found[:3, 2] = column * first.spacing[0], row * first.spacing[1]
    return found


def stacks(planes: Iterable[Plane]) -> tuple[Stack, ...]:
    """All stacks of a series; each plane is in one of them, in whatever order they came."""
    kept, notes = _once(sorted(planes, key=_identity))
    flawed = [plane for plane in kept if plane.flaw]
    found: list[Stack] = []
    for group in _by_geometry([plane for plane in kept if not plane.flaw]):
        for part, part_notes in _told_apart(group):
            found += _mended(_settled(part, part_notes))
    found.sort(key=_listing)
    for reason in sorted({plane.flaw for plane in flawed}):
        found.append(Stack(tuple(plane for plane in flawed if plane.flaw == reason), reason))
    return tuple(replace(stack, notes=(*stack.notes, *notes)) for stack in found)


def _identity(plane: Plane) -> tuple[object, ...]:
    """An order that does not depend on the order of arrival."""
    return (*plane.order, plane.sop_instance_uid, plane.tile or (), plane.position, plane.digest or 0)


def _listing(stack: Stack) -> tuple[object, ...]:
    """Volumes are listed by orientation, then by their marks, then by place."""
    first = stack.planes[0]
    names = (*MARKS, *sorted(name for name in stack.marks if name not in MARKS))
    marks = tuple(_sortable(stack.marks.get(name)) for name in names)
    cosines = tuple(round(value, 2) for value in first.orientation)
    return (first.shape, cosines, marks, tuple(first.position), first.order)


def _sortable(value: object) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, "" if value is None else str(value))


def _once(planes: Sequence[Plane]) -> tuple[list[Plane], tuple[str, ...]]:
    """Each image once: a second copy under one UID is dropped; one with other content is kept and stated."""
    seen: dict[tuple[object, ...], Plane] = {}
    kept, changed = [], 0
    for plane in planes:
        key = (plane.sop_instance_uid or id(plane), plane.frame, plane.tile)
        first = seen.get(key)
        if first is None:
            seen[key] = plane
        elif (first.digest, first.position, first.order) == (plane.digest, plane.position, plane.order):
            continue
        else:
            changed += plane.tile is None or plane.tile[0] == 0
        kept.append(plane)
    note = f"{changed} images share a SOP Instance UID with another one of other content" if changed else ""
    return kept, (note,) if note else ()


def _by_geometry(planes: Sequence[Plane]) -> Iterable[list[Plane]]:
    """Planes of one matrix, voxel size, orientation and place in the plane."""
    high, wide = (_alike(plane.spacing[axis] for plane in planes) for axis in (0, 1))
    grids: dict[Hashable, list[Plane]] = defaultdict(list)
    for plane in planes:
        grids[plane.shape, high[plane.spacing[0]], wide[plane.spacing[1]]].append(plane)
    for grid in grids.values():
        for turned in _by_orientation(grid):
            yield from _by_station(turned)


def _alike(sizes: Iterable[float]) -> dict[float, float]:
    """Each size with the least one that it cannot be told from."""
    found, least = {}, 0.0
    for size in sorted(set(sizes)):
        least = least if size <= least * (1 + SAME_SIZE) else size
        found[size] = least
    return found


def _by_orientation(planes: Sequence[Plane]) -> Iterable[list[Plane]]:
    clusters: list[list[Plane]] = []
    centres = np.empty((len(planes), 6))
    known: dict[tuple[float, ...], list[Plane]] = {}
    for plane in planes:
        if plane.orientation not in known:
            cosines = np.array(plane.orientation)
            near = np.abs(centres[: len(clusters)] - cosines).max(axis=1) < SAME_COSINE
            if not near.any():
                centres[len(clusters)] = cosines
                clusters.append([])
            known[plane.orientation] = clusters[int(near.argmax())] if near.any() else clusters[-1]
        known[plane.orientation].append(plane)
    return clusters


def _by_station(planes: Sequence[Plane]) -> Iterable[list[Plane]]:
    """Parallel stacks whose corners lie far apart in the plane; a tilt drifts and stays together."""
    row, column = axes(planes)
    basis = np.stack([row, column, np.cross(row, column)])
    places = np.array([plane.position for plane in planes]) @ basis.T
    stations: list[list[Plane]] = []
    lasts = np.empty((len(planes), 3))
    for index in np.argsort(places[:, 2], kind="stable"):
        apart = np.abs(lasts[: len(stations)] - places[index])
        near = apart[:, :2].max(axis=1) < 1 + np.minimum(apart[:, 2], STATION_MM)
        at = int(near.argmax()) if near.any() else len(stations)
        if at == len(stations):
            stations.append([])
        stations[at].append(planes[index])
        lasts[at] = places[index]
    return stations


def _told_apart(planes: list[Plane], marks: dict[str, Hashable] | None = None) -> list[tuple[Stack, tuple[str, ...]]]:
    """Where several images claim one place: parts in which each place is claimed once."""
    marks = marks or {}
    crowds = _crowds(planes)
    if max(len(crowd) for crowd in crowds) == 1:
        return [(Stack(tuple(planes), marks=marks), ())]
    name = _telling(planes, crowds)
    if name:
        parts = _split(planes, name)
        return [it for value, part in parts.items() for it in _told_apart(part, {**marks, name: value})]
    return _in_turn(crowds, marks)


def _crowds(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Planes grouped by place along the normal, in order."""
    row, column = axes(planes)
    along = np.array([plane.position for plane in planes]) @ np.cross(row, column)
    order = np.argsort(along, kind="stable")
    near = min(SAME_PLACE_MM, 0.1 * min((plane.thickness or 1.0 for plane in planes), default=1.0))
    crowds: list[list[Plane]] = []
    last = -np.inf
    for index in order:
        if along[index] - last > max(near, 1e-4):
            crowds.append([])
            last = along[index]
        crowds[-1].append(planes[index])
    return crowds


def _telling(planes: Sequence[Plane], crowds: Sequence[Sequence[Plane]]) -> str:
    """The first attribute that differs between images of one place, makes few enough parts, and parts all alike.

    Where none makes parts that all have the same places, the first that differs must do.
    """
    most = max(len(crowd) for crowd in crowds)
    others = sorted({name for plane in planes for name in plane.marks if name not in MARKS})
    uneven = ""
    for name in (*MARKS, *others):
        differs = any(len({plane.marks.get(name) for plane in crowd}) > 1 for crowd in crowds)
        parts = len({plane.marks.get(name) for plane in planes}) if differs else 0
        if parts > 1 and (name in _ALWAYS or parts <= most):
            if name in _ALWAYS or _everywhere(name, crowds):
                return name
            uneven = uneven or name
    return uneven


def _everywhere(name: str, crowds: Sequence[Sequence[Plane]]) -> bool:
    """True when every place has the same values of a mark, each as often."""
    first, *rest = (Counter(plane.marks.get(name) for plane in crowd) for crowd in crowds)
    return all(values == first for values in rest)


def _split(planes: Iterable[Plane], name: str) -> dict[Hashable, list[Plane]]:
    """Planes by the value of one mark."""
    parts: dict[Hashable, list[Plane]] = defaultdict(list)
    for plane in planes:
        parts[plane.marks.get(name)].append(plane)
    return parts


def _in_turn(crowds: Sequence[Sequence[Plane]], marks: dict[str, Hashable]) -> list[tuple[Stack, tuple[str, ...]]]:
    """Images that nothing tells apart: the first of each place, then the second ...; copies of one content go."""
    crowds = [sorted(crowd, key=_identity) for crowd in crowds]
    sizes = Counter(len(crowd) for crowd in crowds)
    if len(sizes) > 1:
        crowds = [_unlike(crowd) for crowd in crowds]
        sizes = Counter(len(crowd) for crowd in crowds)
    most, note = max(sizes), ""
    if len(sizes) > 1 and sizes[1]:
        doubled = sum(count for size, count in sizes.items() if size > 1)
        note = f"{doubled} places hold several images that nothing tells apart; the first acquired is used"
    turns = [tuple(crowd[turn] for crowd in crowds if turn < len(crowd)) for turn in range(most)]
    numbered = [{**marks, "turn": turn + 1} if most > 1 else marks for turn in range(most)]
    return [(Stack(turn, marks=its), (note,) if note else ()) for turn, its in zip(turns, numbered, strict=True)]


def _unlike(crowd: Sequence[Plane]) -> list[Plane]:
    """Without images whose pixels are those of another one at the same place."""
    seen: set[int] = set()
    kept = []
    for plane in crowd:
        if plane.digest is None or plane.digest not in seen:
            kept.append(plane)
        if plane.digest is not None:
            seen.add(plane.digest)
    return kept


def _settled(stack: Stack, notes: tuple[str, ...]) -> Stack:
    """Sorted along the normal, with the reason why it is no volume if it is none."""
    normal = stack.normal
    planes = tuple(sorted(stack.planes, key=lambda plane: float(normal @ np.array(plane.position))))
    stack = replace(stack, planes=planes, notes=notes)
    tilt = _tilt(planes, normal)
    if tilt > TILT_DEG:
        return replace(stack, reason=f"the slices are tilted: they step {tilt:.1f} degrees away from their normal")
    along = np.array([plane.position for plane in planes]) @ normal
    return _even(stack, along)


def _mended(stack: Stack) -> list[Stack]:
    """Uneven slices that are several even stacks under different marks: those stacks; else the refused one."""
    if not stack.reason:
        return [stack]
    for name in _ALWAYS + _BY_VOLUME:
        parts = _split(stack.planes, name)
        if len(parts) > 1 and min(map(len, parts.values())) >= _SURELY_EVEN:
            split = [Stack(tuple(part), marks={**stack.marks, name: value}) for value, part in parts.items()]
            found = [_settled(part, stack.notes) for part in split]
            if not any(it.reason for it in found):
                return found
    return [stack]


def _tilt(planes: Sequence[Plane], normal: Floats) -> float:
    """Degrees between the way from first to last slice and the normal."""
    way = np.array(planes[-1].position) - np.array(planes[0].position)
    along = float(normal @ way)
    return float(np.degrees(np.arctan2(np.linalg.norm(way - along * normal), abs(along)))) if along else 0.0


def _even(stack: Stack, along: Floats) -> Stack:
    """Refused with the numbers unless the slices lie on an even grid."""
    if len(along) < 3:
        return stack
    steps = np.diff(along)
    grid = np.linspace(along[0], along[-1], len(along))
    typical = float(np.median(steps[steps < 1.1 * steps.min()]))
    off_grid, off_step = np.abs(along - grid).max(), np.abs(steps - typical).max()
    if off_grid <= _allowed(float(steps.mean())) and off_step <= 2 * _allowed(typical):
        return stack
    times = np.maximum(np.round(steps / typical), 1).astype(int)
    if np.abs(steps - times * typical).max() > 2 * _allowed(typical):
        text = f"the slices are not evenly spaced: steps from {steps.min():.2f} to {steps.max():.2f} mm"
        return replace(stack, reason=text)
    missing = int(times.sum()) - len(times)
    holes = ", ".join(f"{along[at]:.1f} to {along[at + 1]:.1f} mm" for at in np.flatnonzero(times > 1)[:3])
    slices = "1 slice is missing" if missing == 1 else f"{missing} slices are missing"
    reason = f"{slices}: steps are {typical:.2f} mm, but {steps.max():.2f} mm at {holes}"
    after = int(np.flatnonzero(times > 1)[0]) if missing == 1 else None
    return replace(stack, reason=reason, missing_after=after)


def _allowed(step: float) -> float:
    """How far a slice may lie from its place on the even grid."""
    return min(max(UNEVEN_MM, 0.02 * abs(step)), 0.2 * abs(step))


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))
