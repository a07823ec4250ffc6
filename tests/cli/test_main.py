"""The command line: it starts at once, every command it names exists, errors are sentences with exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from spineps_pacs.cli.main import _COMMANDS, application, run

HEAVY = ("torch", "highdicom", "scipy", "SimpleITK", "dbos", "nnunetv2")


def test_help_loads_nothing_heavy() -> None:
    """`spineps-pacs --help` imports no torch, no highdicom and no scipy."""
    script = (
        "import sys, json\nfrom spineps_pacs.cli.main import run\nrun(['--help'])\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr.strip().splitlines()[-1]) == []
    assert "segment" in done.stdout


@pytest.mark.parametrize("name", [name for _, name, _, _ in _COMMANDS])
def test_every_command_that_is_named_exists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has its own help."""
    assert run([name, "--help"]) == 0
    assert capsys.readouterr().out.strip()


def test_an_unknown_command_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The wrong word is named; the exit code is 2."""
    assert run(["segmentt"]) == 2
    captured = capsys.readouterr()
    assert "segmentt" in captured.out + captured.err


def test_a_faulty_configuration_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error in the TOML ends with key, line and exit code 2."""
    config = tmp_path / "node.toml"
    config.write_text("[dicom]\nportt = 1\n")
    assert run(["status", "--config", str(config)]) == 2
    assert "node.toml, line 2: unknown key 'dicom.portt'" in capsys.readouterr().err


def test_what_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that does not exist is a sentence, not a traceback."""
    assert run(["segment", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert "none" in capsys.readouterr().err


def test_the_version_is_the_packages() -> None:
    """`--version` says what is installed."""
    from importlib.metadata import version

    assert callable(application().version)
    assert application().version() == version("spineps-pacs")  # type: ignore[operator]
