"""The measurement groups of the report, one per structure and level (TID 1411), and the points that viewers list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    FindingSite,
    ImageRegion,
    NumContentItem,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForRegion,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
)
from highdicom.sr import (
    Measurement as Number,
)
from highdicom.sr import (
    PlanarROIMeasurementsAndQualitativeEvaluations as PlanarGroup,
)
from highdicom.sr import (
    VolumetricROIMeasurementsAndQualitativeEvaluations as VolumetricGroup,
)

from spineps_pacs.domain.anatomy import ANATOMICAL_STRUCTURE, PRIVATE_SCHEME, Code
from spineps_pacs.domain.masks import LevelMethod
from spineps_pacs.domain.report import Measurement, Missing, Report
from spineps_pacs.encode.concepts import (
    ARTIFICIAL_INTELLIGENCE,
    BY_ANCHOR,
    BY_COUNT,
    BY_MODEL,
    CERTAINTY,
    FOLD_SPREAD,
    LEVEL_METHOD,
    SUMMED_VOXELS,
    TRUNCATED,
    UNCERTAINTY,
    YES,
    concept,
    plain,
    unit,
)
from spineps_pacs.encode.header import Sheet
from spineps_pacs.encode.numbers import WHY_MISSING, Site, instance_of, quantity, rounded, sites
from spineps_pacs.encode.segmentation import models_text
from spineps_pacs.encode.segments import Segment
from spineps_pacs.encode.views import points

METHODS = {LevelMethod.MODEL: BY_MODEL, LevelMethod.ANCHOR: BY_ANCHOR, LevelMethod.COUNTED: BY_COUNT}
CUT = "cut-by-field-of-view"


@dataclass(frozen=True)
class Written:
    """A SEG that the report refers to: its UIDs and its segments."""

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    segments: tuple[Segment, ...]


def structure_groups(sheet: Sheet, seg: Written) -> list[Any]:
    """One group per structure, with its volume and how far the folds of the model agree on it."""
    groups = []
    for segment in seg.segments:
        own = [m for m in sheet.report.measurements if quantity(m).of == "structure" and m.subject in segment.ids]
        numbers, words = told(own, {})
        spreads = [f for f in sheet.report.folds if f.structure in segment.ids]
        numbers += [_number(FOLD_SPREAD, f.spread_mm3, "mm3") for f in spreads]
        site = FindingSite(concept(segment.code), laterality=concept(segment.side) if segment.side else None)
        groups.append(_group(sheet, seg, segment, numbers, words, site))
    return groups


def level_groups(sheet: Sheet, seg: Written, levels: dict[int, Segment]) -> list[Any]:
    """One group per vertebra and disc: its numbers, how sure its name is and whether it is cut."""
    cut = {i for flag in sheet.report.flags if flag.kind == CUT for i in flag.instances}
    groups = []
    for segment in seg.segments:
        numbers, words = told(own_numbers(sheet.report, segment), levels)
        if segment.choice is not None and segment.choice.confidence is not None and not segment.disc:
            numbers.append(_number(CERTAINTY, 100 * segment.choice.confidence, "%"))
        words.append(QualitativeEvaluation(concept(LEVEL_METHOD), concept(METHODS[sheet.report.levels.method])))
        if segment.instance in cut:
            words.append(QualitativeEvaluation(concept(TRUNCATED), concept(YES)))
        groups.append(_group(sheet, seg, segment, numbers, words, _level_site(segment)))
    return groups


def own_numbers(report: Report, segment: Segment) -> list[Measurement]:
    """The measurements of one vertebra or disc."""
    of_levels = {"vertebra", "disc", "level"}
    return [m for m in report.measurements if quantity(m).of in of_levels and instance_of(m) == segment.instance]


def point_groups(sheet: Sheet, segments: tuple[Segment, ...]) -> list[Any]:
    """One point per level on a source image, with the level as finding site and no number: what OHIF lists."""
    where = points(sheet.report, segments, sheet.sources.slices)
    return [_point(sheet, segment, where[segment.number]) for segment in segments if segment.number in where]


def told(measurements: Iterable[Measurement], levels: dict[int, Segment]) -> tuple[list[Any], list[Any]]:
    """The numbers that were measured, and in words why the others were not."""
    every = list(measurements)
    numbers = [number(m, levels) for m in every if m.missing is None]
    return numbers, [_why_missing(m, levels) for m in every if m.missing is not None]


def number(measurement: Measurement, levels: dict[int, Segment]) -> Any:
    """One measurement with unit, site and uncertainty."""
    kind = quantity(measurement)
    item = Number(
        name=concept(kind.code),
        value=rounded(measurement.value or 0.0, kind.unit),
        unit=unit(kind.unit),
        finding_sites=[finding_site(site) for site in sites(measurement, levels)] or None,
        method=concept(SUMMED_VOXELS) if kind.unit == "mm3" else None,
    )
    if measurement.uncertainty is not None:
        width = rounded(measurement.uncertainty, kind.unit)
        _below(
            item[0], NumContentItem(concept(UNCERTAINTY), width, unit(kind.unit), relationship_type="HAS PROPERTIES")
        )
    return item


def _why_missing(measurement: Measurement, levels: dict[int, Segment]) -> Any:
    """A quantity that was not measured: its name with the reason as a code, its site as of the number.

    A NUM without a value would say the same, but common readers cannot open a report that holds one.
    """
    reason = WHY_MISSING[measurement.missing or Missing.NOT_ATTEMPTED]
    item = QualitativeEvaluation(concept(quantity(measurement).code), concept(reason))
    for site in sites(measurement, levels):
        _below(item[0], finding_site(site))
    return item


def finding_site(site: Site) -> Any:
    """As highdicom takes it."""
    modifier = concept(site.modifier) if site.modifier else None
    return FindingSite(concept(site.code), topographical_modifier=modifier)


def algorithm(sheet: Sheet) -> Any:
    """Who found it: name, version and models."""
    return AlgorithmIdentification(
        name=sheet.algorithm,
        version=sheet.options.version,
        parameters=models_text(sheet.report.models),
        family=concept(ARTIFICIAL_INTELLIGENCE),
    )


def tracking(sheet: Sheet, label: str, key: str) -> Any:
    """The same pair as in the SEG."""
    return TrackingIdentifier(uid=sheet.identity.tracking_uid(key), identifier=plain(label))


def _number(code: Code, value: float, symbol: str) -> Any:
    return Number(name=concept(code), value=rounded(value, symbol), unit=unit(symbol))


def _below(parent: Any, child: Any) -> None:
    parent.ContentSequence = [*parent.get("ContentSequence", []), child]


def _group(
    sheet: Sheet, seg: Written, segment: Segment, numbers: Iterable[Any], words: Iterable[Any], *where: Any
) -> Any:
    return VolumetricGroup(
        tracking_identifier=tracking(sheet, segment.tracked, segment.key),
        referenced_segment=ReferencedSegment(
            sop_class_uid=seg.sop_class_uid,
            sop_instance_uid=seg.sop_instance_uid,
            segment_number=segment.number,
            source_series=SourceSeriesForSegmentation(sheet.identity.series_uid),
        ),
        finding_category=concept(ANATOMICAL_STRUCTURE),
        finding_type=concept(segment.finding),
        algorithm_id=algorithm(sheet),
        finding_sites=list(where),
        measurements=list(numbers) or None,
        qualitative_evaluations=list(words) or None,
    )


def _level_site(segment: Segment) -> Any:
    """A level of the standard by its code; an unusual or counted one as the generic part with ours as modifier."""
    if segment.level.scheme != PRIVATE_SCHEME:
        return finding_site(Site(segment.level))
    return finding_site(Site(segment.finding, segment.level))


def _point(sheet: Sheet, segment: Segment, where: tuple[int, int, int]) -> Any:
    index, row, column = where
    frame = sheet.sources.frame_of(index)
    assert frame is not None, "points are put on slices that have an image"  # noqa: S101
    source = SourceImageForRegion(
        frame.sop_class_uid, frame.sop_instance_uid, None if frame.number is None else [frame.number]
    )
    # the corner of the first pixel is 0, its centre 0.5 (PS3.3 C.18.6)
    region = ImageRegion("POINT", np.array([[column + 0.5, row + 0.5]]), source)
    return PlanarGroup(
        tracking_identifier=tracking(sheet, segment.label, segment.key),
        referenced_region=region,
        finding_category=concept(ANATOMICAL_STRUCTURE),
        finding_type=concept(segment.finding),
        finding_sites=[finding_site(Site(segment.level))],
    )
