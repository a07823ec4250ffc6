"""Training on own cases in small: writes made-up cases, trains both networks on them, and says what they reach.

    python -m training.miniature --work build/miniature

What is already there is not made again, so a run that was stopped goes on. Nothing here is meant to be a good model:
it shows in under an hour, without a GPU, that the commands for own cases work.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.pipeline import analyse
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.engines.load import load_engines
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.evaluation.overlap import dice
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.contrast import T2W
from spineps_pacs.phantom.image import scan
from spineps_pacs.phantom.voxels import Labels, voxelise
from spineps_pacs.phantom.wishes import Wishes
from training import own_instance, own_semantic
from training.own_cases import write_image

SEED = 3_000_000
"""Far from the seeds of the embedded model's training and of its hold-out."""
KINDS = ("images", "structures", "instances")
JUDGED = {"vertebra corpus": (49,), "disc": (100,), "canal with cord": (60, 61)}


@dataclass(frozen=True)
class Frame:
    """Slices, rows and columns of a made-up case, and their size in mm."""

    shape: tuple[int, int, int] = (16, 150, 100)
    spacing: tuple[float, float, float] = (4.0, 1.3, 1.3)


SEMANTIC = own_semantic.Settings(
    spacing=(1.5, 1.5, 4.0), patch=(64, 96, 16), epochs=8, folds=2, iterations=25, device="cpu", processes=1
)
INSTANCE = own_instance.Settings(
    spacing=(2.0, 1.5, 2.5), size=(64, 80, 24), epochs=16, rate=2e-3, last_rate=1e-5, dim=8, device="cpu"
)


def made_up(seed: int, frame: Frame) -> tuple[Volume, Labels]:
    """A sagittal T2w image around L3, float32, and its truth on the same grid."""
    spine = draw_spine(seed, Wishes())
    affine = np.eye(4)
    affine[:3, :3] = np.array([[-1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]]) * frame.spacing
    centre = spine.vertebra("L3").placed.origin + np.array([0.0, 15.0, 0.0])
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(frame.shape) - 1) / 2)
    geometry = Geometry(affine, frame.shape)
    image = scan(spine, geometry, T2W, np.random.default_rng(seed)) * 800
    return Volume(image.astype(np.float32), geometry), voxelise(spine, geometry)


def write_cases(folder: Path, seeds: range, frame: Frame) -> Path:
    """A folder as a user would have it: images, structures and instances of the same names."""
    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        paths = [folder / kind / f"s{seed}.nii.gz" for kind in KINDS]
        if not all(path.exists() for path in paths):
            image, labels = made_up(seed, frame)
            arrays: list[NDArray[Any]] = [image.voxels, labels.structures, labels.instances.astype(np.int16)]
            for path, array in zip(paths, arrays, strict=True):
                write_image(path, array, labels.geometry)
    return folder


def judged(work: Path, seeds: range, frame: Frame) -> list[str]:
    """A line for each case that training did not see: Dice of bodies, discs and canal, and the count."""
    engines = load_engines(work / "semantic", work / "instance", options=EngineOptions(device="cpu"))
    lines = []
    for seed in seeds:
        image, truth = made_up(seed, frame)
        report = analyse(image, engines)
        found = report.structures.labels
        values = [f"{n} {dice(np.isin(found, i), np.isin(truth.structures, i)):.3f}" for n, i in JUDGED.items()]
        counted = 0 if report.instances is None else sum(1 for i in report.instances.ids() if i < 26)
        there = len(np.unique(truth.instances[truth.structures == 49]))
        lines.append(f"s{seed}: {', '.join(values)}, {counted} vertebrae ({there} in view, cut ones included)")
    return lines


def main() -> None:
    """Reads the command line, trains, and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=SEMANTIC.epochs, help="of the semantic network")
    parser.add_argument("--instance-epochs", type=int, default=INSTANCE.epochs)
    given = parser.parse_args()
    frame = Frame()
    cases = write_cases(given.work / "cases", range(SEED, SEED + given.cases), frame)
    instance = replace(INSTANCE, epochs=given.instance_epochs)
    own_instance.train_instance(cases, given.work / "instance-run", given.work / "instance", instance)
    semantic = replace(SEMANTIC, epochs=given.epochs)
    own_semantic.train_semantic(cases, given.work / "semantic-run", given.work / "semantic", semantic)
    fresh = range(SEED + given.cases, SEED + given.cases + 2)
    print("\n".join(judged(given.work, fresh, frame)))


if __name__ == "__main__":
    main()
