"""The command `demo`: a node on this machine, a made-up study sent to it as a scanner would, and what comes back."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from spineps_pacs.cli.interrupted import Stop, told_to_stop
from spineps_pacs.domain.errors import SpinepsPacsError, TryAgain
from spineps_pacs.domain.job import Job, State

if TYPE_CHECKING:
    from pydicom import Dataset
    from pynetdicom.association import Association

    from spineps_pacs.settings import Settings

Flag = Annotated[bool, Parameter(negative="")]
AE, POLL_S = "SPINEPS", 0.4
NEEDED_GB = 1.0


class DemoFailed(SpinepsPacsError):
    """The demonstration could not be brought to its end."""


@dataclass(frozen=True)
class Ground:
    """Where one demonstration lives: its folder, the node's ports, and the port of the stand-in for a PACS."""

    folder: Path
    dicom: int
    web: int
    pacs: int

    @property
    def config(self) -> Path:
        """The configuration of its node."""
        return self.folder / "spineps-pacs.toml"

    @property
    def received(self) -> Path:
        """Where the stand-in for a PACS keeps what it was sent."""
        return self.folder / "received"


def demo(
    *, once: Flag = False, viewer: Flag = False, seed: int = 1, folder: Path = Path("build/demo"), minutes: float = 20
) -> int:
    """Run a node on this machine, send it a made-up study, and show what comes back.

    Parameters
    ----------
    once
        Stop when the results have arrived, instead of going on until Ctrl-C.
    viewer
        Open the study and its results in OHIF, where Orthanc and a browser are installed.
    seed
        Which made-up patient.
    folder
        Where the demonstration writes; each run gets a folder of its own in it.
    minutes
        Give up when the results have not come by then.
    """
    ground = prepare(folder)
    print(_first_line())
    with told_to_stop() as stop, _pacs(ground), _node(ground, stop) as node:
        series = _study(ground, seed)
        _await_port(node, ground.dicom)
        _send(ground, node, series)
        jobs = _watch(ground, node, len(series), time.monotonic() + 60 * minutes)
        code = _tell(ground, jobs)
        if viewer:
            _view(ground)
        elif not once:
            print("\nThe node goes on running; Ctrl-C stops it.")
            _wait(node)
    return code


def prepare(folder: Path) -> Ground:
    """A fresh folder with a configuration on free ports; nothing that was there is touched."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run = next(p for p in (folder / f"run-{n}" for n in range(1, 10_000)) if not p.exists())
        run.mkdir()
    except OSError as error:
        raise DemoFailed(f"{folder} cannot be written: {error.strerror}") from error
    free = shutil.disk_usage(run).free / 1e9
    if free < NEEDED_GB:
        raise DemoFailed(f"{run}: {free:.1f} GB are free, the demonstration needs {NEEDED_GB:.0f} GB")
    ground = Ground(run.resolve(), *(_free_port(wanted) for wanted in (11112, 8080, 11113)))
    ground.config.write_text(_configuration(ground))
    return ground


def _configuration(ground: Ground) -> str:
    return f"""# Written by `spineps-pacs demo`.
[node]
data_folder = "data"
min_free_gb = 0.2

[dicom]
ae_title = "{AE}"
port = {ground.dicom}
quiet_s = 5.0
release_quiet_s = 0.5

[models]
{_models()}

[queue]
poll_s = 0.2

[web]
port = {ground.web}

[orthanc]
listen_port = 0

[[destination]]
name = "demo-pacs"
kind = "dicom"
host = "127.0.0.1"
port = {ground.pacs}
called_ae = "DEMOPACS"
"""


def _models() -> str:
    """The embedded model; until a package holds one, the truth of the phantom."""
    from spineps_pacs.engines.weights import embedded_folder

    return "# the embedded model" if embedded_folder() else 'folder = "study/truth"'


def _free_port(wanted: int) -> int:
    """The wanted port when nobody listens there, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed("no port is free on 127.0.0.1")


def _first_line() -> str:
    from spineps_pacs.engines.weights import embedded_folder

    if embedded_folder() is None:
        return (
            "No embedded model is in this package: the demonstration runs on the phantom's own truth, not on a network."
        )
    return "Demonstration with the embedded model: trained on synthetic spines, not for diagnosis or measurement."


@dataclass(frozen=True)
class Node:
    """The node's process, and whether the demonstration was told to stop."""

    process: subprocess.Popen[bytes]
    stop: Stop

    def look(self) -> None:
        """Goes on only while the node runs and nobody has pressed Ctrl-C."""
        self.stop.look()
        if self.process.poll() is not None:
            raise DemoFailed(f"the node ended with exit code {self.process.returncode}; see node.log in its folder")


