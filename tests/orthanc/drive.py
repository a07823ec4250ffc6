"""A real Orthanc with our plugin, a real node beside it, in namespaces of their own; writes down what happens.

Run by conftest.py in namespaces: `python -m tests.orthanc.drive FOLDER STORY [WORD ...] [--root ROOT]`. Prints nothing;
writes seen.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.viewing.orthanc_server import get, start
from tests.orthanc.archive import story_archive
from tests.orthanc.doors import DOORS, whole_study
from tests.orthanc.killing import begin, hold, kill
from tests.orthanc.place import PASSWORD, USER, Place, done, nodes, prepare, seen, settled, wait_for


def story_doors(place: Place) -> dict[str, Any]:
    """Each series through another door; then the whole study by REST once more: nothing changes; then a clean end."""
    orthanc = start(place.options)
    ways = dict(zip(place.images, DOORS, strict=True))
    for series, files in place.images.items():
        DOORS[ways[series]](place, files)
    done(place)
    first = seen(place.url)
    whole_study(place)
    time.sleep(6)  # longer than StableAge: Orthanc would have told of a stable series by now
    wait_for(lambda: settled(place.url))
    again = seen(place.url)
    orthanc.terminate()
    return {"first": first, "again": again, "exit": orthanc.wait(60), "orphans": nodes(place)}


def story_killed(place: Place, *kills: str) -> dict[str, Any]:
    """Kills as "stage victim", one after the other in the same work; the results still come, once."""
    plan = [one.split() for one in kills]
    orthanc, held = begin(place, plan[0][0]), []
    for stage, victim in plan:
        held.append(hold(place, orthanc, stage))
        orthanc = kill(place, orthanc, victim)
    done(place)
    time.sleep(3)
    told = seen(place.url)
    orthanc.terminate()
    return {"held": held, "first": told, "exit": orthanc.wait(60), "orphans": nodes(place)}


def story_button(place: Place) -> dict[str, Any]:
    """The series' page in Orthanc Explorer has the button and a state line; the routes; who may use them."""
    orthanc = start(place.options)
    whole_study(place)
    done(place)
    series = {
        s["MainDicomTags"]["SeriesDescription"]: s["ID"]
        for s in get(place.url, "/series?expand")
        if s["MainDicomTags"]["Modality"] == "MR"
    }
    told, button = explorer(place, series)
    some = next(iter(series.values()))
    refused = [without_password(place, path) for path in ("/spineps/jobs", f"/spineps/series/{some}")]
    jobs = get(place.url, "/spineps/jobs")
    asked = wishes(place, some)
    wait_for(lambda: settled(place.url))
    orthanc.terminate()
    ended = orthanc.wait(60)
    return {"told": told, "button": button, "jobs": jobs, "refused": refused, "asked": asked, "exit": ended}


def wishes(place: Place, series: str) -> list[list[Any]]:
    """What the plugin's routes answer: a wish that is granted, then others that cannot be; status and body."""
    asked = ((series, b'{"priority": 7, "models": []}'), (series, b'{"priority": 0}'), (series, b"?"), ("no-id", b"{}"))
    answers = [answer(place, f"/spineps/series/{one}", body) for one, body in asked]
    return [*answers, answer(place, "/spineps/series/" + "0" * 8 + "-00000000" * 4, None)]


def answer(place: Place, path: str, body: bytes | None) -> list[Any]:
    """Status and JSON of an answer, whether it is an error or not."""
    try:
        with urllib.request.urlopen(place.url + path, data=body, timeout=60) as got:
            return [got.status, json.load(got)]
    except urllib.error.HTTPError as error:
        return [error.code, json.load(error)]


def explorer(place: Place, series: dict[str, str]) -> tuple[dict[str, str], str]:
    """What the page of each series says of its state, and the words on the button."""
    from playwright.sync_api import sync_playwright

    told = {}
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-quic"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        visitor = browser.new_context(http_credentials={"username": USER, "password": PASSWORD})
        for name, orthanc_id in series.items():
            page = visitor.new_page()  # the explorer keeps its pages; a fresh one shows no other series' state
            page.goto(f"{place.url}/app/explorer.html#series?uuid={orthanc_id}")
            page.wait_for_function("() => /Spine: (?!not)/.test(document.querySelector('.spineps-state')?.textContent)")
            told[name] = page.locator(".spineps-state").first.inner_text()
        button = page.locator("a.spineps").first.inner_text()
        page.screenshot(path=str(place.folder / "explorer.png"))
        browser.close()
    return told, button


def without_password(place: Place, path: str) -> int:
    """What Orthanc answers to somebody who shows none."""
    try:
        with urllib.request.build_opener().open(place.url + path, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


STORIES: dict[str, Callable[..., dict[str, Any]]] = {
    "doors": story_doors,
    "killed": story_killed,
    "button": story_button,
    "archive": story_archive,
}


def mount(root: Path) -> None:
    """Gives the other Debian this machine's files and devices, in this mount namespace alone."""
    for source, target in (("/", "host"), ("/dev", "dev"), ("/proc", "proc")):
        root.joinpath(target).mkdir(exist_ok=True)
        subprocess.run(["mount", "--rbind", source, str(root / target)], check=True)


def main() -> None:
    """Reads the arguments, brings the loopback up, plays the story, writes seen.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("story", choices=STORIES)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--root", type=Path)
    given = parser.parse_args()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if given.root is not None:
        mount(given.root)
    told = STORIES[given.story](prepare(given.folder, given.root), *given.words)
    given.folder.joinpath("seen.json").write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
