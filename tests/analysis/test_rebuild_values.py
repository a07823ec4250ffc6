"""The voxels of a rebuilt volume are the values that the pixels stand for, however they are stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import made_dicom as made
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian

from spineps_pacs.analysis.planes import planes
from spineps_pacs.analysis.rebuild import found_in, load, rebuild, volumes
from spineps_pacs.domain.errors import Unusable


def base() -> list[Dataset]:
    return made.series(*made.grid())


@pytest.mark.parametrize("shared", [True, False])
def test_enhanced_mr_reads_shared_and_per_frame_groups(shared: bool) -> None:
    """Functional groups may be shared or repeated in each frame; the frames name their number."""
    dataset = made.enhanced(*made.grid(), shared=shared)
    volume = rebuild(made.gathered([dataset]))
    assert made.differs(volume) == 0
    assert volume.echo_time_ms == 102
    assert sorted(frame.number or 0 for frame in volume.frames) == list(range(1, 8))


def test_enhanced_frames_are_sorted_by_position_not_by_index() -> None:
    """Frames stored in any order are laid where their positions say."""
    dataset = made.enhanced(*made.grid())
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(7, 16, 12)
    order = [3, 0, 6, 1, 5, 2, 4]
    dataset.PerFrameFunctionalGroupsSequence = Sequence([frames[at] for at in order])
    made.set_pixels(dataset, pixels[order])
    volume = rebuild(made.gathered([dataset]))
    assert made.differs(volume) == 0
    assert [frame.number for frame in volume.frames][::-1] == [order.index(at) + 1 for at in range(7)]


def test_frames_are_counted_by_their_groups_where_nobody_says_how_many() -> None:
    """Number of Frames is missing: each described frame is one."""
    dataset = made.enhanced(*made.grid())
    del dataset.NumberOfFrames
    volume = rebuild(made.gathered([dataset]))
    assert volume.voxels.shape == (7, 16, 12)
    assert made.differs(volume) == 0


def test_rescale_of_each_frame_is_applied() -> None:
    """Slope and intercept that differ from slice to slice give one scale of real values."""
    datasets = base()
    for at, dataset in enumerate(datasets):
        slope, intercept = 0.5 + at, -20.0 * at
        dataset.RescaleSlope, dataset.RescaleIntercept = str(slope), str(intercept)
        stored = np.round((np.frombuffer(dataset.PixelData, "<u2").reshape(16, 12) - intercept) / slope)
        made.set_pixels(dataset, stored)
    volume = rebuild(made.gathered(datasets))
    assert volume.voxels.dtype == np.float32
    assert made.differs(volume) <= 6.5 / 2


def test_integral_rescale_stays_integer() -> None:
    """A slope of 1 and an intercept of -1024 keep integers, signed where they must be."""
    datasets = base()
    for dataset in datasets:
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-2000"
    volume = rebuild(made.gathered(datasets))
    assert volume.voxels.dtype == np.int16
    assert int(volume.voxels.min()) < 0
    assert np.array_equal(volume.voxels + 2000, rebuild(made.gathered(base())).voxels)


def test_a_philips_private_scale_does_not_change_the_values() -> None:
    """The displayed value is the standard's; (2005,100E) only leads on to a floating point scale of its own."""
    datasets = base()
    for dataset in datasets:
        dataset.Manufacturer = "Philips"
        dataset.RescaleSlope, dataset.RescaleIntercept = "2", "0"
        block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.0125)
        block.add_new(0x0D, "FL", 3.0)
    doubled = rebuild(made.gathered(datasets)).voxels
    assert np.array_equal(doubled, 2 * rebuild(made.gathered(base())).voxels.astype(int))


def _signed(dataset: Dataset, values: np.ndarray) -> None:
    made.set_pixels(dataset, values - 1600, signed=True)


def _twelve_bits_not_extended(dataset: Dataset, values: np.ndarray) -> None:
    made.set_pixels(dataset, (values - 1600) & 0xFFF)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 1


def _shifted_up(dataset: Dataset, values: np.ndarray) -> None:
    made.set_pixels(dataset, (((values - 1600) & 0xFFF) << 4).astype(np.uint16))
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 15, 1


