"""Ctrl-C ends the demonstration in each of its phases: a sentence, exit code 130, nothing left running."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from spineps_pacs import settings
from spineps_pacs.storage.records import SqlRecords
from spineps_pacs.storage.tables import open_database, sqlite_url
from walk.node import eventually

PATIENCE_S = 240.0
SHELL_SAYS_130 = (130, -int(signal.SIGINT))
"""Hit while it executed text (a dataclass is made), Python remembers that and at last dies of the signal itself."""


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    """The command as a person starts it; what it says goes to files."""
    command = [sys.executable, "-u", "-m", "spineps_pacs", "demo", "--folder", str(folder), *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        return subprocess.Popen(command, stdout=out, stderr=err, text=True, env=environment)


def said(folder: Path, words: str) -> bool:
    """True when the command has printed these words."""
    return words in (folder / "out").read_text()


def analysing(folder: Path) -> bool:
    """True when a worker of the demonstration's node has begun with a phase."""
    database = folder / "run-1" / "data" / "node.sqlite"
    if not database.exists():
        return False
    engine = open_database(sqlite_url(database))
    try:
        return any(job.phase and not job.ended for job in SqlRecords(engine, str).find(limit=10))
    finally:
        engine.dispose()


def nobody_left(folder: Path) -> bool:
    """True when no process works in the folder and no port of its node is heard any more."""
    config = folder / "run-1" / "spineps-pacs.toml"
    lines = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    if str(config) in lines:
        return False
    current = settings.load(config)
    return all(_free(port) for port in (current.dicom.port, current.web.port, current.destination[0].port))


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(
    "phase", ["making the study", "sending", "analysing", pytest.param("waiting for Ctrl-C", marks=pytest.mark.long)]
)
def test_ctrl_c_ends_every_phase(tmp_path: Path, phase: str) -> None:
    """Stopped while it makes, sends, analyses or has ended: exit code 130, one word on stderr, no traceback."""
    reached = {
        "making the study": lambda: said(tmp_path, "Demonstration"),
        "sending": lambda: re.search(r"sent +\d+ images", (tmp_path / "out").read_text()) is not None,
        "analysing": lambda: analysing(tmp_path),
        "waiting for Ctrl-C": lambda: said(tmp_path, "Ctrl-C stops it"),
    }[phase]
    process = started(tmp_path)
    try:
        assert eventually(lambda: reached() or process.poll() is not None, PATIENCE_S)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) in SHELL_SAYS_130, (tmp_path / "err").read_text()
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "err").read_text().strip().endswith("stopped")
    assert "Traceback" not in (tmp_path / "err").read_text() + (tmp_path / "out").read_text()
    assert eventually(lambda: nobody_left(tmp_path)), "a process of the node goes on"
