"""What a reader finds in the objects that came back: tables from the report, read by pydicom as any consumer would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from rich.table import Table

SR = "1.2.840.10008.5.1.4.1.1.88.34"
GROUP, TRACKING, SEGMENT = "125007", "112039", "121191"
FINDING_SITE_MODIFIERS = {"255549009": "anterior", "26216008": "middle", "255551008": "posterior"}
SHOWN = {
    "Volume": "volume cm3",
    "Height": "height mm",
    "Certainty of Finding": "confidence %",
    "Area": "area mm2",
    "Canal area at level": "canal mm2",
    "Anteroposterior canal diameter": "canal AP mm",
}


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
        elif _name(item) == "121071":
            finding = str(item.ConceptCodeSequence[0].CodeMeaning)
        elif item.ValueType == "NUM":
            numbers[_title(item)] = _value(item)
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
    values = item.get("MeasuredValueSequence")
    if not values:
        return "–"
    number, unit = float(values[0].NumericValue), str(values[0].MeasurementUnitsCodeSequence[0].CodeValue)
    return f"{number / 1000:.1f}" if unit == "mm3" else f"{number:.1f}"


def _of_report(rows: list[Row]) -> Iterator[Table]:
    seen = [row for row in rows if row.numbers.keys() <= {"Volume"} or "fold" in " ".join(row.numbers)]
    yield _table("Structures", [row for row in seen if not _is_level(row)], ("Volume",))
    wanted = (
        "Certainty of Finding", "Volume", "Height anterior", "Height middle", "Height posterior", "Canal area at level",
        "Cord area at level",
    )  # fmt: skip
    yield _table("Levels", [row for row in rows if _is_level(row)], wanted)


def _is_level(row: Row) -> bool:
    return row.finding in {"Vertebra", "Intervertebral disc"} and row.label != "Intervertebral disc"


def _table(title: str, rows: list[Row], columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(SHOWN.get(column, column.lower()), justify="right")
    for row in rows:
        table.add_row(row.label, *(row.numbers.get(column, "") for column in columns))
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
