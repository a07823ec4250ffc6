"""Mode `upstream` beside what spineps 2.1.3 with TPTBox 1.1.0 answered; `make parity` renews and widens this."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.parity import whole
from tests.parity.compare import GOLDEN, compared, ours
from tests.parity.stages import STAGES, Arrays

HALF_PRECISION = 4e-3
NETWORKS = sorted(GOLDEN.glob("network-*.npz"))
INTEGER = [p for p in sorted(GOLDEN.glob("*.npz")) if p.stem.split("-")[0] in {"corpora", "instances", "post"}]


def _held(path: Path, start: str = "") -> tuple[Arrays, Arrays]:
    with np.load(path) as found:
        given = {k.removeprefix(f"{start}in_"): found[k] for k in found if k.startswith(f"{start}in_")}
        answered = {k.removeprefix(f"{start}out_"): found[k] for k in found if k.startswith(f"{start}out_")}
    return given, answered


@pytest.mark.parametrize("path", INTEGER, ids=lambda p: p.stem)
def test_integer_stages_are_equal_bit_by_bit(path: Path) -> None:
    """Centres, cutouts, fused vertebrae and final masks are those of the reference, to the last voxel."""
    given, answered = _held(path)
    line = compared(path.stem, STAGES[path.stem.split("-")[0]](given), answered)
    assert line.same, line.what


@pytest.mark.parametrize("number", range(40))
def test_scores_and_paths_are_equal_bit_by_bit(number: int) -> None:
    """The table of scores, the cost, the path and its names are those of the reference."""
    given, answered = _held(GOLDEN / "paths.npz", f"path-{number:03d}/")
    line = compared("path", STAGES["path"](given), answered)
    assert line.same, line.what


def test_patches_are_the_references() -> None:
    """Cut, turned and normalised patches agree as far as the golden file's half precision goes."""
    given, answered = _held(GOLDEN / "patches-small.npz")
    ours = STAGES["patches"](given)["patches"]
    assert np.abs(ours - answered["patches"].astype(np.float32)).max() < HALF_PRECISION


@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
def test_networks_of_seeded_weights_answer_as_the_references(path: Path, tmp_path: Path) -> None:
    """Folders of every published layout, several folds and mirror images among them, give the reference's answer."""
    given, answered = _held(path)
    line = compared(path.stem, ours(path.stem, given, tmp_path), answered)
    assert line.same, line.what


def test_every_phase_of_a_whole_run_is_the_references() -> None:
    """On a real image each phase without a network gives what the reference's own phase gave for the same input."""
    beyond = [row for row in whole.small_rows(whole.golden_run()) if not row[1]]
    assert beyond == []
