"""The plugin in a real Orthanc, with a real node beside it: results come into the study, once, whatever is killed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.real("Orthanc"), pytest.mark.real("unshare"), pytest.mark.timeout(600)]


def play(folder: Path, story: str) -> dict[str, Any]:
    """Plays one story in a network namespace of its own."""
    command = [
        "unshare",
        "-rn" if not _root() else "-n",
        sys.executable,
        "-m",
        "tests.orthanc.drive",
        str(folder),
        story,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return told


def _root() -> bool:
    import os

    return os.geteuid() == 0


def test_results_come_into_the_study_once(tmp_path: Path) -> None:
    """C-STORE brings two SEGs, a report and two pictures; skipped series say why; a second upload changes nothing."""
    told = play(tmp_path, "plain")
    first, again = told["first"], told["again"]
    assert Counter(kind for kind, _, _ in first["objects"]) == {"SEG": 2, "SR": 1, "OT": 2}
    assert len({study for _, _, study in first["objects"]}) == first["studies"] == 1
    by_state = Counter(job["state"] for job in first["states"].values())
    assert by_state["skipped"] == 3
    assert all(job["reason"] for job in first["states"].values() if job["state"] == "skipped")
    assert again["objects"] == first["objects"]
    assert (told["exit"], told["orphans"]) == (0, [])


def test_what_was_killed_comes_back(tmp_path: Path) -> None:
    """A killed worker and a killed Orthanc lose nothing and double nothing."""
    told = play(tmp_path, "killed")
    assert Counter(kind for kind, _, _ in told["first"]["objects"]) == {"SEG": 2, "SR": 1, "OT": 2}
    assert (told["exit"], told["orphans"]) == (0, [])


@pytest.mark.real("chromium")
def test_the_explorer_shows_button_and_state(tmp_path: Path) -> None:
    """Each series' page has the button and says what became of the series."""
    told = play(tmp_path, "button")
    assert told["button"].strip() == "Segment spine"
    assert sum("skipped" in line for line in told["told"].values()) == 3
    assert sum("delivered" in line or "confirmed" in line for line in told["told"].values()) == 1
    assert told["jobs"] >= 4


def test_the_plugin_needs_nothing_but_orthanc() -> None:
    """It imports the standard library and `orthanc`, so it runs in whatever Python Orthanc embeds."""
    tree = ast.parse((ROOT / "orthanc" / "plugin.py").read_text())
    names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names - {"orthanc"} <= set(sys.stdlib_module_names)
