"""A series becomes the right volume, or a sentence says why not; made-up series whose every voxel is known."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import made_dicom as made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian
from scipy.spatial.transform import Rotation

from spineps_pacs.analysis.planes import planes
from spineps_pacs.analysis.rebuild import found_in, rebuild, volumes
from spineps_pacs.domain.errors import Unusable

AXES = [
    np.array([[sign * (axis == place) for sign, place in zip(signs, order, strict=True)] for axis in range(3)], float)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def base() -> list[Dataset]:
    return made.series(*made.grid())


@pytest.mark.parametrize("turned", range(48))
def test_any_of_the_48_axis_orders_gives_the_same_world_image(turned: int) -> None:
    """However slices, rows and columns run through the patient, each voxel lies where its value belongs."""
    affine, shape = made.grid()
    affine[:3, :3] = AXES[turned] * np.array([4.0, 1.5, 1.25])
    volume = rebuild(made.gathered(made.series(affine, shape)))
    assert volume.voxels.shape == shape
    assert made.differs(volume) == 0
    assert np.allclose(np.abs(volume.geometry.affine[:3, :3]), np.abs(affine[:3, :3]), atol=1e-6)


@given(
    turn=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    order=st.permutations(range(7)),
    spacing=st.tuples(st.floats(0.3, 8), st.floats(0.2, 3), st.floats(0.2, 3)),
)
@settings(max_examples=60, deadline=None)
def test_any_rotation_in_any_order_gives_the_same_world_image(
    turn: tuple[float, ...], order: list[int], spacing: tuple[float, float, float]
) -> None:
    """An oblique phantom whose slices come in any order is where it was; decimal strings round to 1e-4 mm at most."""
    affine, shape = made.grid(spacing=spacing, rotation=Rotation.from_euler("xyz", turn).as_matrix())
    datasets = made.series(affine, shape)
    volume = rebuild(made.gathered([datasets[at] for at in order]))
    assert made.differs(volume) <= 1
    assert volume.geometry.spacing == pytest.approx(spacing, abs=1e-4)


@given(st.tuples(*[st.floats(-3.1, 3.1)] * 3), st.lists(st.tuples(*[st.floats(-50, 50)] * 3), min_size=1))
@settings(max_examples=40, deadline=None)
def test_voxel_to_world_to_voxel_is_the_identity(turn: tuple[float, ...], index: list[tuple[float, ...]]) -> None:
    """The affine of a rebuilt volume leads there and back."""
    affine, shape = made.grid(rotation=Rotation.from_euler("xyz", turn).as_matrix())
    geometry = rebuild(made.gathered(made.series(affine, shape))).geometry
    assert np.allclose(geometry.to_index(geometry.to_world(np.array(index))), index, atol=1e-6)


@given(st.permutations(range(14)))
@settings(max_examples=25, deadline=None)
def test_the_list_of_volumes_does_not_depend_on_the_order_of_arrival(order: list[int]) -> None:
    """Two echoes in one series, shuffled: the same two volumes in the same order, the same one chosen."""
    affine, shape = made.grid()
    datasets = made.series(affine, shape, EchoTime="11") + made.series(affine, shape, seed=1, EchoTime="102")
    series = made.gathered([datasets[at] for at in order])
    assert [it.echo_time_ms for it in volumes(series)] == [11, 102]
    chosen = rebuild(series)
    assert chosen.echo_time_ms == 102
    assert made.differs(chosen, seed=1) == 0
    assert made.differs(rebuild(series, 1)) == 0


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


def test_duplicates_of_one_content_count_once() -> None:
    """A slice sent twice under its UID, or again under another UID, changes nothing."""
    twice = base() + base()[2:4]
    again = base()[3:4]
    again[0].SOPInstanceUID = f"{made.ROOT}.77"
    for datasets in (twice, base() + again):
        volume = rebuild(made.gathered(datasets))
        assert volume.voxels.shape == (7, 16, 12)
        assert made.differs(volume) == 0


def test_another_content_under_one_uid_is_stated() -> None:
    """Two different images that share a UID and a place: the first acquired is used, and a note says so."""
    other = made.series(*made.grid(), seed=1)[3]
    other.SOPInstanceUID, other.InstanceNumber = base()[3].SOPInstanceUID, 99
    volume = rebuild(made.gathered([*base(), other]))
    assert made.differs(volume) == 0
    assert any("share a SOP Instance UID" in note for note in volume.notes)
    assert any("several images" in note for note in volume.notes)


@pytest.mark.parametrize(
    ("attribute", "value", "role"),
    [
        ("EchoTime", "11", "echo time"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "P", "ND"], "image type"),
        ("DiffusionBValue", 800.0, "b-value"),
        ("TemporalPositionIdentifier", 2, "time point"),
        ("AcquisitionNumber", 2, "acquisition"),
        ("StackID", "2", "stack"),
    ],
)
def test_what_differs_splits_a_series(attribute: str, value: object, role: str) -> None:
    """Two images of every place are told apart by what differs; the magnitude with the long echo and b 0 is chosen."""
    affine, shape = made.grid()
    extra = made.series(affine, shape, seed=1, **{attribute: value})
    first = made.series(affine, shape, **({"TemporalPositionIdentifier": 1} if role == "time point" else {}))
    for at, dataset in enumerate(extra):
        dataset.SOPInstanceUID, dataset.InstanceNumber = f"{made.ROOT}.5.{at}", 50 + at
    series = made.gathered([*extra, *first])
    assert len(volumes(series)) == 2
    assert all(role in it.role for it in volumes(series))
    chosen = rebuild(series)
    assert made.differs(chosen) == 0
    ambiguous = role in ("time point", "acquisition", "stack")
    assert any("as plausible" in note for note in chosen.notes) == ambiguous


def test_an_attribute_that_varies_from_slice_to_slice_splits_nothing() -> None:
    """Trigger and acquisition times of a single stack differ by slice and are no reason to split."""
    datasets = made.series(*made.grid(), TriggerTime=lambda at: f"{at * 31.5}", AcquisitionNumber=lambda at: at + 1)
    found = volumes(made.gathered(datasets))
    assert len(found) == 1
    assert not found[0].reason


def test_images_that_nothing_tells_apart_are_taken_in_turn() -> None:
    """A time series known only by its instance numbers: the first of each place is one volume."""
    affine, shape = made.grid()
    late = made.series(affine, shape, seed=1, InstanceNumber=lambda at: 100 + at)
    series = made.gathered(late[::-1] + made.series(affine, shape))
    assert made.differs(rebuild(series, 1)) == 0
    assert made.differs(rebuild(series, 2), seed=1) == 0


def test_orientations_and_matrices_are_told_apart() -> None:
    """A localizer slice, or one of another matrix, mixed into a series does not touch the stack."""
    stray = made.series(*made.grid((1, 16, 12), rotation=Rotation.from_euler("z", 90, degrees=True).as_matrix()))
    large = made.series(*made.grid((1, 32, 32)))
    for at, dataset in enumerate([*stray, *large]):
        dataset.SOPInstanceUID = f"{made.ROOT}.6.{at}"
    series = made.gathered([*stray, *large, *base()])
    assert sorted(it.shape for it in volumes(series)) == [(1, 16, 12), (1, 32, 32), (7, 16, 12)]
    assert made.differs(rebuild(series)) == 0
    assert rebuild(series).voxels.shape == (7, 16, 12)


def test_stations_in_one_series_are_told_apart() -> None:
    """Two sagittal stations at the same slice positions, one above the other, are two volumes."""
    upper, shape = made.grid(origin=(-20, -90, 120))
    lower, _ = made.grid(origin=(-20, -90, -180))
    below = made.series(lower, shape)
    for dataset in below:
        dataset.SOPInstanceUID += ".1"
    series = made.gathered(below + made.series(upper, shape))
    assert len(volumes(series)) == 2
    assert [made.differs(rebuild(series, number)) for number in (1, 2)] == [0, 0]


def test_a_missing_slice_is_refused_with_the_numbers_or_filled() -> None:
    """One missing inner slice: refused with step and place; filled and noted where that is asked for."""
    datasets = base()
    del datasets[3]
    series = made.gathered(datasets)
    with pytest.raises(Unusable, match=r"1 slice is missing: steps are 4\.00 mm, but 8\.00 mm at 4\.0 to 12\.0 mm"):
        rebuild(series)
    filled = rebuild(series, fill_missing=True)
    assert filled.voxels.shape == (7, 16, 12)
    assert any("slice 4 was filled" in note for note in filled.notes)
    assert filled.frames[3].sop_instance_uid == ""
    whole = rebuild(made.gathered(base()))
    kept = [0, 1, 2, 4, 5, 6]
    assert np.array_equal(filled.voxels[kept], whole.voxels[kept])
    assert np.allclose(filled.geometry.affine, whole.geometry.affine, atol=1e-6)
    two = [dataset for at, dataset in enumerate(base()) if at not in (2, 4)]
    with pytest.raises(Unusable, match="2 slices are missing"):
        rebuild(made.gathered(two), fill_missing=True)


def test_uneven_and_tilted_stacks_are_refused_with_the_numbers() -> None:
    """Steps that vary, and slices that step away from their normal, are no volume."""
    uneven = base()
    uneven[3].ImagePositionPatient[0] += 1.5
    with pytest.raises(Unusable, match=r"not evenly spaced: steps from 2\.50 to 5\.50 mm"):
        rebuild(made.gathered(uneven))
    tilted = base()
    for at, dataset in enumerate(tilted):
        dataset.ImagePositionPatient[2] += at * 4 * np.tan(np.radians(12))
    with pytest.raises(Unusable, match=r"tilted: they step 12\.0 degrees"):
        rebuild(made.gathered(tilted))


def test_rounded_headers_are_no_reason_to_refuse() -> None:
    """Positions rounded to 0.1 mm, cosines to four digits with jitter, and a wrong thickness still make a volume."""
    affine, shape = made.grid(
        (15, 16, 12), (3.3333, 1.5, 1.25), Rotation.from_euler("xyz", (3, 11, -7), degrees=True).as_matrix()
    )
    datasets = made.series(affine, shape, SliceThickness="2", SpacingBetweenSlices="9")
    jitter = np.random.default_rng(5)
    for dataset in datasets:
        dataset.ImagePositionPatient = [f"{float(v):.1f}" for v in dataset.ImagePositionPatient]
        dataset.ImageOrientationPatient = [
            f"{float(v) + jitter.uniform(-1e-4, 1e-4):.4f}" for v in dataset.ImageOrientationPatient
        ]
    volume = rebuild(made.gathered(datasets))
    assert volume.voxels.shape == shape
    backwards = made.places(volume.geometry.affine, shape)[::-1]
    assert np.abs(backwards - made.places(affine, shape)).max() < 0.15


def test_a_single_slice_is_a_volume_of_its_thickness() -> None:
    """One slice lies where it lies; its extent is the spacing between slices, else the thickness."""
    volume = rebuild(made.gathered(base()[:1]))
    assert volume.voxels.shape == (1, 16, 12)
    assert volume.geometry.spacing == pytest.approx((4.0, 1.5, 1.25))
    assert made.differs(volume) == 0


def test_overlapping_slices_are_a_volume() -> None:
    """Slices thicker than their distance lie at their positions."""
    volume = rebuild(made.gathered(made.series(*made.grid(), SliceThickness="8")))
    assert volume.geometry.spacing[0] == pytest.approx(4)
    assert made.differs(volume) == 0


@pytest.mark.parametrize(
    ("keyword", "value", "sentence"),
    [
        ("ImageOrientationPatient", None, "Image Orientation"),
        ("ImagePositionPatient", None, "Image Position"),
        ("PixelSpacing", None, "Pixel Spacing"),
        ("PixelSpacing", ["0", "1"], "Pixel Spacing"),
        ("PixelSpacing", ["1e-9", "1"], "Pixel Spacing"),
        ("ImagePositionPatient", ["0", "0", "3e8"], "Image Position"),
        ("RescaleSlope", "1e29", "rescale slope of 1e"),
        ("ImageOrientationPatient", ["1", "0", "0", "1", "0", "0"], "right angles"),
        ("ImageOrientationPatient", ["0"] * 6, "lengths 0.000"),
        ("PixelData", None, "no pixel data"),
        ("PixelData", b"\0" * 20, "hold 20 of 384 bytes"),
        ("SamplesPerPixel", 3, "colour"),
        ("PhotometricInterpretation", "PALETTE COLOR", "colour"),
        ("BitsAllocated", 12, "12 bits"),
        ("Rows", 0, "no image"),
    ],
)
def test_what_allows_no_volume_is_refused_with_a_sentence(keyword: str, value: object, sentence: str) -> None:
    """Without place, size or pixels there is no volume, and the sentence names what is missing."""
    datasets = base()
    for dataset in datasets:
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    with pytest.raises(Unusable, match=sentence):
        rebuild(made.gathered(datasets))


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


def test_no_image_and_no_such_volume_are_said() -> None:
    """An empty series, and a number beyond the list."""
    with pytest.raises(Unusable, match="no image"):
        rebuild(made.gathered([]))
    with pytest.raises(Unusable, match="no volume 2: the series has 1"):
        rebuild(made.gathered(base()), 2)


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


def test_a_reference_slice_with_a_longer_echo_is_not_chosen() -> None:
    """A single sagittal slice of another matrix and a longer echo does not outdo the stack."""
    stray = made.series(*made.grid((1, 32, 32)), EchoTime="180", SOPInstanceUID=f"{made.ROOT}.8")
    assert rebuild(made.gathered([*stray, *base()])).voxels.shape == (7, 16, 12)


def test_volumes_that_moved_a_little_between_time_points_are_told_apart() -> None:
    """A scanner that follows the head shifts each time point by a fraction of a slice."""
    affine, shape = made.grid()
    late = affine.copy()
    late[:3, 3] += 0.4
    moved = made.series(late, shape, seed=1, AcquisitionNumber=2)
    series = made.gathered(made.series(affine, shape) + moved)
    assert len(volumes(series)) == 2
    assert [made.differs(rebuild(series, number), seed=number - 1) for number in (1, 2)] == [0, 0]


def test_ge_complex_images_are_told_apart_and_the_magnitude_is_chosen() -> None:
    """GE sends magnitude, phase, real and imaginary images under one image type, with a private number."""
    every = []
    for code in (3, 0, 1, 2):
        part = made.series(*made.grid(), seed=code, InstanceNumber=lambda at, code=code: 100 * code + at)
        for dataset in part:
            dataset.private_block(0x43, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", code)
        every += part
    series = made.gathered(every)
    assert len(volumes(series)) == 4
    assert made.differs(rebuild(series), seed=0) == 0


def test_thousands_of_scattered_planes_are_sorted_in_seconds() -> None:
    """Every plane turned or placed in its own way: as many volumes, without hanging."""
    dataset = made.series(*made.grid((1, 16, 12)))[0]
    (plane,) = planes(dataset)
    chance = np.random.default_rng(3)
    turned = Rotation.random(2000, rng=chance).as_matrix()
    oriented = [replace(plane, orientation=(*turn[:, 0], *turn[:, 1])) for turn in turned]
    placed = [replace(plane, position=tuple(chance.uniform(-900, 900, 3))) for _ in range(2000)]
    start = time.process_time()
    numbered = [replace(it, sop_instance_uid=str(at)) for at, it in enumerate([*oriented, *placed])]
    assert len(found_in(numbered)) > 500
    assert time.process_time() - start < 20


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
