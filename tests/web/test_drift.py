"""What drift remembers of a report, and how weeks are put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from spineps_pacs.web import drift
from web.board_twin import NOW, REPORT, UID

DAY = 86400.0


def test_a_line_holds_numbers_and_nobody() -> None:
    """Levels, confidence, volume, phases; no UID."""
    line = drift.line("job-4", "MR1", NOW, REPORT)
    assert (line["levels"], line["confidence"], line["volume_cm3"]) == (1, 0.93, 25.0)
    assert line["phases_s"] == {"semantic": 3.5}
    assert UID not in str(line)


def test_the_newest_line_of_a_job_counts_and_a_broken_one_is_passed_over(tmp_path: Path) -> None:
    """A re-run replaces what was remembered; a power cut in the middle of a line costs that line."""
    first, again = drift.line("a", "MR1", NOW, REPORT), drift.line("a", "MR1", NOW, REPORT) | {"levels": 17}
    for entry in (first, again):
        drift.remember(tmp_path, entry)
    with (tmp_path / f"{first['week']}.jsonl").open("a") as file:
        file.write('{"job": "b", "sour')
    assert [entry["levels"] for entry in drift.remembered(tmp_path)] == [17]


def test_weeks_are_put_together() -> None:
    """Means by scanner and week; verdicts beside them, also of a scanner of which nothing was analysed."""
    entries = [drift.line(name, "MR1", NOW, REPORT) | {"levels": n} for name, n in (("a", 16), ("b", 18))]
    judged = [("MR1", NOW, "taken"), ("MR1", NOW, "T2 weighting"), ("MR2", NOW + 7 * DAY, "orientation")]
    first, second = drift.rows(entries, judged)
    assert (first.source, first.taken, first.skipped, first.levels) == ("MR1", 1, 1, 17.0)
    assert first.reasons == (("T2 weighting", 1),)
    assert (second.source, second.levels, second.skipped) == ("MR2", None, 1)
    assert first.week < second.week
    assert drift.phase_totals(entries) == {"semantic": (2, pytest.approx(7.0))}


def test_second_opinions_are_counted() -> None:
    """By verdict and whether the reader is warned; lines without one, also of older versions, count for nothing."""
    asked = REPORT | {"second_opinion": {"verdict": "agree", "flagged": False}}
    lines = [
        drift.line("a", "MR1", NOW, asked),
        drift.line("b", "MR1", NOW, asked),
        drift.line("c", "MR1", NOW, REPORT),
    ]
    assert drift.opinion_totals([*lines, {"job": "older"}]) == {("agree", False): 2}
