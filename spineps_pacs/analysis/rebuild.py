"""A series becomes its volumes: which there are, which is the right one, and its voxels on their grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from spineps_pacs.analysis.pixels import Decoder
from spineps_pacs.analysis.planes import Plane, pixel_digest, planes
from spineps_pacs.analysis.stacks import Stack, affine, stacks
from spineps_pacs.domain.dixon import shows_fat
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Frame, Geometry, Volume

LARGEST_BYTES = 1 << 30
"""A volume of 1 GiB, 2,000 slices of a CT: with a copy of it, what is put together stays near 2 GB."""

LONGEST_T2_ECHO_MS = 250.0
"""Echoes beyond this are for fluid alone (myelography), not for the tissue of a T2-weighted spine."""


@dataclass(frozen=True)
class FoundVolume:
    """One volume of a series, not yet loaded; with a `reason` it cannot be one, and `spacing` is empty."""

    number: int
    shape: tuple[int, int, int]
    spacing: tuple[float, ...]
    echo_time_ms: float | None
    role: str
    reason: str
    stack: Stack


def volumes(series: Series) -> tuple[FoundVolume, ...]:
    """Every volume of a series, numbered from 1; those that cannot be rebuilt with the reason."""
    return found_in(series_planes(series))


def rebuild(series: Series, wanted: int | None = None, *, fill_missing: bool = False) -> Volume:
    """The volume that is asked for by number, or the right one; Unusable with a sentence when there is none."""
    chosen = choose(volumes(series), wanted)
    return load(chosen, lambda source: series.datasets[source], fill_missing=fill_missing)


def series_planes(series: Series) -> tuple[Plane, ...]:
    """All planes of all datasets."""
    return tuple(
        plane
        for source, dataset in enumerate(series.datasets)
        for plane in planes(dataset, source, pixel_digest(dataset))
    )


def found_in(every: Iterable[Plane]) -> tuple[FoundVolume, ...]:
    """The volumes that planes make, in a fixed order."""
    found = stacks(every)
    return tuple(_found(index + 1, stack) for index, stack in enumerate(found))


def choose(found: Sequence[FoundVolume], wanted: int | None = None) -> FoundVolume:
    """By number; else by plane, component, not of fat alone, and size, then the longest plausible T2 echo."""
    if not found:
        raise Unusable("the series holds no image")
    if wanted is not None:
        if not 1 <= wanted <= len(found):
            raise Unusable(f"there is no volume {wanted}: the series has {len(found)}")
        return found[wanted - 1]
    ranks = {it.number: _rank(it, found) for it in found}
    best = max(found, key=lambda it: ranks[it.number])
    rivals = [
        it for it in found if it is not best and not it.reason and ranks[it.number][:-2] == ranks[best.number][:-2]
    ]
    if not rivals or best.reason:
        return best
    note = f"volume {best.number} of {len(found)} was chosen ({best.role}); {len(rivals)} others are as plausible"
    return replace(best, stack=replace(best.stack, notes=(*best.stack.notes, note)))


def load(found: FoundVolume, dataset: Callable[[int], Dataset], *, fill_missing: bool = False) -> Volume:
    """The voxels of a found volume on their grid; `dataset` gives the dataset of a plane's source, with pixels."""
    stack = found.stack
    fills = fill_missing and stack.missing_after is not None
    if found.reason and not fills:
        raise Unusable(found.reason)
    voxels = _voxels(stack, dataset)
    notes = (*stack.notes, *_righted(stack, voxels))
    frames = tuple(_frame(plane) for plane in stack.planes)
    if fills and stack.missing_after is not None:
        voxels, frames, note = _filled(voxels, frames, stack.missing_after, found.reason)
        notes = (*notes, note)
    elif stack.missing_after is not None:
        raise Unusable(found.reason)
    shape = (voxels.shape[0], voxels.shape[1], voxels.shape[2])
    geometry = Geometry(affine(stack), shape, _frame_of_reference(stack))
    return Volume(voxels, geometry, frames, found.echo_time_ms, notes)


def _voxels(stack: Stack, dataset: Callable[[int], Dataset]) -> NDArray[np.generic]:
    """All planes (slice, row, column), in the smallest type that holds them exactly; one copy in memory, not two."""
    decoder = Decoder(dataset)
    order = sorted(range(len(stack.planes)), key=lambda at: (stack.planes[at].source, stack.planes[at].frame or 0))
    whole: NDArray[np.generic] = np.empty(0, np.uint8)
    kinds: set[np.dtype[Any]] = set()
    for at in order:
        part = _narrow(decoder.values(stack.planes[at]))
        kinds.add(part.dtype)
        kind = np.result_type(*kinds)
        if not whole.size:
            whole = _room(len(order), stack.planes[0].shape, kind)
        elif kind != whole.dtype:
            whole = _room(len(order), stack.planes[0].shape, kind, whole)
        whole[at] = part
    return whole


def _righted(stack: Stack, voxels: NDArray[np.generic]) -> tuple[str, ...]:
    """Turns MONOCHROME1 over, in place and within its own range: fluid is bright in the values too, as it is seen."""
    inverse = sum(plane.inverse for plane in stack.planes)
    if not inverse:
        return ()
    if inverse < len(stack.planes):
        raise Unusable(f"{inverse} of {len(stack.planes)} images are MONOCHROME1, the others MONOCHROME2")
    values: NDArray[Any] = voxels
    low, top = values.min(), values.max()
    with np.errstate(invalid="ignore", over="ignore"):  # whole numbers come round; infinite ones are refused later
        np.subtract(top, values, out=values)
        np.add(values, low, out=values)
    return ("the images are MONOCHROME1: their values were inverted",)


