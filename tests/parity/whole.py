"""Whole runs with fitted models, ours and the reference's: the masks that the phases hand on, and the final ones.

python -m tests.parity.whole REFERENCE_PYTHON MODELS
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.instances import separate
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.pipeline import AnalysisSettings, analyse
from spineps_pacs.analysis.semantic import SemanticSettings, prepare, segment
from spineps_pacs.domain.ports import Engines, unwatched
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.engines.load import load_engines
from spineps_pacs.engines.options import EngineOptions
from tests.parity import cases
from tests.parity.compare import run_reference
from tests.parity.models import INPUT, coloured
from tests.parity.stages import RAS, Arrays

SPINES = (("plain", 1), ("scoliosis", 2), ("thirteen", 1), ("six", 1), ("merged", 1), ("no-disc", 1), ("cut-top", 1))
SAME_VOXELS, SAME_DICE, SAME_INSTANCE = 1e-3, 0.999, 0.995


def engines(folder: Path) -> Engines:
    """Our networks over the same folders, in mode upstream, on the CPU."""
    options = EngineOptions("upstream", "cpu")
    return load_engines(folder / "semantic", folder / "instance", folder / "labeling", options)


def ours(image: NDArray[np.int16], affine: NDArray[np.float64], loaded: Engines) -> Arrays:
    """What our phases hand on, and the final masks."""
    i, j, k = image.shape
    volume = Volume(image, Geometry(RAS @ affine, (i, j, k)))
    settings = AnalysisSettings(Mode.UPSTREAM)
    found = segment(volume, loaded.semantic, SemanticSettings(), unwatched)
    assert loaded.vertebra is not None
    vertebrae = separate(found.mask.labels, found.mask.geometry, loaded.vertebra, Mode.UPSTREAM, unwatched)
    report = analyse(volume, loaded, settings)
    return {
        "prepared": prepare(volume, loaded.semantic.grid, SemanticSettings()).image.voxels,
        "semantic": found.mask.labels,
        "vertebrae": vertebrae.labels,
        "structures": report.structures.labels,
        "instances": report.instances.labels,
    }


def differing(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Differing voxels as a share of the union of foregrounds."""
    union = np.count_nonzero((one > 0) | (other > 0))
    return float(np.count_nonzero(one != other) / max(union, 1))


def least_dice(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The least Dice of all labels."""
    labels = sorted(set(np.unique(one)) | set(np.unique(other)) - {0})
    scores = [
        2 * np.count_nonzero((one == n) & (other == n)) / np.count_nonzero((one == n).astype(int) + (other == n))
        for n in labels
        if n
    ] or [1.0]
    return float(min(scores))


def main(python: Path, models: Path) -> int:
    """A line per spine and mask; 1 when one is out of bounds."""
    loaded, failed = engines(models), False
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        for name, seed in SPINES:
            spine = cases.truth(name, seed, INPUT)
            np.savez(
                folder / f"whole-{name}.npz", image=coloured(spine, seed), affine=spine.affine_ras, models=str(models)
            )
        run_reference(python, folder)
        for name, _ in SPINES:
            with np.load(folder / f"whole-{name}.npz") as given, np.load(folder / f"out-whole-{name}.npz") as theirs:
                failed |= not shown(name, ours(given["image"], given["affine"], loaded), dict(theirs))
    return int(failed)


def shown(name: str, mine: Arrays, theirs: Arrays) -> bool:
    """Prints how far the masks of one spine agree; True within bounds."""
    if "failed" in theirs:
        sys.stdout.write(f"{name:<12} the reference failed: {theirs['failed']}\n")
        return False
    good = True
    counts = [
        len([n for n in np.unique(v) if 0 < n < 29 and n != 26]) for v in (mine["instances"], theirs["instances"])
    ]
    fewest = min(int(np.count_nonzero(theirs["semantic"] == n)) for n in np.unique(theirs["semantic"]) if n)
    sys.stdout.write(f"{name:<12} vertebrae {counts[0]} and {counts[1]}; least structure {fewest} voxels\n")
    for key, bound in (
        ("semantic", SAME_DICE),
        ("vertebrae", SAME_INSTANCE),
        ("structures", SAME_DICE),
        ("instances", SAME_INSTANCE),
    ):
        if mine[key].shape != theirs[key].shape:
            sys.stdout.write(f"  {key:<12} DIFFER shapes {mine[key].shape} {theirs[key].shape}\n")
            good = False
            continue
        share, dice = differing(mine[key], theirs[key]), least_dice(mine[key], theirs[key])
        within = share <= SAME_VOXELS and dice >= bound
        good &= within
        sys.stdout.write(
            f"  {key:<12} {'within' if within else 'BEYOND'} {100 * share:.4f} % differ, least Dice {dice:.5f}\n"
        )
    return good


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
