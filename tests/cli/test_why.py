"""`explain --why` tries a changed configuration on stored verdicts, long after the images are gone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_dicom as made
import pytest
from web.board_twin import job

from spineps_pacs import app, settings
from spineps_pacs.cli import main as command_line
from spineps_pacs.domain.job import Job, State
from spineps_pacs.intake.limits import Limits
from spineps_pacs.intake.selection import judge

GRID = made.grid((12, 20, 12), (4, 15, 12.5))
CONFIG = '[web]\nport = 0\n[dicom]\nport = 0\n[models]\ndevice = "cpu"\n'


def judged(name: str, source: str = "MR1", **attributes: object) -> Job:
    verdict = judge(made.series(*GRID, **attributes), Limits(), source)
    state = State.CONFIRMED if verdict.taken else State.SKIPPED
    return replace(job(name, state, verdict=verdict), series_uid=f"1.2.3.{name}", source=source)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's configuration, with four verdicts in its records and no image."""
    config = tmp_path / "node.toml"
    config.write_text(CONFIG)
    common = app.shared(settings.parse(CONFIG, str(config), tmp_path))
    for one in (
        judged("t2"),
        judged("short", EchoTime="55"),
        judged("short-elsewhere", source="MR2", EchoTime="55"),
        replace(judged("older"), verdict=replace(judged("older").verdict, facts="")),  # type: ignore[type-var]
    ):
        common.records.add(one)
    common.database.dispose()
    return config


def changed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "changed.toml"
    path.write_text(CONFIG + text)
    return path


def told(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    assert command_line.run(["explain", *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_would_change_is_told(node: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lower limit takes what was skipped; a verdict stored without facts is counted as such."""
    new = changed(tmp_path, "[selection]\nmin_echo_time_ms = 50.0\n")
    answer = told(capsys, "--config", str(node), "--why", str(new))
    assert (answer["tried"], answer["without"]) == (3, 1)
    assert {it["job"] for it in answer["changes"]} == {"short", "short-elsewhere"}
    first = answer["changes"][0]
    assert first["was"] == {"taken": False, "reason": "T2 weighting: TE 55 ms < 60 ms → not T2w"}
    assert first["would"]["taken"]


def test_limits_of_one_sender_are_tried_on_its_series(
    node: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table for one AE title, and an expression of the site."""
    new = changed(tmp_path, '[[selection.source]]\nae_title = "MR2"\nmin_echo_time_ms = 50.0\n')
    assert [it["job"] for it in told(capsys, "-c", str(node), "--why", str(new))["changes"]] == ["short-elsewhere"]
    new = changed(tmp_path, '[selection]\nexclude = "t2_tse"\n')
    (only,) = told(capsys, "-c", str(node), "--why", str(new))["changes"]
    assert only["job"] == "t2"
    assert "exclude" in only["would"]["reason"]


def test_one_series_is_shown_rule_by_rule(node: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people: what it would be, what it was, and every rule under the new limits."""
    new = changed(tmp_path, "[selection]\nmin_echo_time_ms = 50.0\n")
    assert command_line.run(["explain", "1.2.3.short", "-c", str(node), "--why", str(new)]) == 0
    shown = capsys.readouterr().out
    assert "would change" in shown
    assert "was skipped: T2 weighting: TE 55 ms < 60 ms" in shown
    assert "50 to 450 ms" in shown


def test_a_series_or_a_configuration_must_be_named(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither is a sentence and exit status 1."""
    assert command_line.run(["explain", "-c", str(node)]) == 1
    assert "--why" in capsys.readouterr().err
