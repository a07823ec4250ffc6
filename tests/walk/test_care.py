"""Back-up and restore as the page on care has them; and a node of true processes, started, reloaded and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from samples import series_of

from spineps_pacs.delivery.folder import FolderDestination
from spineps_pacs.domain.job import State
from walk.node import Back, Front, eventually
from walk.peers import echo, send

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")
"""The library leaves a socket to the garbage collector when the peer was the first to hang up."""


@pytest.mark.real("sqlite3")
@pytest.mark.real("rsync")
def test_what_was_backed_up_is_there_after_a_restore(tmp_path: Path) -> None:
    """A job that waited at the time of the back-up is done after the restore; those that came later as well.

    One of these had become a job before the folder was copied, so that a mark in it says "taken"; one had not.
    """
    data, backup, out = tmp_path / "data", tmp_path / "backup", tmp_path / "out"
    data.mkdir()
    backup.mkdir()
    front = Front(data)
    send(series_of("before"), front.port)
    (waiting,) = front.jobs()
    subprocess.run(["sqlite3", str(data / "node.sqlite"), f".backup '{backup}/node.sqlite'"], check=True)
    send(series_of("after"), front.port)
    for series in (data / "inbox").iterdir():
        os.utime(series, ns=(0, time.time_ns() - 3_600_123_456_789))  # rsync rounds what is younger than a second
    assert len(front.jobs()) == 2
    send(series_of("last"), front.port)
    subprocess.run(
        ["rsync", "-a", "--exclude", "node.sqlite*", "--exclude", "locks", f"{data}/", f"{backup}/data/"], check=True
    )
    front.close()
    shutil.rmtree(data)

    data.mkdir()
    subprocess.run(["rsync", "-a", f"{backup}/data/", f"{data}/"], check=True)
    shutil.copy(backup / "node.sqlite", data / "node.sqlite")
    front = Front(data)
    jobs = front.jobs()
    assert len(jobs) == 3
    assert waiting.id in {job.id for job in jobs}
    back = Back(data, {"pacs": FolderDestination("pacs", out)})
    for job in jobs:
        front.reaches(job.id, State.CONFIRMED)
    back.close()
    front.close()
    assert len(list(out.rglob("*.dcm"))) == 6


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


CONFIG = """
[node]
data_folder = "data"
min_free_gb = 0.0
[dicom]
port = {port}
callers = [{callers}]
quiet_s = 0.5
[queue]
poll_s = 0.1
[web]
enabled = false
[[destination]]
name = "out"
kind = "folder"
folder = "out"
"""
MR1, MR2 = '{ ae_title = "MR1" }', '{ ae_title = "MR2" }'


def write_config(folder: Path, port: int, callers: str) -> Path:
    file = folder / "node.toml"
    file.write_text(CONFIG.format(port=port, callers=callers))
    return file


@contextmanager
def serving(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`spineps-pacs serve` as a process."""
    command = [sys.executable, "-m", "spineps_pacs", "serve", "--config", str(config)]
    log = (config.parent / "log").open("ab")
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        log.close()


def test_a_node_is_started_reloaded_and_stopped(tmp_path: Path) -> None:
    """One command hears; SIGHUP lets a new caller in; a killed receiver comes again; SIGTERM ends all, exit 0."""
    port = free_port()
    config = write_config(tmp_path, port, MR1)
    with serving(config) as node:
        assert eventually(lambda: echo(port, "MR1") == 0), (tmp_path / "log").read_text()
        assert echo(port, "MR2") == -1
        write_config(tmp_path, port, f"{MR1}, {MR2}")
        node.send_signal(signal.SIGHUP)
        assert eventually(lambda: echo(port, "MR2") == 0)
        write_config(tmp_path, port, "oops")
        node.send_signal(signal.SIGHUP)
        assert eventually(lambda: "has a fault" in (tmp_path / "log").read_text())
        assert echo(port, "MR2") == 0
        write_config(tmp_path, port, f"{MR1}, {MR2}")
        receiver = children_of(node.pid, "--receive-only")
        assert len(receiver) == 1
        subprocess.run(["kill", "-KILL", str(receiver[0])], check=True)
        assert eventually(lambda: children_of(node.pid, "--receive-only") not in ([], receiver))
        assert eventually(lambda: echo(port, "MR1") == 0)
        node.send_signal(signal.SIGTERM)
        assert node.wait(60) == 0
    assert echo(port, "MR1") == -1


def test_children_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    """Not even SIGKILL of the supervisor leaves a process behind."""
    port = free_port()
    with serving(write_config(tmp_path, port, MR1)) as node:
        assert eventually(lambda: echo(port, "MR1") == 0), (tmp_path / "log").read_text()
        node.kill()
        node.wait()
    assert eventually(lambda: echo(port, "MR1") == -1)


@pytest.mark.parametrize("fault", ["port", "folder", "key"])
def test_a_node_that_cannot_start_says_why(tmp_path: Path, fault: str) -> None:
    """A sentence and exit code 2 or 1: a port in use, a folder that cannot be used, a key that is unknown."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1] if fault == "port" else free_port()
        config = write_config(tmp_path, port, MR1)
        if fault == "folder":
            (tmp_path / "data").write_text("a file where the folder should be")
        if fault == "key":
            config.write_text(config.read_text().replace("quiet_s", "quite_s"))
        command = [sys.executable, "-m", "spineps_pacs", "serve", "--receive-only", "--config", str(config)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)
    assert done.returncode in (1, 2)
    assert {"port": "in use", "folder": "data", "key": "quite_s"}[fault] in done.stderr
    assert "Traceback" not in done.stderr


def children_of(pid: int, word: str) -> list[int]:
    """The processes that a process has started whose command line holds a word."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes().decode()
        except (OSError, ValueError):
            continue
        if parent == pid and word in command:
            found.append(int(status.parent.name))
    return found
