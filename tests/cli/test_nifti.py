"""NIfTI files as volumes and back: sound to the last byte, placed as they say, and no array of the caller changed."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from spineps_pacs.analysis.semantic import limited
from spineps_pacs.cli import nifti, segment
from spineps_pacs.domain.errors import Unusable


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small image of 16 bits, placed obliquely."""
    turn = np.array([[0, 0.8, -0.6, 10], [0, 0.6, 0.8, -20], [4, 0, 0, 30], [0, 0, 0, 1.0]])
    path = tmp_path / "source.nii"
    nibabel.save(nibabel.Nifti1Image(np.arange(5 * 16 * 12, dtype=np.int16).reshape(5, 16, 12), turn), path)
    return path


def test_the_callers_array_stays_his_own() -> None:
    """He may write to it afterwards, and what he writes is not in the volume."""
    array = np.arange(27, dtype=np.int16).reshape(3, 3, 3)
    volume = nifti.volume_of(array, np.eye(4), ras=True)
    array[0, 0, 0] = 99
    assert volume.voxels[0, 0, 0] == 0
    assert not volume.voxels.flags.writeable


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_bytes_are_widened(kind: type[np.integer]) -> None:
    """The range of 8 bits is more than 8 bits with a sign hold, and a bias that is taken away may leave them."""
    array = np.array([np.iinfo(kind).min, np.iinfo(kind).max] * 4, dtype=kind).reshape(2, 2, 2)
    volume = nifti.volume_of(array, np.eye(4), ras=True)
    assert volume.voxels.dtype == np.int16
    assert np.array_equal(volume.voxels, array)
    assert limited(volume.voxels).tolist() == (array.astype(int) - array.astype(int).min()).tolist()


def test_a_damaged_gzip_is_refused(source: Path, tmp_path: Path) -> None:
    """Bytes that still decode, to other voxels: the checksum at the end is read, and is not that of the content."""
    sound = gzip.compress(nibabel.load(source).to_bytes(), compresslevel=0, mtime=0)
    path = tmp_path / "t2.nii.gz"
    path.write_bytes(sound)
    assert nifti.read_nifti(path)[0].voxels.any()
    middle = len(sound) // 2
    path.write_bytes(sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :])
    with pytest.raises(Unusable, match=r"t2\.nii\.gz cannot be read as NIfTI: CRC check failed"):
        nifti.read_nifti(path)


@pytest.mark.parametrize(("sform", "qform"), [(0, 0), (0, 1), (3, 0), (1, 2)])
def test_masks_say_as_much_of_their_place_as_the_file(
    sform: int, qform: int, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same codes and matrices; where the file has neither, a note on stderr and in the volume says what follows."""
    changed = nibabel.load(source)
    changed.set_sform(changed.affine, code=sform)
    changed.set_qform(changed.affine, code=qform)
    nibabel.save(changed, tmp_path / "changed.nii")
    notes = [nifti.NOWHERE] if not sform and not qform else []
    read = segment.read(tmp_path / "changed.nii")
    assert capsys.readouterr().err.splitlines() == [f"note: {note}" for note in notes]
    volume, placing = nifti.read_nifti(tmp_path / "changed.nii")
    assert list(volume.notes) == notes
    assert read.placing is not None
    (tmp_path / "mask.nii.gz").write_bytes(nifti.as_nifti(np.ones(changed.shape, np.uint8), placing))
    saved, mask = nibabel.load(tmp_path / "changed.nii"), nibabel.load(tmp_path / "mask.nii.gz")
    assert np.allclose(mask.affine, saved.affine, atol=1e-4)
    for told, wanted in ((mask.get_sform(True), saved.get_sform(True)), (mask.get_qform(True), saved.get_qform(True))):
        assert told[1] == wanted[1]
        assert wanted[0] is None or np.allclose(told[0], wanted[0], atol=1e-4)
