"""The findings on the spine as a whole (TID 1501): numbering, curvature, and how far the report can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from highdicom.sr import (
    Measurement as Number,
)
from highdicom.sr import (
    MeasurementsAndQualitativeEvaluations as Group,
)
from highdicom.sr import (
    QualitativeEvaluation,
    TextContentItem,
)

from spineps_pacs.domain.anatomy import FLAGS, LEVEL_IDS, SACRUM_ID, SPINE, Code
from spineps_pacs.domain.masks import LevelMethod
from spineps_pacs.domain.report import Measurement, Report
from spineps_pacs.encode.concepts import (
    ABSENT,
    COMMENT,
    INCOMPLETE,
    LEVEL_METHOD,
    LIMITED,
    LUMBOSACRAL,
    MARGIN,
    NOT_DIAGNOSTIC,
    NUMBERING_ANOMALY,
    QUALITY,
    QUALITY_ISSUE,
    SECOND_LABELLER,
    SUSPECTED,
    THORACOLUMBAR,
    UNDETERMINED,
    VERDICTS,
    concept,
    plain,
    unit,
)
from spineps_pacs.encode.header import Sheet
from spineps_pacs.encode.numbers import Site, instance_of, quantity, rounded
from spineps_pacs.encode.report_groups import CUT, METHODS, algorithm, finding_site, told, tracking
from spineps_pacs.encode.segments import Segment, absent_structures, present_ids

_ABOUT_NUMBERING = {"numbering-anomaly", "numbering-uncertain", "counted", "labellers-disagree", "labelling-failed"}
_LIMITING = {CUT, "slice-filled", "folds-disagree", "instance-phase-failed", "labelling-failed"}
_TRANSITIONAL = {LEVEL_IDS["T13"]: THORACOLUMBAR, LEVEL_IDS["L6"]: LUMBOSACRAL}
_LONGEST_COMMENT = 1024
_THORACOLUMBAR_SPINE = {LEVEL_IDS[name] for name in ("C7", "S1")}


def findings(sheet: Sheet, levels: dict[int, Segment]) -> list[Any]:
    """Numbering and curvature where there are vertebrae, quality always."""
    groups = [_numbering(sheet)] if levels else []
    curvature = _curvature(sheet, levels)
    return [*groups, *curvature, _quality(sheet, levels)]


def anomaly(report: Report) -> Code:
    """Whether the number of vertebrae is unusual, as far as it can be said.

    Absent only when everything from C7 to the sacrum is in view; what is merely counted is undetermined.
    """
    kinds = {flag.kind for flag in report.flags}
    named = {c.level for c in report.levels.choices} | ({SACRUM_ID} & set(report.instances.ids()))
    if "numbering-anomaly" in kinds or named & _TRANSITIONAL.keys():
        return SUSPECTED
    if report.levels.method is LevelMethod.COUNTED or kinds & _ABOUT_NUMBERING or None in named:
        return UNDETERMINED
    return ABSENT if named >= _THORACOLUMBAR_SPINE else UNDETERMINED


def _numbering(sheet: Sheet) -> Any:
    levels = sheet.report.levels
    sites = [code for i, code in _TRANSITIONAL.items() if i in {choice.level for choice in levels.choices}]
    margin = None if levels.margin is None else Number(concept(MARGIN), rounded(levels.margin, "1"), unit("1"))
    words = [
        QualitativeEvaluation(concept(LEVEL_METHOD), concept(METHODS[levels.method])),
        QualitativeEvaluation(concept(NUMBERING_ANOMALY), concept(anomaly(sheet.report))),
    ]
    second = sheet.report.second
    if second is not None:
        words.append(QualitativeEvaluation(concept(SECOND_LABELLER), concept(VERDICTS[second.verdict])))
    comments = [levels.reason, *levels.flags]
    comments += [f"vertebra {c.position}: {flag}" for c in levels.choices for flag in c.flags]
    comments += [f"{FLAGS.get(f.kind, f.kind)}: {f.sentence}" for f in sheet.report.flags if f.kind in _ABOUT_NUMBERING]
    return _group(sheet, "Numbering", [margin] if margin else [], words, comments=comments, sites=sites or [SPINE])


def _curvature(sheet: Sheet, levels: dict[int, Segment]) -> list[Any]:
    angles, words = told((m for m in sheet.report.measurements if quantity(m).of == "spine"), levels)
    return [_group(sheet, "Curvature", angles, words, comments=[], sites=[SPINE])] if angles or words else []


def _quality(sheet: Sheet, levels: dict[int, Segment]) -> Any:
    report = sheet.report
    kinds = {flag.kind for flag in report.flags}
    words = []
    if not levels and not present_ids(report.structures.labels):
        words.append(QualitativeEvaluation(concept(QUALITY), concept(NOT_DIAGNOSTIC)))
    elif kinds & _LIMITING:
        words.append(QualitativeEvaluation(concept(QUALITY), concept(LIMITED)))
    if CUT in kinds:
        words.append(QualitativeEvaluation(concept(QUALITY_ISSUE), concept(INCOMPLETE)))
    return _group(sheet, "Quality", [], words, comments=_remarks(report, levels), sites=[SPINE])


def _remarks(report: Report, levels: dict[int, Segment]) -> Iterable[str]:
    if report.demonstration:
        yield f"{FLAGS['demonstration-model']}."
    if not levels and not present_ids(report.structures.labels):
        yield "Nothing was found in this series."
    absent = absent_structures(report)
    if absent:
        yield f"Structures that were not found: {', '.join(absent)}."
    yield from (f"{FLAGS.get(f.kind, f.kind)}: {f.sentence}" for f in report.flags if f.kind not in _ABOUT_NUMBERING)
    yield from report.volume.notes
    yield from _not_measured(report, levels)


def _not_measured(report: Report, levels: dict[int, Segment]) -> Iterable[str]:
    """One sentence for each reason, with the quantities and levels that it concerns."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for m in report.measurements:
        if m.missing is not None and quantity(m).of != "structure":  # absent structures are named above
            where = _where(m, levels)
            reasons.setdefault((m.reason or str(m.missing), quantity(m).name), []).append(where)
    for (reason, name), where_all in reasons.items():
        yield f"{name} not measured ({reason}): {', '.join(where_all)}."


def _where(measurement: Measurement, levels: dict[int, Segment]) -> str:
    if quantity(measurement).of == "spine":
        return "spine"
    segment = levels.get(instance_of(measurement))
    return segment.label if segment else f"instance {instance_of(measurement)}"


def _group(
    sheet: Sheet, name: str, numbers: list[Any], words: list[Any], *, comments: Iterable[str], sites: Iterable[Code]
) -> Any:
    group = Group(
        tracking_identifier=tracking(sheet, name, name.lower()),
        finding_type=concept(SPINE),
        algorithm_id=algorithm(sheet),
        finding_sites=[finding_site(Site(site)) for site in sites],
        measurements=numbers or None,
        qualitative_evaluations=words or None,
    )
    texts = (plain(comment, _LONGEST_COMMENT) for comment in comments if comment)
    items = [TextContentItem(concept(COMMENT), text, relationship_type="CONTAINS") for text in texts]
    group[0].ContentSequence.extend(items)
    return group
