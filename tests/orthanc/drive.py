"""A real Orthanc with our plugin, a real node beside it, in a network namespace of their own; writes down what happens.

Run by test_plugin.py: `unshare -n python -m tests.orthanc.drive FOLDER STORY`. Prints nothing; writes seen.json.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pynetdicom import AE

from scripts.viewing.orthanc_server import OrthancOptions, address, get, post, start
from spineps_pacs.phantom.study import StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes

ROOT = Path(__file__).parents[2]
LIMIT_S = 240.0
RESULTS = Counter({"SEG": 2, "SR": 1, "OT": 1})
"""Series that a T2w series must have brought into its study."""


@dataclass(frozen=True)
class Place:
    """One Orthanc and its node: their folder and addresses."""

    folder: Path

    @property
    def options(self) -> OrthancOptions:
        """Orthanc with the plugin, which starts the node."""
        command = [sys.executable, "-m", "spineps_pacs", "serve", "--with-parent", "--config", str(self.config)]
        more = {
            "PythonScript": str(ROOT / "orthanc" / "plugin.py"),
            "Spineps": {"Node": "http://127.0.0.1:8044", "Command": command},
        }
        return OrthancOptions(self.folder, plugins=("libOrthancDicomWeb.so", "libOrthancPython.so"), more=more)

    @property
    def config(self) -> Path:
        """The node's configuration."""
        return self.folder / "node.toml"

    @property
    def url(self) -> str:
        """Orthanc's REST."""
        return address(self.options)


def prepare(folder: Path) -> Place:
    """A small phantom study with its truth as the model, and the node's configuration."""
    request = StudyRequest(Wishes(levels="L3-S1"), seed=5, slices=9, pixel=1.2)
    write_study(folder / "study", request)
    place = Place(folder)
    place.config.write_text(
        f"""[node]
data_folder = "data"
min_free_gb = 0.1
[dicom]
port = 0
[models]
folder = "study/truth"
[queue]
poll_s = 0.2
lease_s = 5.0
[web]
enabled = false
[orthanc]
url = "{place.url}"
[[destination]]
name = "orthanc"
kind = "orthanc"
url = "{place.url}"
"""
    )
    return place


