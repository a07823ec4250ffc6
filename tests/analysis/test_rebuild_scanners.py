"""Real scanner images are rebuilt as dcm2niix and SimpleITK rebuild them, live, and to the voxels on record."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pytest
import scanners
import SimpleITK
from numpy.typing import NDArray

from spineps_pacs.analysis.rebuild import rebuild, volumes
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.volume import Volume

HASHES = {
    "siemens-sag-t1-gap": ["4438bc18"],
    "siemens-xa30-enhanced-sag": ["dc36ceeb"],
    "philips-enhanced-sag": ["bae916a0"],
    "syntax-explicit-le": ["ef8b23b0"],
    "syntax-implicit-le": ["776b5246"],
    "syntax-rle": ["777f2330"],
    "syntax-jpeg-lossless": ["777f2330"],
    "syntax-jpeg-ls": ["777f2330"],
    "syntax-jpeg2000": ["777f2330"],
    "siemens-two-echoes-axial": ["a7c54c0b", "618fb17b"],
    "siemens-mosaic-sag": ["400d5d49", "0c07bc10"],
    "ge-three-plane-localizer": ["9730c7ea", "e023b38b", "ebdaa096"],
    "siemens-enhanced-derived-tracew": ["607501ed"],
}
MATRIX = {
    "siemens-sag-t1-gap": ((20, 256, 256), (4.8, 1.015625, 1.015625)),
    "siemens-xa30-enhanced-sag": ((96, 128, 128), (2, 2, 2)),
    "philips-enhanced-sag": ((8, 256, 256), (1.2, 1, 1)),
    "siemens-two-echoes-axial": ((64, 64, 8), (3, 3, 3.6)),
    "canon-sag-dti-several-volumes": ((4, 80, 80), (3, 3, 3)),
    "siemens-mosaic-sag": ((36, 64, 64), (3.6, 3.203125, 3.203125)),
}

Image = tuple[NDArray[np.float64], NDArray[np.float64]]


def _canonical(voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> Image:
    """Voxels and affine with axes to R, A, S as near as they go."""
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(np.asarray(voxels).astype(np.float64), affine))
    return np.asarray(image.get_fdata()), np.asarray(image.affine)


def _ours(volume: Volume) -> Image:
    return _canonical(volume.voxels, np.diag([-1.0, -1, 1, 1]) @ volume.geometry.affine)


def _digest(voxels: NDArray[np.float64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(voxels.astype("<i4")).tobytes()).hexdigest()[:8]


@cache
def _dcm2niix(name: str) -> list[Image]:
    """Every 3D volume that dcm2niix makes; -p n keeps the standard's rescale for Philips."""
    out = scanners.unpacked(prefix="dcm2niix-")
    program = Path(sys.executable).with_name("dcm2niix")
    options = ["-p", "n", "-z", "n", "-b", "n", "-f", "%s_%e_%q_%i"]
    subprocess.run([program, *options, "-o", out, scanners.folder(name)], check=True, capture_output=True)
    found: list[Image] = []
    for path in sorted(out.glob("*.nii")):
        image = nibabel.load(path)
        data = np.asarray(image.get_fdata())
        parts = np.moveaxis(data, 3, 0) if data.ndim == 4 else [data]
        found += [_canonical(part, np.asarray(image.affine)) for part in parts]
    return found


@cache
def _simpleitk(name: str) -> Image | None:
    """The one volume that SimpleITK reads of a series without doubles; none where it reads none."""
    folder = str(scanners.folder(name))
    reader = SimpleITK.ImageSeriesReader()
    files = reader.GetGDCMSeriesFileNames(folder)
    image = SimpleITK.ReadImage(files if len(files) > 1 else files[0])
    if image.GetDimension() != 3:
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return _canonical(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1.0, -1, 1, 1]) @ affine)


@pytest.mark.parametrize("name", sorted(HASHES))
def test_voxels_are_those_on_record(name: str) -> None:
    """Each volume, turned to R, A, S, has the checksum that two converters agreed on."""
    series = scanners.series(name)
    found = [_digest(_ours(rebuild(series, it.number))[0]) for it in volumes(series)]
    assert found == HASHES[name]


@pytest.mark.parametrize("name", sorted(MATRIX))
def test_matrix_and_spacing_are_those_on_record(name: str) -> None:
    """Shape and millimetres along R, A, S."""
    voxels, affine = _ours(rebuild(scanners.series(name), 1))
    assert voxels.shape == MATRIX[name][0]
    assert np.linalg.norm(affine[:3, :3], axis=0) == pytest.approx(MATRIX[name][1], abs=1e-4)


@pytest.mark.parametrize("name", sorted({*HASHES, "canon-sag-dti-several-volumes"}))
def test_every_volume_is_that_of_dcm2niix(name: str) -> None:
    """Same voxels, same affine to 1e-3 mm, one of ours for each of theirs."""
    theirs = _dcm2niix(name)
    series = scanners.series(name)
    ours = [_ours(rebuild(series, it.number)) for it in volumes(series)]
    assert len(ours) == len(theirs)
    for voxels, affine in ours:
        same = [
            other for values, other in theirs if values.shape == voxels.shape and np.allclose(values, voxels, atol=1e-3)
        ]
        assert any(np.abs(affine - other).max() < 1e-3 for other in same)


@pytest.mark.parametrize("name", ["siemens-sag-t1-gap", *(it for it in sorted(HASHES) if it.startswith("syntax"))])
def test_a_plain_series_is_that_of_simpleitk(name: str) -> None:
    """Same voxels, same affine to 1e-3 mm, for series of one volume."""
    theirs = _simpleitk(name)
    assert theirs is not None
    voxels, affine = _ours(rebuild(scanners.series(name)))
    assert np.array_equal(voxels, theirs[0])
    assert np.abs(affine - theirs[1]).max() < 1e-3


@pytest.mark.parametrize("name", ["siemens-xa30-enhanced-sag", "philips-enhanced-sag"])
def test_an_enhanced_image_has_the_voxels_of_simpleitk(name: str) -> None:
    """One multi-frame file: the same values on the same grid."""
    theirs = _simpleitk(name)
    assert theirs is not None
    voxels, affine = _ours(rebuild(scanners.series(name)))
    assert np.allclose(voxels, theirs[0], atol=1e-3)
    assert np.abs(affine - theirs[1]).max() < 1e-3


def test_a_missing_slice_of_a_scanner_is_refused_with_the_numbers() -> None:
    """Steps of 5, 5 and 10 mm: no volume, and the sentence says where."""
    with pytest.raises(Unusable, match=r"1 slice is missing: steps are 5\.00 mm, but 10\.00 mm"):
        rebuild(scanners.series("uneven-slice-steps-ct"))


def test_of_two_echoes_the_longer_is_chosen() -> None:
    """Without a number, the volume with the longest plausible echo."""
    assert rebuild(scanners.series("siemens-two-echoes-axial")).echo_time_ms == 7.65
