"""What a reader finds in the objects that came back: tables from the report, read by pydicom as any consumer would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from rich.table import Table

SR = "1.2.840.10008.5.1.4.1.1.88.34"
GROUP, TRACKING, FINDING = "125007", "112039", "121071"
NOT_MEASURED = {"114006", "114007", "114009"}
FINDING_SITE_MODIFIERS = {"255549009": "anterior", "26216008": "middle", "255551008": "posterior"}
STRUCTURE = " (structure)"
LEVELS = {"Vertebra", "Intervertebral disc", "Sacrum"}


@dataclass(frozen=True)
class Row:
    """One measurement group of the report: what it tracks, its finding, its numbers by name."""

    label: str
    finding: str
    numbers: dict[str, str] = field(default_factory=dict)


def tables(folder: Path) -> Iterator[Table]:
    """One table of structures and one of levels for each report in the folder, then one line of objects each."""
    objects = [dcmread(path, force=True) for path in sorted(folder.glob("*.dcm"))]
    for report in (o for o in objects if o.get("SOPClassUID") == SR):
        rows = [row for group in groups(report) for row in [read_group(group)] if row.numbers]
        yield from _of_report(rows)
    yield _objects(objects)


def groups(item: Dataset) -> Iterator[Dataset]:
    """Every measurement group below a content item."""
    for child in item.get("ContentSequence", ()):
        if _name(child) == GROUP:
            yield child
        else:
            yield from groups(child)


def read_group(group: Dataset) -> Row:
    """The label, the finding and the numbers of one group; a number that is missing is shown as a dash."""
    label = finding = ""
    numbers: dict[str, str] = {}
    for item in group.ContentSequence:
        if _name(item) == TRACKING:
            label = str(item.TextValue)
        elif _name(item) == FINDING:
            finding = str(item.ConceptCodeSequence[0].CodeMeaning)
        elif item.ValueType == "NUM":
            numbers[_title(item)] = _value(item)
        elif item.ValueType == "CODE" and str(item.ConceptCodeSequence[0].CodeValue) in NOT_MEASURED:
            numbers[_title(item)] = "–"
    return Row(label, finding, numbers)


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeValue) if names else ""


def _title(item: Dataset) -> str:
    name = str(item.ConceptNameCodeSequence[0].CodeMeaning)
    return f"{name} {modifier}" if (modifier := next(_modifiers(item), "")) else name


def _modifiers(item: Dataset) -> Iterator[str]:
    for child in item.get("ContentSequence", ()):
        for code in child.get("ConceptCodeSequence", ()):
            if code.CodeValue in FINDING_SITE_MODIFIERS:
                yield FINDING_SITE_MODIFIERS[code.CodeValue]
        yield from _modifiers(child)


def _value(item: Dataset) -> str:
    measured = item.MeasuredValueSequence[0]
    number, unit = float(measured.NumericValue), str(measured.MeasurementUnitsCodeSequence[0].CodeValue)
    return f"{number / 1000:.1f}" if unit == "mm3" else f"{number:.1f}"


def _of_report(rows: list[Row]) -> Iterator[Table]:
    structures = [row for row in rows if row.label.endswith(STRUCTURE)]
    columns: dict[str, Callable[[Row], str]] = {"volume cm3": lambda row: row.numbers.get("Volume", "")}
    yield _table("Structures", structures, columns)
    levels = [row for row in rows if row.finding in LEVELS and row not in structures]
    yield _table("Levels", levels, LEVEL_COLUMNS)


def _heights(row: Row) -> str:
    found = [row.numbers.get(f"Height {where}") for where in ("anterior", "middle", "posterior")]
    return " / ".join(value or "–" for value in found) if any(found) else ""


LEVEL_COLUMNS: dict[str, Callable[[Row], str]] = {
    "sure %": lambda row: row.numbers.get("Certainty of Finding", ""),
    "volume cm3": lambda row: row.numbers.get("Volume", ""),
    "height mm: front / middle / back": _heights,
    "canal mm2": lambda row: row.numbers.get("Canal area at vertebral level", ""),
    "cord mm2": lambda row: row.numbers.get("Cord area at vertebral level", ""),
}


def _table(title: str, rows: list[Row], columns: dict[str, Callable[[Row], str]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row.label.removesuffix(STRUCTURE), *(cell(row) for cell in columns.values()))
    return table


def _objects(objects: list[Dataset]) -> Table:
    table = Table(title="Objects", title_justify="left")
    for column in ("series", "modality", "description", "frames"):
        table.add_column(column)
    for o in objects:
        words = str(o.get("SeriesDescription", ""))
        table.add_row(
            str(o.get("SeriesNumber", "")), str(o.get("Modality", "")), words, str(o.get("NumberOfFrames", ""))
        )
    return table