def wait_for(what: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
    """The first answer that is true; a sentence when there is none in time."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            found = what()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            found = None
        if found:
            return found
        time.sleep(0.3)
    raise SystemExit(f"waited {limit_s:.0f} s for {getattr(what, '__name__', 'an answer')} in vain")


def modalities(url: str) -> Counter[str]:
    """How many series of each modality Orthanc holds."""
    return Counter(series["MainDicomTags"].get("Modality", "?") for series in get(url, "/series?expand"))


def arrived(url: str) -> bool:
    """All results are there."""
    return all(modalities(url)[kind] >= count for kind, count in RESULTS.items())


def states(url: str) -> dict[str, dict[str, Any]]:
    """What the plugin's route says of each MR series, by its description."""
    told = {}
    for series in get(url, "/series?expand"):
        if series["MainDicomTags"].get("Modality") == "MR":
            try:
                told[series["MainDicomTags"]["SeriesDescription"]] = get(url, f"/spineps/series/{series['ID']}")
            except urllib.error.HTTPError:
                told[series["MainDicomTags"]["SeriesDescription"]] = {}
    return told


def settled(url: str) -> bool:
    """Every MR series has come to an end."""
    ends = {"skipped", "delivered", "confirmed", "failed"}
    return all(job.get("state") in ends for job in states(url).values())


def send_by_dimse(place: Place) -> None:
    """Sends the study to Orthanc as a scanner does."""
    for folder in sorted((place.folder / "study" / "dicom").iterdir()):
        datasets = [dcmread(file) for file in sorted(folder.glob("*.dcm"))]
        entity = AE("SCANNER")
        entity.add_requested_context(datasets[0].SOPClassUID, datasets[0].file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", place.options.ports.dicom, ae_title="ORTHANC")
        for dataset in datasets:
            association.send_c_store(dataset)
        association.release()


def send_by_rest(place: Place) -> None:
    """Uploads the study by Orthanc's REST."""
    for file in sorted((place.folder / "study" / "dicom").rglob("*.dcm")):
        post(place.url, "/instances", file.read_bytes())


def seen(url: str) -> dict[str, Any]:
    """What stands in Orthanc at the end."""
    objects = []
    for instance in get(url, "/instances?expand"):
        tags = get(url, f"/instances/{instance['ID']}/simplified-tags")
        if tags["Modality"] != "MR":
            objects.append([tags["Modality"], tags["SOPInstanceUID"], tags["StudyInstanceUID"]])
    studies = len(get(url, "/studies"))
    return {"states": states(url), "modalities": modalities(url), "objects": sorted(objects), "studies": studies}


def story_plain(place: Place) -> dict[str, Any]:
    """C-STORE; then the same again by REST: nothing changes; then a clean end."""
    orthanc = start(place.options)
    send_by_dimse(place)
    wait_for(lambda: arrived(place.url) and settled(place.url))
    first = seen(place.url)
    send_by_rest(place)
    time.sleep(6)  # longer than StableAge: Orthanc would have told of a stable series by now
    wait_for(lambda: settled(place.url))
    again = seen(place.url)
    orthanc.terminate()
    return {"first": first, "again": again, "exit": orthanc.wait(60), "orphans": nodes(place)}


def nodes(place: Place) -> list[int]:
    """Processes of our node that still run."""
    found = subprocess.run(["pgrep", "-f", str(place.config)], capture_output=True, text=True, check=False).stdout
    return [int(pid) for pid in found.split() if int(pid) != os.getpid()]


def _worker(place: Place) -> list[int]:
    found = subprocess.run(["pgrep", "-f", f"worker.*{place.config}"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def story_killed(place: Place) -> dict[str, Any]:
    """The worker is killed, then Orthanc with everything; after a restart the results still come, once."""
    orthanc = start(place.options)
    send_by_rest(place)
    wait_for(lambda: _worker(place))
    for pid in _worker(place):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: any(job.get("state") for job in states(place.url).values()))
    orthanc.kill()
    orthanc.wait()
    wait_for(lambda: not nodes(place), 60)
    orthanc = start(place.options)
    wait_for(lambda: arrived(place.url) and settled(place.url))
    time.sleep(3)
    told = seen(place.url)
    orthanc.terminate()
    return {"first": told, "exit": orthanc.wait(60), "orphans": nodes(place)}


def story_button(place: Place) -> dict[str, Any]:
    """The series' page in Orthanc Explorer has the button and a state line; the button runs a skipped series now."""
    from playwright.sync_api import sync_playwright

    orthanc = start(place.options)
    send_by_rest(place)
    wait_for(lambda: settled(place.url))
    series = {
        s["MainDicomTags"]["SeriesDescription"]: s["ID"]
        for s in get(place.url, "/series?expand")
        if s["MainDicomTags"]["Modality"] == "MR"
    }
    told = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-quic"]
        )
        for name, orthanc_id in series.items():
            page = browser.new_page()  # the explorer keeps its pages; a fresh one shows no other series' state
            page.goto(f"{place.url}/app/explorer.html#series?uuid={orthanc_id}")
            page.wait_for_function("() => /Spine: (?!not)/.test(document.querySelector('.spineps-state')?.textContent)")
            told[name] = page.locator(".spineps-state").first.inner_text()
        button = page.locator("a.spineps").first.inner_text()
        page.screenshot(path=str(place.folder / "explorer.png"))
        browser.close()
    jobs = get(place.url, "/spineps/jobs")
    orthanc.terminate()
    return {"told": told, "button": button, "jobs": len(jobs), "exit": orthanc.wait(60)}


def main() -> None:
    """Reads the arguments, brings the loopback up, plays the story, writes seen.json."""
    folder, story = Path(sys.argv[1]), sys.argv[2]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    told = globals()[f"story_{story}"](prepare(folder))
    folder.joinpath("seen.json").write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
