"""The wheel: installed where nothing else of ours is, it runs and brings all of its data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package as its wheel installs it, and nothing of this working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, cwd=folder)
    wheel = next(folder.glob("*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True, cwd=folder)
    return folder / "site"


def run(installed: Path, *command: str) -> str:
    """What the installed package prints; the working tree is not on its path."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *command], check=True, capture_output=True, text=True, cwd=installed, env=environment
    )
    return done.stdout


def test_the_installed_package_is_the_one_that_runs(installed: Path) -> None:
    """What is imported lies in the folder of the wheel."""
    shown = run(installed, "-c", "import spineps_pacs; print(spineps_pacs.__file__)")
    assert Path(shown.strip()).is_relative_to(installed)


def test_it_brings_the_embedded_model(installed: Path) -> None:
    """`models list` of the installed package finds the embedded models in its own folder."""
    shown = run(installed, "-m", "spineps_pacs", "models", "list", "--json")
    rows = json.loads(shown)["embedded"]
    assert {row["kind"] for row in rows} == {"semantic", "instance"}
    assert all(Path(row["folder"]).is_relative_to(installed) for row in rows)


def test_it_brings_every_file_of_the_package(installed: Path) -> None:
    """Templates, style sheets, scripts, weights: whatever is tracked in the package is in the wheel."""
    tracked = subprocess.run(
        ["git", "ls-files", "spineps_pacs"], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout.split()
    assert len(tracked) > 200
    assert [name for name in tracked if (ROOT / name).exists() and not (installed / name).exists()] == []
