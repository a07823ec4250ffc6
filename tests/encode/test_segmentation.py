"""Tests of the SEGs as a viewer reads them, with pydicom only."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from highdicom.color import CIELabColor

from encode.cases import DEMONSTRATION, FLIPS, OBLIQUE, OPTIONS, Wish, case, identity, read, seg, whole_spine
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Frame, Volume
from spineps_pacs.encode.options import KINDS
from spineps_pacs.encode.results import encode
from spineps_pacs.encode.segmentation import FRAMES_SHOWN_BY_ALL
from spineps_pacs.encode.segments import level_segments, structure_segments


@pytest.mark.parametrize("multiframe", [False, True])
def test_every_frame_has_its_one_source_image(multiframe: bool) -> None:
    """Each frame refers to exactly one source image that lies where the frame lies, in the same grid."""
    report, series = case(Wish(turned=OBLIQUE, multiframe=multiframe, spare_frames=2 * multiframe))
    ds = seg(report, series, "levels")
    sources = {s.SOPInstanceUID: s for s in series.datasets}
    assert [i.SeriesInstanceUID for i in ds.ReferencedSeriesSequence] == [series.series_uid]
    assert ds.FrameOfReferenceUID == series.datasets[0].FrameOfReferenceUID
    for group in ds.PerFrameFunctionalGroupsSequence:
        (reference,) = group.DerivationImageSequence[0].SourceImageSequence
        source = where = sources[reference.ReferencedSOPInstanceUID]
        if multiframe:
            number = reference.ReferencedFrameNumber
            where = source.PerFrameFunctionalGroupsSequence[number - 1].PlanePositionSequence[0]
        ours = group.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(ours, where.ImagePositionPatient, atol=1e-6)
        assert (ds.Rows, ds.Columns) == (source.Rows, source.Columns)


def test_voxels_come_back_frame_by_frame() -> None:
    """The bits of every frame are the mask of that segment on that slice."""
    report, series = case(Wish(flips=(-1, 1, -1)))
    ds = seg(report, series, "levels")
    positions = {frame.sop_instance_uid: k for k, frame in enumerate(report.volume.frames)}
    numbers = {segment.number: segment.instance for segment in level_segments(report)}
    seen = Counter()
    for pixels, group in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        k = positions[group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        instance = numbers[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
        np.testing.assert_array_equal(pixels, report.instances.labels[k] == instance)
        seen[instance] += int(pixels.sum())
    assert seen == {i: int((report.instances.labels == i).sum()) for i in numbers.values()}


@pytest.mark.parametrize("kind", ["structures", "levels"])
def test_segments_are_described_for_people_and_machines(kind: str) -> None:
    """Numbers 1 to n, distinct labels, category, type, region, colour, tracking and algorithm for each."""
    report, series = case()
    ds = seg(report, series, kind)
    plan = structure_segments(report) if kind == "structures" else level_segments(report)
    assert ds.SegmentsOverlap == "NO"
    assert [item.SegmentNumber for item in ds.SegmentSequence] == list(range(1, len(plan) + 1))
    assert [item.SegmentLabel for item in ds.SegmentSequence] == [segment.label for segment in plan]
    for item, segment in zip(ds.SegmentSequence, plan, strict=True):
        assert item.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
        assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == segment.code.value
        assert item.AnatomicRegionSequence[0].CodeValue == segment.region.value
        lab = CIELabColor.from_rgb(*segment.rgb)
        assert tuple(item.RecommendedDisplayCIELabValue) == tuple(lab.value)
        algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("SPINEPS", "0.1.0")
        assert "ab" * 32 in algorithm.AlgorithmParameters
        assert item.TrackingID == segment.tracked


def test_the_side_stands_inside_the_type() -> None:
    """Laterality modifies the property type, not the segment."""
    report, series = case()
    (item,) = [i for i in seg(report, series, "structures").SegmentSequence if "left" in i.SegmentLabel]
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"
    assert "SegmentedPropertyTypeModifierCodeSequence" not in item


def test_a_demonstration_says_so_everywhere() -> None:
    """Series, content, algorithm, segments and report of the embedded model say: not for diagnosis."""
    report, series = case(Wish(model=DEMONSTRATION))
    for result in encode(report, series, identity(report, series), replace(OPTIONS, pictures=False)):
        ds = read(result)
        assert "not for diagnosis" in ds.SeriesDescription
        assert len(ds.SeriesDescription) <= 64
        assert "not for diagnosis" in str(ds)
    for item in seg(report, series, "levels").SegmentSequence:
        assert "not for diagnosis" in item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName
        assert "not for diagnosis" in item.SegmentDescription
    assert "diagnosis" not in seg(*case(), "levels").SeriesDescription


def test_series_stand_beside_their_source() -> None:
    """Series number 3 gives 391 to 394, each kind its own series; without a number 91 and on; never beyond IS."""
    report, series = case()
    results = encode(report, series, identity(report, series), OPTIONS)
    found = {result.kind: read(result) for result in results}
    assert {kind: int(ds.SeriesNumber) for kind, ds in found.items()} == {
        "structures": 392, "levels": 391, "report": 393, "picture": 394,
    }  # fmt: skip
    assert len({ds.SeriesInstanceUID for ds in found.values()}) == 4
    assert seg(*case(Wish(patient=(("SeriesNumber", None),))), "levels").SeriesNumber == 91
    assert seg(*case(Wish(patient=(("SeriesNumber", 99999999),))), "levels").SeriesNumber == 2**31 - 1


def test_a_filled_in_slice_has_no_frame() -> None:
    """Nothing is written on a slice that has no source image."""
    report, series = case()
    frames = (*report.volume.frames[:3], Frame(report.volume.frames[3].sop_class_uid, ""), *report.volume.frames[4:])
    volume = Volume(report.volume.voxels, report.volume.geometry, frames)
    left = Series(series.series_uid, tuple(d for d in series.datasets if d.SOPInstanceUID != "1.2.3.4.2.4"))
    ds = seg(replace(report, volume=volume), left, "levels")
    references = {
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for group in ds.PerFrameFunctionalGroupsSequence
    }
    assert "1.2.3.4.2.4" not in references
    assert len(references) == len(np.unique(np.nonzero(report.instances.labels)[0])) - 1


def test_lossy_compression_of_the_source_is_told() -> None:
    """Once lossy, always lossy: flag, ratio and method are carried over."""
    lossy = (
        ("LossyImageCompression", "01"),
        ("LossyImageCompressionRatio", "12.5"),
        ("LossyImageCompressionMethod", "ISO_15444_1"),
    )
    ds = seg(*case(Wish(patient=lossy)), "levels")
    assert (ds.LossyImageCompression, float(ds.LossyImageCompressionRatio)) == ("01", 12.5)
    assert ds.LossyImageCompressionMethod == "ISO_15444_1"


@pytest.mark.parametrize("multiframe", [False, True])
def test_decimal_strings_are_short(multiframe: bool) -> None:
    """No DS that we write has more than 16 characters, however long the source's are."""
    report, series = case(Wish(turned=OBLIQUE, multiframe=multiframe))
    for result in encode(report, series, identity(report, series), OPTIONS):
        for element in read(result).iterall():
            if element.VR == "DS" and element.value is not None:
                values = element.value if element.VM > 1 else [element.value]
                assert all(len(str(value.original_string)) <= 16 for value in values), element


