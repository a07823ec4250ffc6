"""Stored pixels are read by what their bytes are, also where the header says something else."""

from __future__ import annotations

import made_dicom as made
import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from spineps_pacs.analysis.codestreams import declared, decodable
from spineps_pacs.analysis.rebuild import rebuild
from spineps_pacs.domain.errors import Unusable

GE_BIG_ENDIAN = UID("1.2.840.113619.5.2")


def compressed(actual: UID, stated: UID) -> list[Dataset]:
    """A series in one transfer syntax, whose files name another one."""
    datasets = made.series(*made.grid((3, 48, 40)))
    for dataset in datasets:
        dataset.compress(actual, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = stated
    return datasets


@pytest.mark.parametrize("actual", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("stated", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSNearLossless, RLELossless])
def test_a_codestream_is_decoded_as_what_it_is(actual: UID, stated: UID) -> None:
    """A wrong word about the transfer syntax costs nothing while the codestream says what it is."""
    assert made.differs(rebuild(made.gathered(compressed(actual, stated)))) == 0


def test_run_lengths_under_another_name_are_refused() -> None:
    """RLE names itself nowhere: under a wrong transfer syntax it is no image."""
    with pytest.raises(Unusable, match="frame 1 is no image of the transfer syntax Explicit VR Little Endian"):
        rebuild(made.gathered(compressed(RLELossless, ExplicitVRLittleEndian)))


def test_plain_pixels_under_a_compressed_name_are_read() -> None:
    """Pixels of just the size of the image, without an item around them, are not compressed."""
    datasets = made.series(*made.grid((3, 48, 40)))
    for dataset in datasets:
        dataset.file_meta.TransferSyntaxUID = RLELossless
    assert made.differs(rebuild(made.gathered(datasets))) == 0


def test_big_endian_pixels_of_ge_are_read() -> None:
    """GE's private syntax: little-endian header, big-endian pixels."""
    datasets = made.series(*made.grid((3, 48, 40)))
    for dataset in datasets:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = GE_BIG_ENDIAN
    assert made.differs(rebuild(made.gathered(datasets))) == 0


def test_twelve_bits_of_jpeg_extended_are_read_as_simpleitk_reads_them() -> None:
    """The lossy process with 12 bits a pixel."""
    path = get_testdata_file("JPGExtended.dcm", download=False)
    dataset = dcmread(path)
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [1, 1]
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    found = rebuild(made.gathered([dataset])).voxels
    assert dataset.BitsStored == 12
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", [True, False])
def test_fragments_of_a_frame_are_joined(fragments: int, table: bool) -> None:
    """One frame in several fragments, with a Basic Offset Table or an empty one."""
    datasets = compressed(JPEG2000Lossless, JPEG2000Lossless)
    for dataset in datasets:
        (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = encapsulate([stream], fragments_per_frame=fragments, has_bot=table)
    assert made.differs(rebuild(made.gathered(datasets))) == 0


def test_a_broken_codestream_declares_nothing_and_keeps_its_name() -> None:
    """Bytes that begin like an image and are none."""
    for stream in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\xff\xff", b"\xff\x4f\xff\x51\x00", b"\xff\xd8\x00\x00\x00\x00"):
        assert declared(stream) is None
        assert decodable(stream, RLELossless) == RLELossless
