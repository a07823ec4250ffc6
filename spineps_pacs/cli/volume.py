"""`spineps-pacs volume`: the rebuilt volume of a series as NIfTI, whatever its weighting."""

from __future__ import annotations

import sys
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from pydicom.dataset import Dataset

from spineps_pacs.analysis.planes import Plane
from spineps_pacs.analysis.rebuild import FoundVolume, choose, found_in, load
from spineps_pacs.cli.inspect import Found, gather
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.volume import Volume
from spineps_pacs.intake import scan
from spineps_pacs.intake.limits import Limits

_KEPT = 4


def volume(
    path: Path,
    /,
    *,
    out: Annotated[Path, Parameter(help="The NIfTI file to write, .nii or .nii.gz.")],
    series: Annotated[str | None, Parameter(help="SeriesInstanceUID, where the path holds several.")] = None,
    volume: Annotated[  # the option's name
        int, Parameter(help="Which volume of the series, as inspect counts them from 1; 0 takes the right one.")
    ] = 0,
    fill_missing: Annotated[bool, Parameter(help="Fill one missing inner slice with its neighbours' mean.")] = False,
) -> int:
    """Write the rebuilt volume of a series as NIfTI."""
    if not out.name.endswith((".nii", ".nii.gz")):
        raise Unusable(f"the file to write must end with .nii or .nii.gz: {out}")
    if not path.exists():
        raise Unusable(f"there is nothing at {path}")
    found, unreadable = gather(path)
    one = _the_series(found, series, [reason for _, reason in unreadable])
    every = found_in(_told_by_content(one))
    chosen = _the_volume(every, volume)
    rebuilt = load(chosen, _reader(one.paths), fill_missing=fill_missing)
    write_nifti(rebuilt, out)
    for note in rebuilt.notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


def _the_series(found: list[Found], wanted: str | None, unreadable: list[str]) -> Found:
    """The one that is asked for; else the one with images, the taken before others, then the one with most files."""
    if wanted is not None:
        found = [it for it in found if it.series_uid == wanted]
        if not found:
            raise Unusable(f"there is no series {wanted}")
    if not found:
        raise Unusable(unreadable[0] if len(unreadable) == 1 else f"no DICOM image, {len(unreadable)} files unreadable")
    usable = [it for it in found if any(not volume.reason for volume in it.volumes())] or found
    limits = Limits()
    best = max(usable, key=lambda it: (it.verdict(limits).taken, len(it.planes)))
    if len(found) > 1:
        print(f"note: {len(found)} series; {best.series_uid} is used, --series names another", file=sys.stderr)
    return best


def _the_volume(every: tuple[FoundVolume, ...], wanted: int) -> FoundVolume:
    """By number; else the right one, and, where that cannot be, a sentence that names those that can."""
    chosen = choose(every, wanted or None)
    others = [str(it.number) for it in every if not it.reason]
    if chosen.reason and others and not wanted:
        raise Unusable(f"{chosen.reason}; --volume {' or '.join(others[:5])} can be rebuilt")
    return chosen


def _told_by_content(series: Found) -> list[Plane]:
    """Planes whose UID came twice are given a checksum of their file's pixels, so that copies can be told apart."""
    times = Counter((plane.sop_instance_uid, plane.frame, plane.tile) for plane in series.planes)
    again = {plane.source for plane in series.planes if times[plane.sop_instance_uid, plane.frame, plane.tile] > 1}
    digests = {source: _digest(scan.dataset(series.paths[source])) for source in again}
    return [replace(plane, digest=digests.get(plane.source)) for plane in series.planes]


def _digest(dataset: Dataset) -> int:
    content = dataset.get("PixelData")
    return zlib.crc32(content) if isinstance(content, bytes) else 0


def _reader(paths: list[Path]) -> Callable[[int], Dataset]:
    """Reads whole files when they are needed, and keeps the last few."""
    kept: dict[int, Dataset] = {}

    def read(source: int) -> Dataset:
        if source not in kept:
            while len(kept) >= _KEPT:
                kept.pop(next(iter(kept)))
            kept[source] = scan.dataset(paths[source])
        return kept[source]

    return read


def write_nifti(volume: Volume, out: Path) -> None:
    """Voxels as (column, row, slice) with an affine to R, A, S millimetres, as NIfTI has it."""
    import nibabel

    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine = to_ras @ volume.geometry.affine[:, [2, 1, 0, 3]]
    voxels = np.transpose(volume.voxels, (2, 1, 0))
    if voxels.dtype in (np.int64, np.uint64, np.uint32):
        voxels = voxels.astype(np.float64) if np.abs(voxels.astype(np.float64)).max() >= 2**31 else voxels.astype("i4")
    image = nibabel.Nifti1Image(np.asarray(voxels), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    out.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, out)
