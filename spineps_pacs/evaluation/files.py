"""Masks from NIfTI files, and which file of one folder belongs to which of another."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.volume import Geometry

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_TOLERANCE_MM = 1e-2

Pair = tuple[str, Path, Path]


def pairs(found: Path, truth: Path) -> list[Pair]:
    """(case, file, reference) of two files, or of all files with the same relative path in two folders."""
    if truth.is_file():
        if not found.is_file():
            raise Unusable(f"{truth} is a file, but {found} is {'a folder' if found.is_dir() else 'not there'}")
        return [(_case(found.name), found, truth)]
    mine, theirs = _volumes(found), _volumes(truth)
    missing = sorted(theirs.keys() - mine.keys())
    if missing:
        raise Unusable(f"{found} lacks {len(missing)} of the reference's {len(theirs)} files, first {missing[0]}")
    return [(_case(name), mine[name], theirs[name]) for name in sorted(theirs)]


def _volumes(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise Unusable(f"{folder} is not there")
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.name.endswith((".nii", ".nii.gz"))}
    if not found:
        raise Unusable(f"{folder} holds no .nii or .nii.gz file")
    return found


def _case(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".nii")


def read_structures(path: Path, like: SemanticMask | None = None) -> SemanticMask:
    """A mask of structure ids; on the same grid as `like`."""
    labels, geometry = _read(path, 255)
    _same(path, geometry, like.geometry if like else None)
    return SemanticMask(labels.astype(np.uint8), geometry)


def read_instances(path: Path, like: InstanceMask | None = None) -> InstanceMask:
    """A mask of instance ids; on the same grid as `like`."""
    labels, geometry = _read(path, 299)
    _same(path, geometry, like.geometry if like else None)
    return InstanceMask(labels.astype(np.uint16), geometry)


def _read(path: Path, largest: int) -> tuple[NDArray[np.float64], Geometry]:
    try:
        image = nibabel.load(path)
        voxels = np.asanyarray(image.dataobj)
    except (OSError, ValueError, ImageFileError) as error:
        raise Unusable(f"{path} cannot be read as NIfTI: {error}") from error
    if voxels.ndim != 3:
        raise Unusable(f"{path} has {voxels.ndim} axes, a mask has 3")
    labels = np.rint(voxels)
    if not np.array_equal(labels, voxels) or labels.min() < 0 or labels.max() > largest:
        raise Unusable(f"{path} is no mask: its voxels are not whole numbers from 0 to {largest}")
    return labels, Geometry(_RAS_TO_LPS @ image.affine, labels.shape)


def _same(path: Path, geometry: Geometry, other: Geometry | None) -> None:
    if other is None or geometry.same_grid(other, _TOLERANCE_MM):
        return
    mine, theirs = (f"{g.shape} at {tuple(round(s, 3) for s in g.spacing)} mm" for g in (geometry, other))
    raise Unusable(f"{path} lies on another grid ({mine}) than the reference ({theirs})")
