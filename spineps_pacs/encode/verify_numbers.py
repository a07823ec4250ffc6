"""Reads the numbers of an SR back and compares them with the report, group by group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from spineps_pacs.domain.anatomy import Code
from spineps_pacs.domain.report import Measurement, Report
from spineps_pacs.encode.concepts import CERTAINTY, FOLD_SPREAD, MARGIN, plain
from spineps_pacs.encode.faults import FaultyResult
from spineps_pacs.encode.numbers import WHY_MISSING, instance_of, quantity, rounded, sites
from spineps_pacs.encode.segments import Segment, level_segments, structure_segments

Line = tuple[str, str, tuple[tuple[str, str], ...], str, str]
"""Group, concept, sites with modifiers, unit, value; as text, so that it can be counted and shown."""

_NOT_MEASURED = {CERTAINTY.value, FOLD_SPREAD.value, MARGIN.value}
_WHY = {code.value for code in WHY_MISSING.values()}
_GROUP, _TRACKING, _SITE, _MODIFIER = "125007", "112039", "363698007", "106233006"


def check_numbers(dataset: Dataset, report: Report) -> None:
    """Raises FaultyResult unless the document holds exactly the numbers of the report."""
    found = Counter(line for group in _groups(dataset) for line in _read(group))
    levels = {segment.instance: segment for segment in level_segments(report)}
    structures = {i: plain(segment.tracked) for segment in structure_segments(report) for i in segment.ids}
    lines = (_expected(m, levels, structures) for m in report.measurements)
    expected = Counter(line for line in lines if line is not None)
    lost, extra = expected - found, found - expected
    if lost or extra:
        example = next(iter(lost or extra))
        raise FaultyResult(f"report: {lost.total()} numbers are lost, {extra.total()} are not the report's: {example}")


def _groups(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        if _name(child) == _GROUP:
            yield child
        else:
            yield from _groups(child)


def _read(group: Dataset) -> Iterator[Line]:
    label = next((str(i.TextValue) for i in group.ContentSequence if _name(i) == _TRACKING), "")
    for item in group.ContentSequence:
        if item.ValueType == "NUM" and _name(item) not in _NOT_MEASURED:
            yield (label, _name(item), tuple(_sites(item)), *_value(item))
        elif item.ValueType == "CODE" and _code(item) in _WHY:
            yield (label, _name(item), tuple(_sites(item)), "", _code(item))


def _sites(item: Dataset) -> Iterator[tuple[str, str]]:
    for child in item.get("ContentSequence", ()):
        if _name(child) == _SITE:
            modifiers = [c for c in child.get("ContentSequence", ()) if _name(c) == _MODIFIER]
            yield _code(child), _code(modifiers[0]) if modifiers else ""


def _value(item: Dataset) -> tuple[str, str]:
    measured = item.MeasuredValueSequence[0]
    return str(measured.MeasurementUnitsCodeSequence[0].CodeValue), repr(float(measured.NumericValue))


def _expected(measurement: Measurement, levels: dict[int, Segment], structures: dict[int, str]) -> Line | None:
    """None for a number that is missing at a place that is missing too; the report then says so in words."""
    kind = quantity(measurement)
    label = _label(measurement, levels, structures)
    if label is None and measurement.missing is not None:
        return None
    where = tuple((site.code.value, _text(site.modifier)) for site in sites(measurement, levels))
    if measurement.missing is not None:
        return label or "", kind.code.value, where, "", WHY_MISSING[measurement.missing].value
    return label or "nowhere", kind.code.value, where, kind.unit, repr(rounded(measurement.value or 0.0, kind.unit))


def _label(measurement: Measurement, levels: dict[int, Segment], structures: dict[int, str]) -> str | None:
    kind = quantity(measurement)
    if kind.of == "spine":
        return "Curvature"
    if kind.of == "structure":
        return structures.get(measurement.subject)
    segment = levels.get(instance_of(measurement))
    return plain(segment.label) if segment else None


def _text(code: Code | None) -> str:
    return code.value if code else ""


def _name(item: Dataset) -> str:
    names: Any = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeValue) if names else ""


def _code(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)
