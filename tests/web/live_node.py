"""A whole node as its own process on free ports, a phantom study to send it, and a PACS that can be switched on."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from pydicom import dcmread
from pynetdicom import AllStoragePresentationContexts, ae, evt

from spineps_pacs.phantom.study import StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes

PAUSE_S = 0.3
TRUTH, EMBEDDED = 'folder = "study/truth"', 'device = "cpu"'
SMALL = StudyRequest(wishes=Wishes(levels="L1-S1"), slices=11, pixel=1.6, slice_spacing=5.0, only_t2=True)


@dataclass(frozen=True)
class LiveNode:
    """Where everything is."""

    folder: Path
    dicom: int
    web: int
    pacs: int
    series: dict[str, Path]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.web}"

    @property
    def config(self) -> Path:
        return self.folder / "spineps-pacs.toml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(happened: Callable[[], bool], limit_s: float = 240.0) -> None:
    """Waits until it happened; a failure says that it did not."""
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {limit_s:.0f} s"
        time.sleep(PAUSE_S)


@contextmanager
def live_node(folder: Path, request: StudyRequest = SMALL, models: str = TRUTH) -> Iterator[LiveNode]:
    """A node that analyses with the phantom's truth, or other models, and delivers to a PACS that is down at first."""
    spine = write_study(folder / "study", request).series[0]
    series = {"spine": spine, "t1": as_t1(spine, folder / "t1")}
    node = LiveNode(folder, free_port(), free_port(), free_port(), series)
    node.config.write_text(_configuration(node).replace(TRUTH, models))
    command = [sys.executable, "-m", "spineps_pacs", "serve", "--config", str(node.config)]
    with (folder / "node.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).parents[2])
        try:
            eventually(lambda: _answers(node.address) and _listens(node.dicom))
            yield node
        finally:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def as_t1(series: Path, folder: Path) -> Path:
    """The same images under other UIDs, with the times of a T1 weighted series."""
    folder.mkdir()
    for path in sorted(series.glob("*.dcm")):
        dataset = dcmread(path)
        dataset.SeriesInstanceUID += ".1"
        dataset.SOPInstanceUID += ".1"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.EchoTime, dataset.RepetitionTime = 11, 600
        dataset.save_as(folder / path.name, enforce_file_format=True)
    return folder


def _configuration(node: LiveNode) -> str:
    return f"""
[node]
data_folder = "data"
min_free_gb = 0.1
[dicom]
port = {node.dicom}
release_quiet_s = 0.3
[models]
{TRUTH}
[queue]
poll_s = 0.2
delivery_attempts = 1
[web]
port = {node.web}
[orthanc]
listen_port = 0
[[destination]]
name = "archive"
kind = "dicom"
host = "127.0.0.1"
port = {node.pacs}
called_ae = "ARCHIVE"
timeout_s = 5.0
"""


def send(node: LiveNode, folder: Path) -> None:
    """As a scanner does."""
    datasets = [dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    entity = ae.ApplicationEntity("SCANNER1")
    for kind in {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in datasets}:
        entity.add_requested_context(*kind)
    association = entity.associate("127.0.0.1", node.dicom, ae_title="SPINEPS")
    assert association.is_established
    assert [association.send_c_store(d).Status for d in datasets] == [0x0000] * len(datasets)
    association.release()


@contextmanager
def archive(node: LiveNode) -> Iterator[list[Any]]:
    """The PACS comes up; gives what it is sent."""
    received: list[Any] = []

    def keep(event: evt.Event) -> int:
        received.append(event.dataset)
        return 0x0000

    entity = ae.ApplicationEntity("ARCHIVE")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context("1.2.840.10008.1.1")
    server = entity.start_server(("127.0.0.1", node.pacs), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    try:
        yield received
    finally:
        server.shutdown()


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/healthz", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
