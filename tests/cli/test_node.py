"""The processes of a node as they start: signals that come early, and the GPUs that the site has given it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from walk.node import eventually
from walk.test_care import MR1, children_of, free_port, serving, write_config

from spineps_pacs.cli.node import _children
from spineps_pacs.settings import Settings

EARLY = """
import os, runpy, signal, sys

class Early:
    def find_spec(self, name, path, target=None):
        if name == "spineps_pacs.cli":
            os.kill(os.getpid(), signal.SIGHUP)

sys.meta_path.insert(0, Early())
runpy.run_module("spineps_pacs", run_name="__main__")
"""
"""The command, which is told of a change as soon as it loads anything of ours."""
RENEWED, AGAIN = "configuration is in force", "started again"


def early(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    """The command as a process."""
    log = (folder / "log").open("wb")
    with log:
        return subprocess.Popen([sys.executable, "-c", EARLY, *command], stdout=log, stderr=log)


def test_a_change_that_is_told_too_early_waits(tmp_path: Path) -> None:
    """SIGHUP before anything is loaded ends nobody: the file is read anew once the process can; SIGTERM gives 0."""
    config, log = write_config(tmp_path, free_port(), MR1), tmp_path / "log"
    with early(tmp_path, "serve", "--receive-only", "--config", str(config)) as node:
        assert eventually(lambda: node.poll() is not None or RENEWED in log.read_text())
        node.send_signal(signal.SIGTERM)
        assert node.wait(60) == 0, log.read_text()


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_who_cannot_start_says_so_all_the_same(tmp_path: Path, command: str) -> None:
    """Exit code 2 and a sentence, not a death by SIGHUP."""
    with early(tmp_path, command, "--config", str(tmp_path / "none.toml")) as node:
        assert node.wait(60) == 2
    assert "none.toml" in (tmp_path / "log").read_text()


def test_a_child_that_is_just_born_hears_of_a_change_later(tmp_path: Path) -> None:
    """A reload while receiver and worker still start ends neither of them, and reaches both."""
    config, log = write_config(tmp_path, free_port(), MR1), tmp_path / "log"
    with serving(config) as node:
        assert eventually(lambda: bool(children_of(node.pid, "worker")))
        node.send_signal(signal.SIGHUP)
        assert eventually(lambda: log.read_text().count(RENEWED) == 3 or AGAIN in log.read_text())
        node.send_signal(signal.SIGTERM)
        assert node.wait(60) == 0
    assert AGAIN not in log.read_text()


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, ["0", "1"]),
        ("2,3", ["2", "3"]),
        ("GPU-b, GPU-a,0", ["GPU-b", "GPU-a"]),
        ("5", ["5", "5"]),
        ("", ["", ""]),
    ],
)
def test_each_worker_has_a_gpu_of_those_that_the_site_gives(given: str | None, seen: list[str]) -> None:
    """One after the other; those of other people stay theirs, also where fewer are given than there are workers."""
    environment = {} if given is None else {"CUDA_VISIBLE_DEVICES": given}
    _, *workers = _children(Settings.model_validate({"queue": {"workers": 2}}), None, environment)
    assert [added["CUDA_VISIBLE_DEVICES"] for _, _, added in workers] == seen
    assert _children(Settings(), None, environment)[1][2] == {}
