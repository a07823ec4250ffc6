"""Plays a story with a real Orthanc in namespaces of its own: its network is nobody else's, its processes end with it.

`--orthanc-root DIR` takes the Orthanc of another Debian (scripts/orthanc-root makes it), in place of the installed one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FIRST = Counter({"SEG": 2, "SR": 1, "OT": 2})
"""Objects that a T2w series brings into its study."""

Play = Callable[..., dict[str, Any]]


@pytest.fixture
def play(tmp_path: Path, request: pytest.FixtureRequest) -> Play:
    """Plays one story in a network namespace of its own, and tells what was seen."""
    root = request.config.getoption("--orthanc-root")

    def played(story: str, *words: str) -> dict[str, Any]:
        spaces = ["-nmp" if os.geteuid() == 0 else "-rnmp", "--fork", "--kill-child", "--mount-proc"]
        command = ["unshare", *spaces, sys.executable, "-m", "tests.orthanc.drive", str(tmp_path), story, *words]
        command += ["--root", str(Path(root).resolve())] if root else []
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1750, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        told: dict[str, Any] = json.loads((tmp_path / "seen.json").read_text())
        return told | {"log": done.stderr[-4000:]}

    return played


def kinds(objects: list[list[str]]) -> Counter[str]:
    """How many objects of each modality."""
    return Counter(kind for kind, _, _ in objects)
