"""A real Orthanc of our own: its configuration, its start, its end, and the little of its REST that we need."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PLUGINS = Path("/usr/share/orthanc/plugins")
OUTSIDE = Path("/host")
"""Where an Orthanc with a root of its own finds the machine's files."""


@dataclass(frozen=True)
class OrthancPorts:
    """Where an Orthanc of ours listens."""

    http: int = 8042
    dicom: int = 4242


@dataclass(frozen=True)
class OrthancOptions:
    """What an Orthanc is started with: its folder, ports, plugins by file name, and further configuration.

    `root` names the root of another Debian (scripts/orthanc-root), in which this machine's files lie at `OUTSIDE`.
    """

    folder: Path
    ports: OrthancPorts = OrthancPorts()
    plugins: tuple[str, ...] = ("libOrthancDicomWeb.so",)
    more: dict[str, Any] = field(default_factory=dict)
    root: Path | None = None

    def seen(self, path: Path) -> str:
        """A file of this machine as Orthanc sees it."""
        return str(path if self.root is None else OUTSIDE / path.resolve().relative_to("/"))

    def run(self, command: list[str]) -> list[str]:
        """A command that Orthanc shall start on this machine."""
        return command if self.root is None else ["chroot", str(OUTSIDE), *command]


def configuration(options: OrthancOptions) -> dict[str, Any]:
    """Orthanc's JSON: for this machine alone, without users, series stable after two seconds."""
    return {
        "Name": "spineps-pacs",
        "StorageDirectory": options.seen(options.folder / "storage"),
        "IndexDirectory": options.seen(options.folder / "storage"),
        "HttpPort": options.ports.http,
        "DicomPort": options.ports.dicom,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StableAge": 2,
        "OverwriteInstances": False,
        "Plugins": [str(PLUGINS / name) for name in options.plugins],
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "EnableWado": True,
            "StudiesMetadata": "Full",
            "SeriesMetadata": "Full",
        },
    } | options.more


@contextmanager
def running(options: OrthancOptions) -> Iterator[str]:
    """An Orthanc for as long as the block lasts; gives its address."""
    process = start(options)
    try:
        yield address(options)
    finally:
        process.terminate()
        process.wait(timeout=30)


def address(options: OrthancOptions) -> str:
    """Base address of its REST."""
    return f"http://127.0.0.1:{options.ports.http}"


def start(options: OrthancOptions) -> subprocess.Popen[bytes]:
    """Starts Orthanc and waits until it answers; its log goes to orthanc.log in its folder."""
    program = [installed() or "Orthanc"]
    if options.root is not None:
        program = ["chroot", str(options.root), "/usr/sbin/Orthanc"]
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "orthanc.json"
    file.write_text(json.dumps(configuration(options), indent=1))
    with (options.folder / "orthanc.log").open("ab") as log:
        process = subprocess.Popen([*program, options.seen(file)], stdout=log, stderr=log)
    _await(process, address(options), options.folder)
    return process


def installed() -> str | None:
    """Where Orthanc is; Debian keeps it where only root's search path leads."""
    return shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _await(process: subprocess.Popen[bytes], url: str, folder: Path, limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"Orthanc ended at once (exit code {process.returncode}); see {folder / 'orthanc.log'}")
        try:
            get(url, "/system")
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"Orthanc does not answer at {url}")


def get(url: str, path: str) -> Any:
    """The JSON at a path of Orthanc's REST."""
    with urllib.request.urlopen(url + path, timeout=30) as answer:
        return json.load(answer)


def post(url: str, path: str, body: bytes) -> Any:
    """Posts to a path of Orthanc's REST."""
    with urllib.request.urlopen(urllib.request.Request(url + path, data=body, method="POST"), timeout=60) as answer:
        return json.load(answer)


def upload(url: str, folder: Path) -> int:
    """Uploads every file under a folder; gives their number."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    for path in files:
        post(url, "/instances", path.read_bytes())
    return len(files)