def _room(
    slices: int, shape: tuple[int, int], kind: np.dtype[Any], filled: NDArray[np.generic] | None = None
) -> NDArray[np.generic]:
    """Memory for all slices, unless it is more than a volume may take; with what is `filled` already."""
    rows, columns = shape
    size = slices * rows * columns * kind.itemsize
    if size > LARGEST_BYTES:
        taken = f"would take {size / 1e9:.1f} GB"
        raise Unusable(f"{slices} slices of {rows} x {columns} pixels {taken}, more than a volume may take")
    return np.empty((slices, rows, columns), kind) if filled is None else filled.astype(kind)


def _narrow(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Integers widened for the rescale go back to what holds them; bytes do not hold their own differences."""
    if values.dtype in (np.int8, np.uint8):
        return values.astype(np.int16)
    if values.dtype != np.int64:
        return values
    low, top = int(values.min()), int(values.max())
    for kind in (np.int16, np.uint16, np.int32):
        if np.iinfo(kind).min <= low and top <= np.iinfo(kind).max:
            return values.astype(kind)
    return values


def _filled(
    voxels: NDArray[np.generic], frames: tuple[Frame, ...], after: int, reason: str
) -> tuple[NDArray[np.generic], tuple[Frame, ...], str]:
    """The missing slice as the mean of its neighbours; its frame names no instance."""
    mean = (voxels[after].astype(np.float64) + voxels[after + 1]) / 2
    fill = np.round(mean).astype(voxels.dtype) if voxels.dtype.kind in "iu" else mean.astype(voxels.dtype)
    note = f"slice {after + 2} was filled with the mean of its neighbours ({reason})"
    blank = Frame(frames[after].sop_class_uid, "")
    return np.insert(voxels, after + 1, fill, axis=0), (*frames[: after + 1], blank, *frames[after + 1 :]), note


def _frame(plane: Plane) -> Frame:
    return Frame(plane.sop_class_uid, plane.sop_instance_uid, None if plane.frame is None else plane.frame + 1)


def _frame_of_reference(stack: Stack) -> str:
    """The one Frame of Reference UID; empty when planes disagree or have none."""
    found = {plane.frame_of_reference_uid for plane in stack.planes}
    return next(iter(found)) if len(found) == 1 else ""


def _found(number: int, stack: Stack) -> FoundVolume:
    rows, columns = stack.planes[0].shape
    spacing: tuple[float, ...] = ()
    if not stack.reason:
        lengths = np.linalg.norm(affine(stack)[:3, :3], axis=0)
        spacing = tuple(float(length) for length in lengths)
    role = f"unusable: {stack.reason}" if stack.reason else _role(stack)
    return FoundVolume(number, (len(stack.planes), rows, columns), spacing, stack.echo_time, role, stack.reason, stack)


def _role(stack: Stack) -> str:
    """What the volume is among its neighbours: its orientation, and the marks that told it apart."""
    marks = "".join(f"; {name} {_shown(value)}" for name, value in stack.marks.items())
    return f"{plane_name(stack)[0]}{marks}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value or "none")


def plane_name(stack: Stack) -> tuple[str, float]:
    """The nearest anatomical plane, and the degrees between the stack's normal and that plane's."""
    cosines = np.abs(stack.normal)
    axis = int(np.argmax(cosines))
    return ("sagittal", "coronal", "axial")[axis], float(np.degrees(np.arccos(min(cosines[axis], 1.0))))


def _rank(found: FoundVolume, among: Sequence[FoundVolume]) -> tuple[float, ...]:
    """Higher is better. The last two only break ties: more slices, then the first listed."""
    stack = found.stack
    if any(plane.flaw for plane in stack.planes):
        return (-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, float(-found.number))
    plane = plane_name(stack)[0]
    most = max(it.shape[0] for it in among if not it.stack.planes[0].flaw and plane_name(it.stack)[0] == plane)
    echo = found.echo_time_ms or 0.0
    b_values = [it.marks.get("b-value") for it in stack.planes]
    weighted = max((float(value) for value in b_values if isinstance(value, float)), default=0.0)
    return (
        float(plane == "sagittal"),
        float(not any(_is_complex_part(it) for it in stack.planes)),
        float(not any(shows_fat(str(it.marks.get("image type", ""))) for it in stack.planes)),
        float(found.shape[0] * 2 >= most),
        -weighted,
        echo if echo <= LONGEST_T2_ECHO_MS else -echo,
        float(found.shape[0]),
        float(-found.number),
    )


def _is_complex_part(plane: Plane) -> bool:
    """True for phase, real or imaginary images: by Complex Image Component, or the third word of Image Type."""
    if str(plane.marks.get("component", "")).upper() in ("PHASE", "REAL", "IMAGINARY"):
        return True
    third = str(plane.marks.get("image type", "")).upper().split("\\")[2:3]
    return bool(third) and third[0].split("_")[0].split(" ")[0] in ("P", "PHASE", "R", "REAL", "I", "IMAGINARY")
