"""What all tests share: real programs are used where they are, named where they are not, and demanded in CI."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from absent import absent
from hypothesis import HealthCheck, settings

PLACES = ("/usr/sbin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin")

IMAGES = Path(__file__).parents[1] / "docs" / "img"

SLOW = (
    *("walk", "conformance", "training", "parity", "docs", "viewer", "fuzz", "orthanc", "deploy", "cli", "contract"),
    *("intake/test_dicom_port.py", "intake/test_other_doors.py", "analysis/test_any_orientation.py"),
    *("analysis/test_pipeline.py", "analysis/test_measurements_solids.py", "analysis/test_bias.py"),
    *("analysis/test_rebuild.py", "analysis/test_rebuild_scanners.py", "analysis/test_rebuild_vendors.py"),
    *("encode/test_verify.py", "encode/test_results.py", "encode/test_verbatim.py", "encode/test_segmentation.py"),
    *("encode/test_structured_report.py", "encode/test_phantoms.py", "engines/test_semantic.py", "test_desk.py"),
    *("phantom/test_study.py", "test_lineage.py", "test_stations.py"),
)
"""Folders and files that take seconds; the fast ring leaves them out."""

settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")  # a busy machine is no fault of the code


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a run may be asked for beside the tests."""
    parser.addoption("--screenshots", action="store_true", help="put pictures of pages and viewers into docs/img")
    parser.addoption("--orthanc-root", help="root of another Debian whose Orthanc takes the place of the installed one")


@pytest.fixture
def shots(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a browser test puts its pictures: docs/img when asked by --screenshots, else a folder that is forgotten."""
    folder = IMAGES if request.config.getoption("--screenshots") else tmp_path / "img"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_program(name: str) -> str | None:
    """Where a real program lies: on the path, beside Python, or where Debian puts servers."""
    beside = Path(sys.executable).parent
    search = os.pathsep.join([os.environ.get("PATH", ""), str(beside), *PLACES])
    return shutil.which(name, path=search)


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """A test that sets the log up leaves no stream behind that is closed when the next one logs."""
    yield
    structlog.reset_defaults()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what the fast ring leaves out."""
    tests = Path(__file__).parent
    slow = tuple(str(tests / name) for name in SLOW)
    for item in items:
        if str(item.path).startswith(slow):
            item.add_marker("slow")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked real("program") needs that program: absent, it is skipped by name, and fails where CI=true."""
    missing = [m.args[0] for m in item.iter_markers("real") if m.args and not find_program(m.args[0])]
    if missing:
        absent(f"{', '.join(missing)} is not installed (make tools)")