def test_the_body_part_is_the_sources_or_follows_from_the_levels() -> None:
    """LSPINE is copied; a source without one gets it from the levels found, SPINE for several regions."""
    without = (("BodyPartExamined", ""),)
    assert seg(*case(), "levels").BodyPartExamined == "LSPINE"
    assert seg(*case(Wish(patient=without, levels=(22, 23))), "levels").BodyPartExamined == "LSPINE"
    assert seg(*case(Wish(patient=without, levels=(5, 6))), "levels").BodyPartExamined == "CSPINE"
    assert seg(*case(Wish(patient=without, levels=(19, 20))), "levels").BodyPartExamined == "SPINE"


def test_a_split_keeps_a_whole_spine_below_the_limit_of_viewers() -> None:
    """Vertebrae and discs as two SEGs each stay below the number of frames at which a viewer gives up."""
    report, series = case(Wish(levels=whole_spine(), rows=330, slices=14))
    options = replace(OPTIONS, split_levels=True)
    assert seg(report, series, "levels").NumberOfFrames > FRAMES_SHOWN_BY_ALL
    for kind in ("vertebrae", "discs"):
        assert seg(report, series, kind, options).NumberOfFrames < FRAMES_SHOWN_BY_ALL


def test_label_maps_hold_the_same_voxels() -> None:
    """The label-map variant, compressed with RLE, is the same mask with one number a voxel."""
    report, series = case()
    ds = seg(report, series, "levels-labelmap")
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
    positions = {frame.sop_instance_uid: k for k, frame in enumerate(report.volume.frames)}
    for pixels, group in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        k = positions[group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        for segment in level_segments(report):
            np.testing.assert_array_equal(pixels == segment.number, report.instances.labels[k] == segment.instance)


@pytest.mark.parametrize("flips", FLIPS)
def test_a_mirrored_grid_is_the_same_patient(flips: tuple[int, int, int]) -> None:
    """In all 8 orientations of the index axes the left process lies where the mask has it, in patient coordinates."""
    report, series = case(Wish(flips=flips))
    ds = seg(report, series, "structures")
    (number,) = [i.SegmentNumber for i in ds.SegmentSequence if "left" in i.SegmentLabel]
    orientation = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    spacing = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    found = []
    for pixels, group in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number:
            rows, columns = np.nonzero(pixels)
            place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
            place = (
                place + np.outer(columns * spacing[1], orientation[:3]) + np.outer(rows * spacing[0], orientation[3:])
            )
            found.append(place)
    expected = report.volume.geometry.to_world(np.argwhere(report.structures.labels == 43))
    np.testing.assert_allclose(np.concatenate(found).mean(axis=0), expected.mean(axis=0), atol=1e-6)


def test_every_kind_has_a_place_of_its_own() -> None:
    """Suffixes below 10, labels that CS can hold; kinds that exclude each other, or speak of results, share one."""
    assert all(0 <= kind.suffix < 10 and len(kind.label) <= 16 for kind in KINDS.values())
    shared = [n for n, count in Counter(kind.suffix for kind in KINDS.values()).items() if count > 1]
    assert {kind.name for kind in KINDS.values() if kind.suffix in shared} == {
        *("levels", "vertebrae"),
        *("rejection", "study"),
    }
