"""Tests of the SR as a reader walks it: groups, numbers, points, words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import highdicom
import numpy as np
import pytest
from pydicom.dataset import Dataset

from encode.cases import CREATED, DEMONSTRATION, OPTIONS, Wish, case, identity, read
from spineps_pacs.domain.anatomy import LEVEL_IDS, SACRUM_ID
from spineps_pacs.domain.masks import UNCONFIRMED
from spineps_pacs.domain.report import Flag, FoldSpread, Measurement, Missing, Report, SecondOpinion
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.identity import Origin, Prior, identify
from spineps_pacs.encode.report_findings import anomaly
from spineps_pacs.encode.results import encode

PLAIN = replace(OPTIONS, pictures=False)
PARTS = ("126010", "121070")
"""Imaging Measurements, and the Findings that have no place on an image."""


def document(report: Report, series: Series, origin: Origin | None = None) -> Dataset:
    """The SR of a report."""
    who = identify(report, series, PLAIN, origin) if origin else identity(report, series, PLAIN)
    return read(next(r for r in encode(report, series, who, PLAIN) if r.kind == "report"))


@cache
def usual() -> Dataset:
    """The SR of the usual case, made once."""
    return document(*case())


def groups(ds: Dataset, label: str | None = None) -> Iterator[Dataset]:
    """The measurement groups, or those with one tracking identifier."""
    containers = [item for item in ds.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue in PARTS]
    for group in (group for container in containers for group in container.ContentSequence):
        if label is None or texts(group, "112039") == [label]:
            yield group


def items(parent: Dataset, code: str) -> list[Dataset]:
    """Children with a concept name."""
    return [i for i in parent.get("ContentSequence", ()) if i.ConceptNameCodeSequence[0].CodeValue == code]


def texts(parent: Dataset, code: str) -> list[str]:
    """Text values of children with a concept name."""
    return [str(i.TextValue) for i in items(parent, code)]


def codes(parent: Dataset, code: str) -> list[str]:
    """Code values of children with a concept name."""
    return [str(i.ConceptCodeSequence[0].CodeValue) for i in items(parent, code)]


def value(item: Dataset) -> tuple[float, str]:
    """Number and unit."""
    measured = item.MeasuredValueSequence[0]
    return float(measured.NumericValue), str(measured.MeasurementUnitsCodeSequence[0].CodeValue)


def test_each_level_has_its_segment_and_its_numbers() -> None:
    """The group of L4: segment, finding, site, volume, height with modifier, ratio, certainty, method."""
    ds = usual()
    group, _ = groups(ds, "L4")
    (segment,) = items(group, "121191")
    assert segment.ReferencedSOPSequence[0].ReferencedSegmentNumber == 2
    assert codes(group, "121071") == ["51282000"]
    assert codes(group, "363698007") == ["11994002"]
    assert value(items(group, "118565006")[0]) == (12346.7, "mm3")
    (height,) = items(group, "121207")
    assert value(height) == (25.123, "mm")
    (site,) = items(height, "363698007")
    assert site.ConceptCodeSequence[0].CodeValue == "71996003"
    assert codes(site, "106233006") == ["255549009"]
    assert value(items(height, "UNCERT95")[0]) == (1.0, "mm")
    assert value(items(group, "HEIGHTRATIO")[0]) == (0.9877, "1")
    assert value(items(group, "111012")[0]) == (90.0, "%")
    assert codes(group, "LVLMETHOD") == ["LVLMODEL"]


def test_a_disc_has_its_own_group() -> None:
    """Volume and middle height of L4-L5 stand under the disc."""
    group, _ = groups(usual(), "L4-L5")
    assert codes(group, "121071") == ["360499006"]
    assert codes(group, "363698007") == ["84020006"]
    assert value(items(group, "121207")[0]) == (8.75, "mm")
    assert value(items(group, "118565006")[0]) == (5000.5, "mm3")


def test_not_measured_is_not_zero() -> None:
    """A missing number stands as its name with the reason as a code, and as a sentence for people."""
    ds = usual()
    (area,) = items(next(groups(ds, "L4")), "CANALAREA")
    assert area.ValueType == "CODE"
    assert area.ConceptCodeSequence[0].CodeValue == "114006"
    assert codes(area, "363698007") == ["61853006"]
    (quality,) = groups(ds, "Quality")
    assert "Canal area not measured (the canal is cut): L3, L4, L5, Sacrum." in texts(quality, "121106")


def test_every_group_of_the_measurements_has_a_place_on_an_image() -> None:
    """Groups merge by tracking UID, and each merged one has a coordinate: else OHIF shows nothing of the report."""
    (measurements,) = (i for i in usual().ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "126010")
    placed: dict[str, bool] = {}
    for group in measurements.ContentSequence:
        (tracked,) = [str(i.UID) for i in items(group, "112040")]
        placed[tracked] = placed.get(tracked, False) or any(i.ValueType == "SCOORD" for i in group.ContentSequence)
    assert placed
    assert all(placed.values())


def test_every_level_has_a_point_on_an_image_and_no_number() -> None:
    """What OHIF lists: a 2D point inside the level, on a source image, with the level's name as finding site."""
    report = case()[0]
    for label, code in (("L4", "L4 vertebra"), ("L4-L5", "L4/L5 disc"), ("Sacrum", "Sacrum")):
        _, group = groups(usual(), label)
        assert [i for i in group.ContentSequence if i.ValueType == "NUM"] == []
        assert items(group, "363698007")[0].ConceptCodeSequence[0].CodeMeaning == code
        (point,) = (i for i in group.ContentSequence if i.ValueType == "SCOORD")
        column, row = (int(v) for v in point.GraphicData)
        uid = point.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        k = next(k for k, frame in enumerate(report.volume.frames) if frame.sop_instance_uid == uid)
        names = {"L4": 23, "L4-L5": 123, "Sacrum": SACRUM_ID}
        assert report.instances.labels[k, row, column] == names[label]


