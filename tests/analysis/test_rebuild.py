"""A series becomes the right volume, or a sentence says why not; made-up series whose every voxel is known."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import made_dicom as made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
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


@pytest.mark.parametrize(
    ("fat", "water"), [("FAT", "WATER"), ("F", "W"), ("OPP_PHASE", "IN_PHASE"), ("OP", "IP"), ("FAT", "IN_PHASE")]
)
def test_of_dixon_images_fat_and_opposed_phase_are_not_chosen(fat: str, water: str) -> None:
    """Whatever comes first by name: water or in phase is the volume, without a rival."""
    every = [
        it
        for seed, kind in enumerate((water, fat))
        for it in made.series(*made.grid(), seed=seed, ImageType=["ORIGINAL", "PRIMARY", "DIXON", kind])
    ]
    chosen = rebuild(made.gathered(every))
    assert made.differs(chosen) == 0
    assert not chosen.notes
    assert made.differs(rebuild(made.gathered(every[7:])), seed=1) == 0, "alone, it is still a volume"


def test_the_attribute_that_makes_whole_volumes_splits_a_time_series() -> None:
    """Trigger times of interleaved slices meet by chance in few values; the acquisition number tells the volumes."""
    every = [
        it
        for time in range(4)
        for it in made.series(
            *made.grid(),
            seed=time,
            AcquisitionNumber=time + 1,
            TriggerTime=lambda at, time=time: str(100 * ((3 * at + time) % 4 if at % 2 else time // 2)),
            InstanceNumber=lambda at, time=time: 10 * time + at,
        )
    ]
    series = made.gathered(every)
    assert [it.role for it in volumes(series)] == [f"sagittal; acquisition {n}" for n in range(1, 5)]
    assert all(made.differs(rebuild(series, n + 1), seed=n) == 0 for n in range(4))


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


def test_no_image_and_no_such_volume_are_said() -> None:
    """An empty series, and a number beyond the list."""
    with pytest.raises(Unusable, match="no image"):
        rebuild(made.gathered([]))
    with pytest.raises(Unusable, match="no volume 2: the series has 1"):
        rebuild(made.gathered(base()), 2)


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
