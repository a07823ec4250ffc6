"""A user's own cases: images, structures and instances from NIfTI files, brought to one orientation and grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.bias import correct
from spineps_pacs.analysis.geometry import cubic, nearest, rescaled, turn
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.evaluation.files import read_instances, read_structures

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
BRIGHTEST = 1500.0
"""Images are scaled down to this, as before inference; never up."""
TOLERANCE_MM = 1e-2

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Files:
    """The three files of one case."""

    name: str
    image: Path
    structures: Path
    instances: Path


@dataclass(frozen=True, eq=False)
class Prepared:
    """One case with axes P, I, R."""

    name: str
    image: NDArray[np.float32]
    structures: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    geometry: Geometry


def find_cases(folder: Path) -> list[Files]:
    """Cases of a folder with `images`, `structures` and `instances`, whose files have the same names."""
    names = sorted(p.name for p in (folder / "images").glob("*.nii.gz"))
    if not names:
        raise Unusable(f"{folder / 'images'} holds no .nii.gz file")
    lost = [f"{kind}/{n}" for n in names for kind in ("structures", "instances") if not (folder / kind / n).is_file()]
    if lost:
        raise Unusable(f"{folder} lacks {len(lost)} masks, first {lost[0]}")
    return [
        Files(n.removesuffix(".nii.gz"), folder / "images" / n, folder / "structures" / n, folder / "instances" / n)
        for n in names
    ]


def prepare(files: Files, spacing: Spacing | None) -> Prepared:
    """Range, bias correction, orientation and grid as before inference; `spacing` None keeps the case's own."""
    structures, instances = read_structures(files.structures), read_instances(files.instances)
    loaded = nibabel.load(files.image)
    geometry = Geometry(_LPS_TO_RAS @ loaded.affine, loaded.shape)
    for mask, path in ((structures, files.structures), (instances, files.instances)):
        if not mask.geometry.same_grid(geometry, TOLERANCE_MM):
            raise Unusable(f"{path} lies on another grid than {files.image}")
    upright = turn(geometry)
    grid = rescaled(upright.after, spacing) if spacing else upright.after

    def moved(labels: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(nearest(upright.there(labels), upright.after, grid))

    image = upright.there(np.asarray(loaded.dataobj, dtype=np.float32))
    return Prepared(
        files.name,
        np.maximum(cubic(_levelled(image, upright.after), upright.after, grid), 0).astype(np.float32),
        moved(structures.labels),
        moved(instances.labels),
        grid,
    )


def _levelled(image: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """From 0 to at most 1500, without its bias field."""
    shifted = image - image.min()
    scaled = shifted * min(1.0, BRIGHTEST / max(float(shifted.max()), 1.0))
    return np.asarray(correct(scaled, geometry).image, dtype=np.float32)


def write_image(path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
    """A NIfTI file of voxels in our geometry."""
    nibabel.save(nibabel.Nifti1Image(voxels, _LPS_TO_RAS @ geometry.affine), path)


def prepared_cases(folder: Path, spacing: Spacing | None) -> Iterator[Prepared]:
    """All cases of a folder, one after the other."""
    for files in find_cases(folder):
        yield prepare(files, spacing)
