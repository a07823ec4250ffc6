"""`spineps-pacs bench` in a tiny form: sides that answer at once, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from spineps_pacs.cli import bench
from spineps_pacs.domain.errors import Unusable

SIDE = """import json, sys
cpu = {"ours.py": 1.0, "upstream.py": 4.0}[sys.argv[0].rpartition("/")[2]]
for line in sys.stdin:
    order = json.loads(line)
    if order["do"] == "%s":
        break
    spans = {"around": ("n4", "post"), "tiles": ("semantic_network",), "load": ("load",)}[order["do"]]
    seconds = {span: [cpu * order.get("count", 1), 2 * cpu] for span in spans}
    print(json.dumps({"seconds": seconds, "peak_mb": 10}), flush=True)
"""
ALONE = """import json
print(json.dumps([{"phase": "start --help", "ours_wall_s": 0.2}]))
"""


def tiny(tmp_path: Path, stops_at: str = "") -> bench.Bench:
    """Both sides and one part of our own as scripts that measure nothing."""
    for name in ("ours.py", "upstream.py"):
        (tmp_path / name).write_text(SIDE % stops_at)
    (tmp_path / "start.py").write_text(ALONE)
    case = tmp_path / "case"
    case.mkdir()
    np.savez(case / "case.npz", starts0=[0, 1], starts1=[0, 1, 2], starts2=[0], answers=np.zeros((5, 1)))
    plan = bench.Plan(repeats=2, tiles=3, cutouts=1, patches=1, batch=1)
    return bench.Bench(tmp_path, case, plan, (1, "corrected", "float32"), sys.executable, sys.executable)


def test_both_sides_are_measured_and_samples_reckoned_for_all(tmp_path: Path) -> None:
    """Spans of both processes end in rows; three tiles of six count twice; a part of ours alone is a row as it is."""
    rows = {r.phase: r for part in tiny(tmp_path).measured(("load", "around", "tiles", "start")) for r in part}
    assert (rows["n4"].ours_cpu_s, rows["n4"].upstream_cpu_s, rows["n4"].ratio) == (1, 4, 4)
    assert rows["outside_networks"].ours_cpu_s == 2
    assert (rows["semantic_network"].ours_cpu_s, rows["semantic_network"].upstream_cpu_s) == (6, 24)
    assert rows["semantic_network"].note == "3 of 6 tiles measured, reckoned for all"
    assert rows["start --help"].ours_wall_s == 0.2


def test_a_side_that_ends_early_is_named(tmp_path: Path) -> None:
    """Which side, what it was doing, and where its last words are."""
    with pytest.raises(Unusable, match=r"ours\.py ended while it measured tiles; .*ours\.log"):
        list(tiny(tmp_path, "tiles").measured(("load", "tiles")))


def test_a_part_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """The sentence lists the parts that there are."""
    with pytest.raises(Unusable, match="there is no part lunch to measure; there are load, around, tiles"):
        bench.bench(phases=("lunch",), out=tmp_path / "bench.json")


def test_every_part_has_its_script() -> None:
    """What the command offers can be run from the sources."""
    names = {path.stem for path in bench.SCRIPTS.glob("*.py")}
    assert {"ours", "upstream", "case", *bench.ALONE} <= names