def test_points_on_a_multi_frame_image_name_its_frame() -> None:
    """With an Enhanced source each point says on which frame it lies."""
    report, series = case(Wish(multiframe=True, spare_frames=2))
    ds = document(report, series)
    _, group = groups(ds, "L4")
    (point,) = (i for i in group.ContentSequence if i.ValueType == "SCOORD")
    number = int(point.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber)
    k = next(k for k, frame in enumerate(report.volume.frames) if frame.number == number)
    column, row = (int(v) for v in point.GraphicData)
    assert report.instances.labels[k, row, column] == 23


def test_tracking_joins_segment_and_groups() -> None:
    """The SEG's segment and both groups of a level share one tracking UID, levels do not."""
    report, series = case()
    results = encode(report, series, identity(report, series, PLAIN), PLAIN)
    found = {result.kind: read(result) for result in results}
    segments = {item.SegmentLabel: item.TrackingUID for item in found["levels"].SegmentSequence}
    for label, uid in segments.items():
        assert {str(items(g, "112040")[0].UID) for g in groups(found["report"], label)} == {uid}
    assert len(set(segments.values())) == len(segments)


def test_all_sources_and_segs_are_evidence() -> None:
    """Every source image and both SEGs are listed, one image in the image library."""
    report, series = case()
    results = encode(report, series, identity(report, series, PLAIN), PLAIN)
    ds = read(results[-1])
    evidence = {
        instance.ReferencedSOPInstanceUID
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for item in study.ReferencedSeriesSequence
        for instance in item.ReferencedSOPSequence
    }
    assert evidence == {*series.instance_uids, *(r.sop_instance_uid for r in results[:-1])}
    (library,) = items(ds, "111028")
    assert len(items(library, "126200")) == 1


def test_the_numbering_is_judged() -> None:
    """L6 is suspected, counting undetermined; all of C7 to S1 with nothing odd is absent, less is undetermined."""
    whole = (*range(7, 25), SACRUM_ID)
    seen = case(Wish(levels=whole, rows=300))[0]
    bones = tuple(c for c in seen.levels.choices if c.instance != SACRUM_ID)  # as the analysis tells them
    assert anomaly(replace(seen, levels=replace(seen.levels, choices=bones))).meaning == "Absent"
    assert anomaly(case()[0]).meaning == "Undetermined"
    assert anomaly(case(Wish(levels=(24, LEVEL_IDS["L6"], SACRUM_ID)))[0]).meaning == "Suspected"
    assert anomaly(case(Wish(levels=(None, None)))[0]).meaning == "Undetermined"
    report = case()[0]
    assert anomaly(replace(report, flags=(Flag("numbering-anomaly", "12 ribs"),))).meaning == "Suspected"


def test_the_second_opinion_stands_with_the_numbering() -> None:
    """Its verdict as a code, its reason in words, and a question mark behind the names that it does not confirm."""
    report, series = case()
    choices = tuple(replace(c, flags=(UNCONFIRMED,)) for c in report.levels.choices)
    levels = replace(report.levels, choices=choices, reason="L5 is L4 in small-fov")
    second = SecondOpinion("shifted", "L5 is L4 in small-fov", True, -1, 0.6)
    (numbering,) = groups(document(replace(report, levels=levels, second=second), series), "Numbering")
    assert codes(numbering, "SECONDLABELLER") == ["SECSHIFT"]
    assert "L5 is L4 in small-fov" in texts(numbering, "121106")
    assert f"vertebra 1: {UNCONFIRMED}" in texts(numbering, "121106")
    assert codes(next(groups(usual(), "Numbering")), "SECONDLABELLER") == []


