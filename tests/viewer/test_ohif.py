"""Results as a reader sees them: OHIF in a real browser, on a real Orthanc."""

from __future__ import annotations

import colorsys
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
import pytest

from spineps_pacs.domain.anatomy import SACRUM_NAME
from tests.viewer.study import Wanted, write_results

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.real("Orthanc"),
    pytest.mark.real("chromium"),
    pytest.mark.real("unshare"),
    pytest.mark.timeout(2700),
]


def visit(study: Path, out: Path, *more: str) -> dict[str, Any]:
    """Opens the study in OHIF, in namespaces of its own that end with all of their processes; tells what was seen."""
    spaces = ["-np" if os.geteuid() == 0 else "-rnp", "--fork", "--kill-child", "--mount-proc"]
    command = ["unshare", *spaces, sys.executable, "-m", "scripts.viewing.drive", str(study), str(out), *more]
    from scripts.viewing.ohif import dist

    dist(ROOT / "build")  # fetched out here: in there is no network
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=2600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads((out / "seen.json").read_text())
    return told


def hue(rgb: list[int]) -> float:
    """Degrees on the colour wheel."""
    return 360 * colorsys.rgb_to_hsv(*(c / 255 for c in rgb[:3]))[0]


def misplaced(seen: list[dict[str, Any]]) -> list[str]:
    """Segments whose interior point does not show their hue, or shows none."""
    wrong = []
    for spot in seen:
        apart = abs(hue(spot["rgb"]) - hue(spot["pixel"]))
        grey = colorsys.rgb_to_hsv(*(c / 255 for c in spot["pixel"][:3]))[1] < 0.1
        if grey or min(apart, 360 - apart) > 20:
            wrong.append(f"{spot['label']}: {spot['pixel']} instead of {spot['rgb']}")
    return wrong


@pytest.mark.parametrize(
    "wanted", [Wanted("whole"), Wanted("oblique", levels="T11-S1", orientation="reversed", turn=12.0)], ids=str
)
def test_a_reader_finds_every_segment_in_its_place(wanted: Wanted, tmp_path: Path, shots: Path) -> None:
    """The panel lists exactly the segments, each shows its hue at an interior point, and the SR has a row per level."""
    labels = write_results(tmp_path / "study", wanted)
    told = visit(tmp_path / "study", tmp_path / "out", *(["--pictures", str(shots)] if wanted.name == "whole" else []))
    for name, seen in told["segmentations"].items():
        listed = [segment["label"] for segment in seen["listed"][-1]["segments"]]
        written = [str(s.SegmentLabel) for s in pydicom.dcmread(tmp_path / "study" / name).SegmentSequence]
        assert listed == written
        assert misplaced(seen["seen"]) == []
    (report,) = told["reports"].values()
    sites = [site for row in report["rows"] for site in row["sites"]]
    vertebrae = sorted(f"{label} vertebra" for label in labels if label != SACRUM_NAME)
    assert sorted(site for site in sites if site.endswith("vertebra")) == vertebrae
    segments = pydicom.dcmread(tmp_path / "study" / "seg-levels.dcm").SegmentSequence
    assert len(sites) == len(set(sites)) == len(segments)
    assert told["errors"] == []
