"""Reads the report of a study back from its bytes and compares it with what was joined, before it is sent."""

from __future__ import annotations

from collections.abc import Sequence

from spineps_pacs.domain.anatomy import VERTEBRAE
from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.study import JoinedLevels
from spineps_pacs.encode.faults import FaultyResult
from spineps_pacs.encode.on_results import header_of
from spineps_pacs.encode.verify import referring

_SAME = ("PatientID", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber")
_TRACKED, _GROUPS = "112039", "126010"


def verify_study(result: Result, joined: JoinedLevels, reports: Sequence[Result]) -> None:
    """Raises FaultyResult with a sentence unless it names these levels, in this order, and refers to these reports."""
    dataset, stations = header_of(result), [header_of(report) for report in reports]
    for station in stations:
        for keyword in _SAME:
            if dataset.get(keyword) != station.get(keyword):
                raise FaultyResult(f"study: {keyword} is not what a station's report has")
    known = {str(station.SOPInstanceUID) for station in stations}
    named = {str(item.ReferencedSOPInstanceUID) for item in referring(dataset)}
    if named != known:
        raise FaultyResult(f"study: refers to {len(named)} objects that are not just the {len(known)} reports")
    measured = next(it for it in dataset.ContentSequence if it.ConceptNameCodeSequence[0].CodeValue == _GROUPS)
    tracked = [
        it.TextValue
        for group in measured.ContentSequence
        for it in group.ContentSequence
        if it.ConceptNameCodeSequence[0].CodeValue == _TRACKED
    ]
    wanted = [
        VERTEBRAE[it.level].name if it.level is not None else f"vertebra {n} (counted)"
        for n, it in enumerate(joined.levels, start=1)
    ]
    if tracked != [*wanted, "Numbering"]:
        raise FaultyResult(f"study: names {tracked}, and not {wanted}")