@contextmanager
def _pacs(ground: Ground) -> Iterator[None]:
    """A stand-in for a PACS: keeps every object that it is sent as a file."""
    from pynetdicom import AllStoragePresentationContexts, ae, evt

    ground.received.mkdir()

    def keep(event: evt.Event) -> int:
        target = ground.received / f"{event.request.AffectedSOPInstanceUID}.dcm"
        target.write_bytes(event.encoded_dataset())
        return 0x0000

    entity = ae.ApplicationEntity("DEMOPACS")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context("1.2.840.10008.1.1")
    server = entity.start_server(("127.0.0.1", ground.pacs), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    try:
        yield
    finally:
        server.shutdown()


@contextmanager
def _node(ground: Ground, stop: Stop) -> Iterator[Node]:
    """The node as a process of its own; its log goes to node.log."""
    with (ground.folder / "node.log").open("wb") as log:
        command = [sys.executable, "-m", "spineps_pacs", "serve", "--with-parent", "--config", str(ground.config)]
        node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        try:
            yield Node(node, stop)
        finally:
            node.terminate()
            try:
                node.wait(timeout=30)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()


def _study(ground: Ground, seed: int) -> tuple[Path, ...]:
    from rich.console import Console

    from spineps_pacs.phantom.study import StudyRequest, write_study

    with Console(stderr=True).status("Making a study: sagittal T2, sagittal T1, axial T2, localizer ..."):
        study = write_study(ground.folder / "study", StudyRequest(seed=seed))
    print(f"A made-up study of {len(study.series)} series stands in {ground.folder / 'study'}")
    return study.series


def _await_port(node: Node, port: int, limit_s: float = 90.0) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        node.look()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(POLL_S)
    raise DemoFailed(f"the node does not listen on port {port} after {limit_s:.0f} s; see node.log")


def _send(ground: Ground, node: Node, series: Sequence[Path]) -> None:
    """Sends each series in an association of its own, as a scanner does."""
    from pydicom import dcmread
    from rich.progress import Progress

    with Progress(transient=True) as progress:
        for folder in series:
            files = sorted(folder.glob("*.dcm"))
            task = progress.add_task(f"sending {folder.name}", total=len(files))
            datasets = [dcmread(file) for file in files]
            with _association(ground, node, datasets) as association:
                for dataset in datasets:
                    node.look()
                    if association.send_c_store(dataset).get("Status") != 0x0000:
                        raise DemoFailed(f"the node did not take an image of {folder.name}")
                    progress.advance(task)
            progress.console.print(f"sent {len(files):3d} images of {folder.name}")


@contextmanager
def _association(ground: Ground, node: Node, datasets: Sequence[Dataset]) -> Iterator[Association]:
    """A scanner's association; aborted when the sending ends early, since its thread would outlive the command.

    For the same reason Ctrl-C waits while it is opened: half open, nobody could end it.
    """
    from pynetdicom import ae

    entity = ae.ApplicationEntity("SCANNER")
    for kind in {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in datasets}:
        entity.add_requested_context(*kind)
    with node.stop.held():
        association = entity.associate("127.0.0.1", ground.dicom, ae_title=AE)
    if not association.is_established:
        raise TryAgain("the node refused the scanner's association")
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    association.release()


def _watch(ground: Ground, node: Node, expected: int, deadline: float) -> list[Job]:
    """Shows each series' state and phase until all have come to an end."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from spineps_pacs import app

    records = app.shared(_settings(ground)).records
    shown: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        while time.monotonic() < deadline:
            node.look()
            jobs = list(records.find(limit=50))
            for job in reversed(jobs):
                if job.id not in shown:
                    shown[job.id] = progress.add_task("", total=1.0)
                done = 1.0 if _settled(job) else min(job.progress, 0.99)
                words = f"series {shown[job.id] + 1}: {job.state} {job.phase}"
                progress.update(shown[job.id], description=words.ljust(44), completed=done)
            if len(jobs) >= expected and all(_settled(job) for job in jobs):
                return jobs
            time.sleep(POLL_S)
    raise DemoFailed("the results have not come in time; see node.log in the demonstration's folder")


def _settled(job: Job) -> bool:
    return job.ended or job.state is State.DELIVERED


def _settings(ground: Ground) -> Settings:
    from spineps_pacs import settings

    return settings.load(ground.config)


def _tell(ground: Ground, jobs: Sequence[Job]) -> int:
    """The table of results, the reasons of the others, the objects at the destination, the address of the page."""
    from rich.console import Console

    from spineps_pacs.cli.received import tables

    console = Console()
    for table in tables(ground.received):
        console.print(table)
    for job in jobs:
        if job.state is State.SKIPPED:
            console.print(f"skipped: {job.reason}", highlight=False)
    bad = [job for job in jobs if job.state not in {State.SKIPPED, State.DELIVERED, State.CONFIRMED}]
    for job in bad:
        console.print(f"{job.state}: {job.reason}", highlight=False)
    console.print(f"objects at the destination: {ground.received}", highlight=False, soft_wrap=True)
    console.print(f"operator's page: http://127.0.0.1:{ground.web}/", highlight=False)
    return 1 if bad or not any(ground.received.iterdir()) else 0


def _view(ground: Ground) -> None:
    """OHIF and its Orthanc, until Ctrl-C; they hear of it from us, once, and end in order."""
    script = Path("scripts/viewer")
    if not script.exists():
        raise DemoFailed("the viewer is part of the repository, not of the package: `make demo VIEWER=1` in a clone")
    viewer = subprocess.Popen([sys.executable, str(script), str(ground.folder)], start_new_session=True)
    try:
        viewer.wait()
    finally:
        viewer.terminate()
        viewer.wait(60)


def _wait(node: Node) -> None:
    while True:
        node.look()
        time.sleep(POLL_S)
