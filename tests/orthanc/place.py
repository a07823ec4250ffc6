"""One Orthanc with our plugin and its node: where they live, how they are set up, and what stands in them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.viewing.orthanc_server import OrthancOptions, OrthancPorts, address, get
from spineps_pacs.phantom.study import StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes

ROOT = Path(__file__).parents[2]
LIMIT_S = 900.0
RESULTS = Counter({"SEG": 2, "SR": 1, "OT": 1})
"""Series that a T2w series must have brought into its study."""
USER, PASSWORD = "site", "a password"
LOCKED = {"AuthenticationEnabled": True, "RegisteredUsers": {USER: PASSWORD}}


@dataclass(frozen=True)
class Place:
    """One Orthanc and its node: their folder and addresses; `root` is the root of another Debian."""

    folder: Path
    root: Path | None = None

    @property
    def options(self) -> OrthancOptions:
        """Orthanc with the plugin, which starts the node; nobody gets in without a password."""
        bare = OrthancOptions(self.folder, root=self.root)
        command = [sys.executable, "-m", "spineps_pacs", "serve", "--with-parent", "--config", str(self.config)]
        more = LOCKED | {
            "PythonScript": bare.seen(ROOT / "orthanc" / "plugin.py"),
            "Spineps": {"Config": bare.seen(self.config), "Command": bare.run(command)},
        }
        plugins = ("libOrthancDicomWeb.so", "libOrthancPython.so")
        return OrthancOptions(self.folder, plugins=plugins, more=more, root=self.root)

    @property
    def neighbour(self) -> OrthancOptions:
        """Another Orthanc, without the plugin, that knows the first as a peer."""
        more = LOCKED | {"OrthancPeers": {"spine": [self.url, USER, PASSWORD]}}
        return OrthancOptions(self.folder / "neighbour", OrthancPorts(8062, 4262), (), more, self.root)

    @property
    def config(self) -> Path:
        """The node's configuration."""
        return self.folder / "node.toml"

    @property
    def url(self) -> str:
        """Orthanc's REST."""
        return address(OrthancOptions(self.folder))

    @property
    def images(self) -> dict[str, list[Path]]:
        """The files of each series of the study, by the name of its folder."""
        folders = sorted((self.folder / "study" / "dicom").iterdir())
        return {folder.name: sorted(folder.glob("*.dcm")) for folder in folders}

    def node_states(self) -> list[str]:
        """The states of the jobs that were not skipped, out of the node's own records."""
        records = self.folder / "data" / "node.sqlite"
        if not records.exists():
            return []
        try:
            with closing(sqlite3.connect(f"file:{records}?mode=ro", uri=True, timeout=5)) as database:
                return [state for (state,) in database.execute("SELECT state FROM jobs WHERE state != 'skipped'")]
        except sqlite3.OperationalError:  # the tables are being made
            return []


def prepare(folder: Path, root: Path | None = None) -> Place:
    """A small phantom study with its truth as the model, and the node's configuration."""
    log_in()
    request = StudyRequest(Wishes(levels="L3-S1"), seed=5, slices=9, pixel=1.2)
    write_study(folder / "study", request)
    place = Place(folder, root)
    folder.joinpath("password").write_text(PASSWORD)
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
delivery_delay_s = 1.0
[web]
enabled = false
[orthanc]
listen_port = 8045
url = "{place.url}"
user = "{USER}"
password_file = "password"
[[destination]]
name = "orthanc"
kind = "orthanc"
url = "{place.url}"
user = "{USER}"
password_file = "password"
"""
    )
    return place


def log_in() -> None:
    """From here on every request of this process shows the password where it is asked for."""
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, "http://127.0.0.1/", USER, PASSWORD)
    for port in (8042, 8062):
        passwords.add_password(None, f"http://127.0.0.1:{port}/", USER, PASSWORD)
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords)))


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
        time.sleep(0.05)
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
    found = states(url)
    return bool(found) and all(job.get("state") in ends for job in found.values())


def done(place: Place) -> None:
    """Waits until all results are there and every series has come to its end."""
    wait_for(lambda: arrived(place.url) and settled(place.url))


def seen(url: str) -> dict[str, Any]:
    """What stands in Orthanc at the end."""
    objects = []
    for instance in get(url, "/instances?expand"):
        tags = get(url, f"/instances/{instance['ID']}/simplified-tags")
        if tags["Modality"] != "MR":
            objects.append([tags["Modality"], tags["SOPInstanceUID"], tags["StudyInstanceUID"]])
    studies = len(get(url, "/studies"))
    return {"states": states(url), "modalities": modalities(url), "objects": sorted(objects), "studies": studies}


def nodes(place: Place, role: str = "") -> list[int]:
    """Processes of our node that still run; of one role alone: "worker"."""
    pattern = f"{role}.*{place.config}" if role else f"spineps_pacs.*{place.config}"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False).stdout
    return [int(pid) for pid in found.split()]
