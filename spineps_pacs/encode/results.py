"""The catalogue: every object that a report becomes, in the order in which they refer to each other."""

from __future__ import annotations

from collections.abc import Iterator

from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.capture import pictures
from spineps_pacs.encode.contours import contours
from spineps_pacs.encode.header import Sheet
from spineps_pacs.encode.identity import Identity
from spineps_pacs.encode.options import KINDS, Options
from spineps_pacs.encode.presentation import presentation
from spineps_pacs.encode.report_groups import Written
from spineps_pacs.encode.segmentation import FRAMES_SHOWN_BY_ALL, frames_of, segmentation
from spineps_pacs.encode.segments import Segment, level_segments, picked, structure_segments
from spineps_pacs.encode.sources import sources
from spineps_pacs.encode.structured_report import structured_report

Plan = tuple[str, tuple[Segment, ...]]
"""A kind of SEG and the segments it holds."""


def encode(report: Report, series: Series, identity: Identity, options: Options) -> tuple[Result, ...]:
    """All objects of a report: SEGs, the SR that refers to them, pictures, and what else the site wants."""
    source_images = sources(report, series)

    def sheet(kind: str) -> Sheet:
        return Sheet(KINDS[kind], report, source_images, identity, options)

    segs = [_seg(sheet(kind), segments) for kind, segments in planned(report, options)]
    results = [result for result, _ in segs]
    if segs or options.report_when_empty:
        written = {result.kind: seg for result, seg in segs}
        levels = [seg for kind, seg in written.items() if kind in {"levels", "vertebrae", "discs"}]
        results.append(structured_report(sheet("report"), written.get("structures"), levels))
    if segs and options.labelmap:
        results += [result for kind in ("structures", "levels") for result in _labelmap(sheet(f"{kind}-labelmap"))]
    if segs and options.pictures:
        results += pictures(sheet("picture"))
    if level_segments(report) and options.gsps:
        results.append(presentation(sheet("presentation")))
    if level_segments(report) and options.rtstruct:
        results.append(contours(sheet("contours")))
    return tuple(results)


def planned(report: Report, options: Options) -> Iterator[Plan]:
    """Which SEGs are written; one without a segment is not."""
    levels = level_segments(report)
    plans: list[Plan] = [("structures", structure_segments(report))]
    if options.split_levels:
        plans.append(("vertebrae", picked(levels, lambda segment: not segment.disc)))
        plans.append(("discs", picked(levels, lambda segment: segment.disc)))
    else:
        plans.append(("levels", levels))
    yield from (plan for plan in plans if plan[1])


def _seg(sheet: Sheet, segments: tuple[Segment, ...]) -> tuple[Result, Written]:
    mask = sheet.report.structures if sheet.kind.name == "structures" else sheet.report.instances
    result = segmentation(sheet, segments, mask.labels)
    return result, Written(result.sop_class_uid, result.sop_instance_uid, sheet.series_uid, segments)


def _labelmap(sheet: Sheet) -> Iterator[Result]:
    structures = sheet.kind.name.startswith("structures")
    segments = structure_segments(sheet.report) if structures else level_segments(sheet.report)
    mask = sheet.report.structures if structures else sheet.report.instances
    if segments:
        yield segmentation(sheet, segments, mask.labels)


def notes(results: tuple[Result, ...]) -> tuple[str, ...]:
    """What an operator should know about these objects: SEGs that some viewers switch off."""
    segs = [result for result in results if result.kind in {"structures", "levels", "vertebrae", "discs"}]
    counts = {result.kind: frames_of(result) for result in segs}
    return tuple(
        f"{kind}: {count} frames, more than the {FRAMES_SHOWN_BY_ALL} that every viewer shows; see split_levels"
        for kind, count in counts.items()
        if count > FRAMES_SHOWN_BY_ALL
    )
