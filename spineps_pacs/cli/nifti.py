"""NIfTI files and arrays as volumes, and masks as NIfTI files on the same grid."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.volume import Geometry, Volume

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
NIFTI = (".nii", ".nii.gz")
NOWHERE = "the NIfTI file does not say how it lies (qform_code and sform_code are 0): left and right are not known"

_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Placing:
    """How a NIfTI file says where it lies: the affine that counts (RAS), and its two matrices with their codes."""

    affine: NDArray[np.float64]
    sform_code: int
    qform: NDArray[np.float64] | None
    qform_code: int


def read_nifti(path: Path) -> tuple[Volume, Placing]:
    """The volume of a file, axes as they are, and how it is placed; a note where the file does not say how."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        if path.name.lower().endswith(".gz"):
            _read_to_its_end(path)
        image: Any = nibabel.load(path)
        voxels = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, ImageFileError, HeaderDataError, zlib.error) as error:
        raise Unusable(f"{path.name} cannot be read as NIfTI: {error}") from error
    voxels = voxels[..., 0] if voxels.ndim == 4 and voxels.shape[3] == 1 else voxels
    if voxels.ndim != 3:
        raise Unusable(f"{path.name} has {voxels.ndim} dimensions, not 3")
    placing = _placing(image)
    notes = () if placing.sform_code or placing.qform_code else (NOWHERE,)
    return replace(volume_of(voxels, placing.affine, ras=True), notes=notes), placing


def _read_to_its_end(path: Path) -> None:
    """Raises where the checksum at the end is not that of the content: readers of images stop before it."""
    with gzip.open(path) as file:
        while file.read(_CHUNK):
            pass


def _placing(image: Any) -> Placing:
    """A qform that is no rotation does not matter where the sform counts; it is left out then."""
    affine = np.asarray(image.affine, dtype=np.float64)
    try:
        qform, code = image.get_qform(coded=True)
    except ValueError:
        qform, code = None, 0
    return Placing(affine, int(image.get_sform(coded=True)[1]), qform, int(code))


def volume_of(voxels: NDArray[Any], affine: NDArray[np.floating[Any]], *, ras: bool) -> Volume:
    """An array with its affine as a Volume, axes as they are; the affine runs to R, A, S, else to L, P, S.

    The caller's array stays his own, to be written to. Bytes are widened: 127 - (-100) is no int8.
    """
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) == 0:
        raise Unusable("the affine is not invertible")
    whole = RAS @ affine if ras else np.asarray(affine)
    i, j, k = voxels.shape
    wide = voxels.astype(np.int16) if voxels.dtype in (np.int8, np.uint8) else voxels
    return Volume(np.ascontiguousarray(wide).view(), Geometry(whole, (i, j, k)))


def as_nifti(labels: NDArray[np.generic], placing: Placing) -> bytes:
    """Labels on the very grid of the file that was read, which say no more of it than that file does."""
    import nibabel

    image = nibabel.Nifti1Image(labels, placing.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(placing.affine, code=placing.sform_code)
    image.set_qform(placing.affine if placing.qform is None else placing.qform, code=placing.qform_code)
    return gzip.compress(image.to_bytes(), mtime=0)
