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
    """The array as it is, index order (slice, row, column), with its affine in RAS mm."""
    image = nib.Nifti1Image(np.asarray(labels), LPS_TO_RAS @ geometry.affine)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))