def test_flags_reach_their_groups() -> None:
    """A cut level, an uncertain numbering and a filled slice are told where they belong, in code and words."""
    report, series = case()
    flags = (
        Flag("cut-by-field-of-view", "L3 is cut at the top", (22,)),
        Flag("numbering-uncertain", "T12 or L1"),
        Flag("slice-filled", "slice 4 was missing"),
    )
    levels = replace(report.levels, flags=("T12 absent",), reason="the sacrum is not in view")
    ds = document(replace(report, flags=flags, levels=levels, folds=(FoldSpread(49, 31000.0, 412.5),)), series)
    assert codes(next(groups(ds, "L3")), "FOVTRUNC") == ["373066001"]
    assert codes(next(groups(ds, "L4")), "FOVTRUNC") == []
    (numbering,), (quality,) = groups(ds, "Numbering"), groups(ds, "Quality")
    assert codes(numbering, "NUMANOM") == ["373068000"]
    assert {"T12 absent", "the sacrum is not in view"} <= set(texts(numbering, "121106"))
    assert value(items(numbering, "LVLMARGIN")[0]) == (1.5, "1")
    assert codes(quality, "130550") == ["RID13"]
    assert codes(quality, "113010") == ["130576"]
    assert any("slice 4 was missing" in text for text in texts(quality, "121106"))
    body = next(groups(ds, "Vertebral body (structure)"))
    assert value(items(body, "FOLDSPREAD")[0]) == (412.5, "mm3")


def test_absent_structures_and_models_are_named() -> None:
    """Structures without voxels stand in a comment; every group names SPINEPS, the model and its digest."""
    ds = usual()
    (quality,) = groups(ds, "Quality")
    assert any("Spinous process" in text for text in texts(quality, "121106"))
    group = next(groups(ds, "L4"))
    assert texts(group, "111001") == ["SPINEPS"]
    assert texts(group, "111003") == ["0.1.0"]
    assert "ab" * 32 in texts(group, "111002")[0]


def test_a_demonstration_is_told_in_the_report() -> None:
    """The report of the embedded model says in words that it is not for diagnosis."""
    (quality,) = groups(document(*case(Wish(model=DEMONSTRATION, levels=(23,)))), "Quality")
    assert any("not for diagnosis" in text for text in texts(quality, "121106"))


def test_nothing_found_is_a_report_too() -> None:
    """Without a voxel the report says so, with non-diagnostic quality."""
    ds = document(*case(Wish(empty=True)))
    (quality,) = groups(ds)
    assert codes(quality, "130550") == ["RID14"]
    assert any("Nothing was found" in text for text in texts(quality, "121106"))


def test_angles_name_region_and_ends() -> None:
    """Lordosis: region first, then the two end levels."""
    (group,) = groups(usual(), "Curvature")
    (angle,) = items(group, "285285000")
    assert value(angle) == (41.25, "deg")
    assert codes(angle, "363698007") == ["122496007", "36470004", "54735007"]


def test_earlier_reports_are_predecessors() -> None:
    """The report that is replaced is named in PredecessorDocumentsSequence."""
    prior = Prior("1.2.3.4.1", "1.2.3.4.88", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.4.88.1")
    ds = document(*case(Wish(levels=(23,))), Origin(CREATED, predecessors=(prior,)))
    study = ds.PredecessorDocumentsSequence[0]
    assert study.StudyInstanceUID == "1.2.3.4.1"
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.88.1"


@pytest.mark.parametrize("complete", [True, False])
def test_the_procedure_is_the_sources_or_an_mr_examination(complete: bool) -> None:
    """A complete code of the modality is reported; half a code is not."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "36235-0", "LN"
    if complete:
        code.CodeMeaning = "MR Spine"
    ds = document(*case(Wish(levels=(23,), patient=(("ProcedureCodeSequence", [code]),))))
    assert codes(ds, "121058") == (["36235-0"] if complete else ["25056-3"])


def test_a_missing_number_of_a_missing_disc_is_said_in_words() -> None:
    """A disc that was not found has no group; why it has no height stands under quality."""
    report, series = case(Wish(levels=(22, 23)))
    extra = Measurement("disc_height_middle", 23, None, missing=Missing.OUT_OF_RANGE, reason="no disc")
    ds = document(replace(report, measurements=(*report.measurements, extra)), series)
    (quality,) = groups(ds, "Quality")
    assert "Middle disc height not measured (no disc): instance 123." in texts(quality, "121106")


def test_highdicom_reads_it_back() -> None:
    """The library that many readers use opens the report, with numbers that are missing too, and finds the levels."""
    report, series = case()
    sr = highdicom.sr.Comprehensive3DSR.from_dataset(document(report, series))
    volumetric = sr.content.get_volumetric_roi_measurement_groups()
    assert len(volumetric) == 7
    assert len(sr.content.get_planar_roi_measurement_groups()) == 7
    found = [
        m.value
        for g in volumetric
        for m in g.get_measurements(name=highdicom.sr.CodedConcept("118565006", "SCT", "Volume"))
    ]
    own = [m for m in report.measurements if m.kind in {"volume", "disc_volume"} and m.value is not None]
    np.testing.assert_allclose(sorted(found), sorted(round(m.value or 0.0, 1) for m in own))
