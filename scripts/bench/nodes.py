"""A node in a process of its own, a destination that notes when results come, and a sender."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, build_context, evt

from spineps_pacs.phantom.study import StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes

SMALL = StudyRequest(Wishes(levels="L1-S1"), 1, slices=9, pixel=1.6, slice_spacing=7.0, only_t2=True)
WAIT_S, POLL_S = 340.0, 0.02


@dataclass
class Destination:
    """A PACS that only notes when each result was stored."""

    stored: list[float] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def store(self, event: Any) -> int:
        """Reads the data set as a PACS would."""
        _ = event.dataset
        with self.lock:
            self.stored.append(time.time())
        return 0x0000


@contextmanager
def destination() -> Iterator[tuple[Destination, int]]:
    """The destination and its port."""
    pacs, ae = Destination(), AE("BENCHPACS")
    ae.supported_contexts = AllStoragePresentationContexts
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, pacs.store)])
    try:
        yield pacs, int(server.server_address[1])
    finally:
        ae.shutdown()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configuration(folder: Path, ports: Sequence[int], models: str, hands: int = 1) -> Path:
    """A node's configuration: its DICOM port, its web port, its destination's port; models, and series in hand."""
    file = folder / "node.toml"
    file.write_text(
        f"""[node]
data_folder = "data"
min_free_gb = 0.2
[dicom]
port = {ports[0]}
quiet_s = 5.0
release_quiet_s = 0.5
[models]
{models}
[queue]
poll_s = 0.2
series_at_once = {hands}
[web]
port = {ports[1]}
[orthanc]
listen_port = 0
[[destination]]
name = "pacs"
kind = "dicom"
host = "127.0.0.1"
port = {ports[2]}
called_ae = "BENCHPACS"
""",
        encoding="utf-8",
    )
    return file


@contextmanager
def serving(config: Path, port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """The node, once its DICOM port answers."""
    command = [sys.executable, "-m", "spineps_pacs", "serve", "--config", str(config), *more]
    with (config.parent / "node.log").open("wb") as log, subprocess.Popen(command, stderr=log, stdout=log) as process:
        try:
            until(lambda: answers(port), "the node's port")
            yield process
        finally:
            process.terminate()


def answers(port: int) -> bool:
    """True when somebody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(happened: Any, what: str, wait_s: float = WAIT_S) -> None:
    """Waits; ends the measurement where it takes too long."""
    deadline = time.monotonic() + wait_s
    while not happened():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come within {wait_s:.0f} s")
        time.sleep(POLL_S)


def study(folder: Path, request: StudyRequest = SMALL) -> list[Dataset]:
    """One series of a made-up study; its truth lies beside it in `truth`."""
    station = write_study(folder, request).stations[0]
    return [dcmread(path) for path in sorted(station.folder.glob("*.dcm"))]


def another(series: Sequence[Dataset], number: int) -> list[Dataset]:
    """The same images as those of another patient; the frame of reference stays, by which the truth is found."""
    study_uid, series_uid = generate_uid(), generate_uid()
    made = []
    for dataset in series:
        copy = deepcopy(dataset)
        copy.PatientID, copy.StudyInstanceUID, copy.SeriesInstanceUID = f"BENCH{number:04d}", study_uid, series_uid
        copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        made.append(copy)
    return made


def send(datasets: Sequence[Dataset], port: int) -> float:
    """One association with all images; gives the time of the last answer."""
    kinds = {(str(d.SOPClassUID), str(d.file_meta.TransferSyntaxUID)) for d in datasets}
    association = AE("BENCH").associate("127.0.0.1", port, [build_context(*kind) for kind in kinds], ae_title="SPINEPS")
    if not association.is_established:
        raise SystemExit("the node refused the association")
    for dataset in datasets:
        status = association.send_c_store(dataset).get("Status")
        if status != 0x0000:
            raise SystemExit(f"the node answered {status}")
    done = time.time()
    association.release()
    return done


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
