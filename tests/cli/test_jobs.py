"""`status`, `jobs` and their buttons, on a store that an earlier node left behind."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spineps_pacs.cli.main import run

STORE = Path(__file__).parent.parent / "data" / "store-0.1.0.tar.xz"


@pytest.fixture
def node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command on the store; gives its exit code and what it printed."""
    with tarfile.open(STORE) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "node.toml").write_text("[node]\ndata_folder = 'store'\n")

    def command(*words: str) -> tuple[int, str, str]:
        code = run([*words, "--config", str(tmp_path / "node.toml")])
        told = capsys.readouterr()
        return code, told.out, told.err

    return command


def listed(node: Any, state: str) -> dict[str, Any]:
    """The one job in that state."""
    (job,) = json.loads(node("jobs", "list", "--state", state, "--json")[1])
    return dict(job)


def test_status_counts_every_state(node: Any) -> None:
    """Each state that a job is in, and what stands in the queues."""
    code, told, _ = node("status", "--json")
    assert code == 0
    assert json.loads(told)["states"] == {"analysing": 1, "arriving": 1, "confirmed": 1, "delivering": 1}


def test_a_job_is_analysed_anew_under_the_models_of_today(node: Any) -> None:
    """It was analysed by others: a new job takes its place, and the old one says which."""
    old = listed(node, "confirmed")
    code, told, _ = node("jobs", "rerun", old["id"])
    assert code == 0
    assert told.strip().endswith(":0:analyse::0")
    assert listed(node, "waiting")["id"] == told.split(":")[0] != old["id"]
    superseded = listed(node, "superseded")
    assert (superseded["id"], superseded["results"]) == (old["id"], old["results"])
    code, told, _ = node("jobs", "rerun", old["id"])
    assert f"job {old['id']} was superseded" in told
    assert code == 1
    code, told, complaint = node("jobs", "rerun", listed(node, "waiting")["id"])
    assert (code, told) == (1, "")
    assert "is on its way (waiting)" in complaint


def test_a_span_of_time_is_analysed_anew(node: Any) -> None:
    """What is on its way is left; a model that nobody knows is a sentence."""
    done = listed(node, "confirmed")
    code, told, _ = node("jobs", "rerun", "--since", "2020-01-01", "--model", "nobody")
    assert code == 1
    assert "no models are called 'nobody'" in told
    _, told, _ = node("jobs", "rerun", "--since", "2020-01-01", "--until", "2021-01-01")
    assert told == ""
    day = datetime.fromtimestamp(done["created"], UTC).strftime("%Y-%m-%d")
    assert node("jobs", "rerun", "--since", day, "--until", f"{day}T00:00") == (0, "", "")
    _, told, _ = node("jobs", "rerun", "--since", day, "--until", day)
    assert len(told.splitlines()) == 1
    assert listed(node, "superseded")["id"] == done["id"]


def test_a_recall_names_who_has_what(node: Any) -> None:
    """A table of destinations and counts; the works that send the note; then the job says so."""
    done = listed(node, "confirmed")
    code, told, _ = node("jobs", "recall", done["id"], "--reason", "wrong levels")
    assert code == 0
    assert [line.split() for line in told.splitlines()] == [
        ["destination", "objects", "received"],
        ["pacs", "2"],
        [f"{done['id']}:1:deliver:pacs:0"],
    ]
    job = json.loads(node("jobs", "show", done["id"], "--json")[1])
    assert job["reason"] == "recalled: wrong levels"
    code, _, complaint = node("jobs", "recall", done["id"])
    assert code == 1
    assert "was recalled before" in complaint


def test_an_unknown_job_is_a_sentence(node: Any) -> None:
    """For each button."""
    for button in ("show", "retry", "cancel", "rerun", "recall"):
        code, _, complaint = node("jobs", button, "nobody")
        assert code == 1
        assert "no job has the id nobody" in complaint