def _big_endian(dataset: Dataset, values: np.ndarray) -> None:
    made.set_pixels(dataset, values - 1600, signed=True)
    dataset.PixelData = (values - 1600).astype(">i2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian


@pytest.mark.parametrize("store", [_signed, _twelve_bits_not_extended, _shifted_up, _big_endian])
def test_signed_pixels_are_read_in_any_layout(store: Callable[[Dataset, np.ndarray], None]) -> None:
    """Two's complement of 16 or of 12 bits, low or high in the word, in either byte order."""
    datasets = base()
    for dataset in datasets:
        store(dataset, np.frombuffer(dataset.PixelData, "<u2").reshape(16, 12).astype(int))
    truth = rebuild(made.gathered(base())).voxels.astype(int) - 1600
    assert np.array_equal(rebuild(made.gathered(datasets)).voxels, truth)


def test_an_overlay_in_the_high_bits_is_no_pixel() -> None:
    """Bits above the high bit where an overlay is declared are left out; undeclared, the values stay whole."""
    datasets = base()
    for dataset in datasets:
        values = np.frombuffer(dataset.PixelData, "<u2").reshape(16, 12) | 0x8000
        made.set_pixels(dataset, values)
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.add_new((0x6000, 0x0100), "US", 16)
        dataset.add_new((0x6000, 0x0102), "US", 15)
    assert made.differs(rebuild(made.gathered(datasets))) == 0
    for dataset in datasets:
        del dataset[0x6000, 0x0100]
    assert int(rebuild(made.gathered(datasets)).voxels.min()) >= 0x8000


def test_eight_bit_and_float_pixels_are_read() -> None:
    """8-bit integers, and Float Pixel Data, beside the usual 16 bits."""
    small, real = base(), base()
    for one, two in zip(small, real, strict=True):
        values = np.frombuffer(one.PixelData, "<u2").reshape(16, 12)
        one.PixelData, one.BitsAllocated, one.BitsStored, one.HighBit = (values >> 4).astype("u1").tobytes(), 8, 8, 7
        del two.PixelData
        two.FloatPixelData = (values / 8).astype("<f4").tobytes()
    truth = rebuild(made.gathered(base())).voxels
    assert np.array_equal(rebuild(made.gathered(small)).voxels, truth >> 4)
    assert np.allclose(rebuild(made.gathered(real)).voxels, truth / 8)


def test_bytes_with_a_sign_lose_nothing_to_later_arithmetic() -> None:
    """From -100 to 127 are 228 values: what is rebuilt holds their differences."""
    datasets = base()
    for dataset in datasets:
        values = np.linspace(-100, 127, 16 * 12).astype("i1")
        made.set_pixels(dataset, values.reshape(16, 12), signed=True)
        dataset.PixelData, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = values.tobytes(), 8, 8, 7
    voxels = rebuild(made.gathered(datasets)).voxels
    assert voxels.dtype == np.int16
    assert (int(voxels.min()), int(voxels.max()), int((voxels - voxels.min()).max())) == (-100, 127, 227)


@pytest.mark.parametrize("signed", [False, True])
def test_monochrome1_is_inverted_and_noted(signed: bool) -> None:
    """What is seen white is bright in the values too, over the whole range of 16 bits and of the same values."""
    plain, inverse = base(), base()
    for one, two in zip(plain, inverse, strict=True):
        values = np.frombuffer(one.PixelData, "<u2").reshape(16, 12).astype(np.int64) * 21 - 32768 * signed
        made.set_pixels(one, values, signed=signed)
        made.set_pixels(two, -1 - values if signed else 65535 - values, signed=signed)
        two.PhotometricInterpretation = "MONOCHROME1"
    seen, turned = rebuild(made.gathered(plain)), rebuild(made.gathered(inverse))
    brighter = turned.voxels.astype(np.int64) - seen.voxels
    assert (brighter == brighter.flat[0]).all(), "the same image, but for a constant"
    assert turned.voxels.max() == max(int(_stored(it, signed).max()) for it in inverse)
    assert not seen.notes
    assert turned.notes == ("the images are MONOCHROME1: their values were inverted",)


def _stored(dataset: Dataset, signed: bool) -> np.ndarray:
    return np.frombuffer(dataset.PixelData, "<i2" if signed else "<u2")


def test_monochrome1_of_ct_stays_and_a_mixture_is_refused() -> None:
    """Hounsfield units are what they are; images of which some are inverted are not one volume."""
    datasets = base()
    for dataset in datasets:
        dataset.PhotometricInterpretation, dataset.Modality = "MONOCHROME1", "CT"
    volume = rebuild(made.gathered(datasets))
    assert made.differs(volume) == 0
    assert not volume.notes
    datasets[3].Modality = "MR"
    with pytest.raises(Unusable, match="1 of 7 images are MONOCHROME1, the others"):
        rebuild(made.gathered(datasets))


def test_a_modality_lut_is_applied() -> None:
    """A table instead of slope and intercept."""
    datasets = base()
    for dataset in datasets:
        values = np.frombuffer(dataset.PixelData, "<u2").reshape(16, 12)
        made.set_pixels(dataset, values // 16)
        lut = made.item(LUTDescriptor=[256, 0, 16], ModalityLUTType="US")
        lut.add_new("LUTData", "OW", (np.arange(256) * 16).astype("<u2").tobytes())
        lut["LUTDescriptor"].VR = "US"
        dataset.ModalityLUTSequence = Sequence([lut])
    assert made.differs(rebuild(made.gathered(datasets))) < 16


def test_a_header_that_claims_gigabytes_is_refused_before_memory_is_taken() -> None:
    """40,000 x 40,000 pixels in a file of 400 bytes: a sentence, and no allocation."""
    datasets = base()
    for dataset in datasets:
        dataset.Rows = dataset.Columns = 40_000
    with pytest.raises(Unusable, match=r"3\.2 GB|more than a volume may take"):
        rebuild(made.gathered(datasets))
    claims = made.enhanced(*made.grid())
    claims.NumberOfFrames = 2_000_000_000
    assert rebuild(made.gathered([claims])).voxels.shape == (7, 16, 12)


def test_more_slices_than_a_volume_may_take_are_refused_before_memory_is_taken() -> None:
    """5,000 slices of a CT, of which only the first is ever read."""
    dataset = made.series(*made.grid((1, 512, 512)))[0]
    (plane,) = planes(dataset)
    many = [replace(plane, position=(4.0 * at, -90.0, 120.0), sop_instance_uid=str(at)) for at in range(5000)]
    (found,) = found_in(many)
    read: list[int] = []

    def reader(source: int) -> Dataset:
        read.append(source)
        return dataset

    with pytest.raises(Unusable, match=r"5000 slices of 512 x 512 pixels would take 2\.6 GB"):
        load(found, reader)
    assert read == [0]


def test_slices_of_several_kinds_make_one_that_holds_them_all() -> None:
    """Unsigned, signed and real values from slice to slice, in any order."""
    expected = rebuild(made.gathered(base())).voxels.astype(np.float64)
    for intercepts in itertools.permutations(("0", "-1024", "0.5")):
        datasets = made.series(*made.grid(), RescaleIntercept=lambda at, of=intercepts: of[at % 3], RescaleSlope="1")
        found = rebuild(made.gathered(datasets))
        came = [int(frame.sop_instance_uid.rpartition(".")[2]) - 1 for frame in found.frames]
        change = np.array([float(intercepts[at % 3]) for at in came])
        assert found.voxels.dtype == np.float32  # exact for 16 bits
        assert np.array_equal(found.voxels - expected, np.broadcast_to(change[:, None, None], expected.shape))


def test_frames_without_groups_lie_at_their_offsets_or_are_refused() -> None:
    """A multi-frame image without functional groups needs a Grid Frame Offset Vector."""
    affine, shape = made.grid()
    dataset = made.series(affine, shape)[0]
    made.set_pixels(dataset, made.field(made.places(affine, shape)))
    dataset.NumberOfFrames = 7
    with pytest.raises(Unusable, match="7 frames do not say where they lie"):
        rebuild(made.gathered([dataset]))
    normal = np.cross(affine[:3, 2], affine[:3, 1])
    sign = np.sign(normal @ affine[:3, 0])
    dataset.GridFrameOffsetVector = [str(4.0 * at * sign) for at in range(7)]
    assert made.differs(rebuild(made.gathered([dataset]))) == 0


def test_one_bit_pixels_are_read() -> None:
    """Frames of one bit a pixel follow each other without padding, here across bytes."""
    affine, shape = made.grid((7, 5, 3))
    dataset = made.enhanced(affine, shape)
    bits = (made.field(made.places(affine, shape)) > 1600).astype(np.uint8)
    dataset.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes() + b"\0" * 2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    volume = rebuild(made.gathered([dataset]))
    assert np.array_equal(volume.voxels[::-1], bits)


def test_what_holds_no_image_makes_no_volume() -> None:
    """A spectrum has rows and columns but no pixels; a colour image is listed with its reason."""
    spectrum, colour = base()[0], base()[0]
    del spectrum.BitsAllocated, spectrum.PixelData
    assert volumes(made.gathered([spectrum])) == ()
    colour.SamplesPerPixel, colour.PhotometricInterpretation = 3, "RGB"
    assert "colour image" in volumes(made.gathered([colour]))[0].role
