"""The plugin in a real Orthanc, with a real node beside it: results come into the study, once, whatever is killed."""

from __future__ import annotations

import ast
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.orthanc.conftest import FIRST, Play, kinds
from tests.orthanc.killing import AS_GOOD, STAGES, VICTIMS

ROOT = Path(__file__).parents[2]
ALL = ("stable both", "analysing worker", "delivering orthanc")
pytestmark = [pytest.mark.real("Orthanc"), pytest.mark.real("unshare"), pytest.mark.timeout(1800)]


def test_every_door_brings_results_into_the_study_once(play: Play) -> None:
    """C-STORE, REST, STOW-RS, a peer: each sets the node to work; skipped series say why; the same again is nothing."""
    told = play("doors")
    first, again = told["first"], told["again"]
    assert kinds(first["objects"]) == FIRST
    assert len({study for _, _, study in first["objects"]}) == first["studies"] == 1
    by_state = Counter(job["state"] for job in first["states"].values())
    assert by_state in ({"skipped": 3, "delivered": 1}, {"skipped": 3, "confirmed": 1})
    assert all(job["reason"] for job in first["states"].values() if job["state"] == "skipped")
    assert again["objects"] == first["objects"]
    assert (told["exit"], told["orphans"]) == (0, []), told["log"]


def test_what_was_killed_comes_back(play: Play) -> None:
    """Both before anybody told of the images, the worker at work, Orthanc in the delivery: nothing lost or doubled."""
    told = play("killed", *ALL)
    assert len(told["held"]) == len(ALL)
    assert all(kill.split()[0] in states.split(",") for kill, states in zip(ALL, told["held"], strict=True))
    assert kinds(told["first"]["objects"]) == FIRST
    assert (told["exit"], told["orphans"]) == (0, []), told["log"]


@pytest.mark.long
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("stage", STAGES)
def test_whoever_is_killed_at_any_stage(play: Play, stage: str, victim: str) -> None:
    """The long form: each of them, at each stage."""
    told = play("killed", f"{stage} {victim}")
    assert [bool({stage, AS_GOOD.get(stage)} & set(states.split(","))) for states in told["held"]] == [True]
    assert kinds(told["first"]["objects"]) == FIRST
    assert (told["exit"], told["orphans"]) == (0, []), told["log"]


@pytest.mark.real("chromium")
def test_the_explorer_shows_button_and_state(play: Play, tmp_path: Path, shots: Path) -> None:
    """Each series' page has the button and says what became of it; wishes are granted or told why not; all by login."""
    told = play("button")
    assert told["button"].strip() == "Segment spine"
    assert sum("skipped" in line for line in told["told"].values()) == 3
    assert sum("delivered" in line or "confirmed" in line for line in told["told"].values()) == 1
    assert Counter(job["state"] == "skipped" for job in told["jobs"]) == {True: 3, False: 1}
    assert told["refused"] == [401, 401]
    granted, *wrong, unseen = told["asked"]
    assert granted[0] == 200  # Orthanc's plugins answer nothing else when all is well
    assert "work" in granted[1]
    assert [code for code, _ in wrong] == [400, 400, 404]
    assert "priority" in wrong[0][1]["error"]
    assert unseen == [404, {"error": "not seen yet"}]
    shutil.copyfile(tmp_path / "explorer.png", shots / "explorer.png")


def test_the_plugin_needs_nothing_but_orthanc() -> None:
    """It imports the standard library and `orthanc`, so it runs in whatever Python Orthanc embeds."""
    tree = ast.parse((ROOT / "orthanc" / "plugin.py").read_text())
    names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names - {"orthanc"} <= set(sys.stdlib_module_names)
