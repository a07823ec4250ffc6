"""Writes label volumes as NIfTI; the same labels give the same bytes."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.volume import Geometry

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_nifti(path: Path, labels: NDArray[np.generic], geometry: Geometry) -> None:
    """Labels (slice, row, column) as NIfTI readers expect them: columns first, affine in RAS mm."""
    affine = (LPS_TO_RAS @ geometry.affine)[:, [2, 1, 0, 3]]
    image = nib.Nifti1Image(np.asarray(labels).transpose(2, 1, 0), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))
