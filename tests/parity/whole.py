"""Whole runs, ours and the reference's, with the same models: every phase on the same input, and the final masks.

python -m tests.parity.whole REFERENCE_PYTHON FOLDER [CASE ... | --golden]

FOLDER holds the models (made if absent) and the reference's runs (made if absent), so that a second call is quick.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain as chain_of
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spineps_pacs.analysis.geometry import turn
from spineps_pacs.domain.ports import CutoutPlan, Engines, PatchPlan, SemanticGrid
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.engines.load import load_engines
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.contrast import T2W
from spineps_pacs.phantom.image import scan
from spineps_pacs.phantom.wishes import Wishes
from tests.parity import cases, chain, models
from tests.parity.chain import Pair, Plans, Run, plans_of
from tests.parity.compare import GOLDEN, run_reference
from tests.parity.stages import RAS

REAL = Path(__file__).parents[1] / "data" / "spine-t2w-nifti" / "t2.nii.gz"
SPACING = (1.25, 1.25, 3.3)
Image, Affine = NDArray[Any], NDArray[np.float64]
SPINES: dict[str, tuple[Wishes, str]] = {
    "whole": (Wishes(), "LIP"),
    "hard-13": (Wishes(thoracic=13, merged="T8", missing_disc="L2"), "PIR"),
    "hard-11-6": (Wishes(thoracic=11, lumbar=6, scoliosis=35.0), "LAS"),
    "hard-4-cut": (Wishes(lumbar=4, levels="C6-S1", crop=(0.03, 0.0)), "RPI"),
}
"""What is asked of the phantom, and how the axes of its file run."""
THICK = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 4, 6], [0, 0, 0, 1]])
"""From indices of every fourth slice from the seventh on to those of all slices."""
TILTS = ((2, 12.0), (0, 7.0))
"""World axis and degrees."""


def _oblique(image: Image, affine: Affine) -> tuple[Image, Affine]:
    """The axes in another order and flipped, the patient tilted."""
    i, j, k = image.shape
    way = turn(Geometry(RAS @ affine, (i, j, k)), "LAS")
    tilted = RAS @ way.after.affine
    for axis, degrees in TILTS:
        turning = np.eye(4)
        turning[:3, :3] = Rotation.from_euler("xyz"[axis], degrees, degrees=True).as_matrix()
        tilted = turning @ tilted
    return np.ascontiguousarray(way.there(image)), tilted


VARIANTS: dict[str, Callable[[Image, Affine], tuple[Image, Affine]]] = {
    "real": lambda image, affine: (image, affine),
    "real-float": lambda image, affine: ((0.37 * image - 20).astype(np.float32), affine),
    "real-unsigned": lambda image, affine: ((9 * image.astype(np.int64)).astype(np.uint16), affine),
    "real-oblique": _oblique,
    "real-thick": lambda image, affine: (np.ascontiguousarray(image[:, :, 6:46:4]), affine @ THICK),
}
"""The scan as it is, with fractions and values below zero, brighter than 1500, tilted with other axes, ten slices."""
LABELS, LEAST_VERTEBRAE, LEAST_LABEL = 14, 15, 200
"""What the masks of a whole spine must hold for the comparison to say something: labels, vertebrae, voxels a label."""
BYTES = ("classes", "semantic", "cutouts", "parts", "vertebrae", "structures_back", "vertebrae_back", "matched")
SAME_VOXELS, SAME_DICE, SAME_INSTANCE = 1e-3, 0.999, 0.995
ONE_LEVEL, CLOSE_PATCH, CLOSE_SCORE = 0.999, 1e-4, 1e-4


def image_of(name: str) -> tuple[Image, Affine]:
    """Voxels and affine (RAS, as a file keeps it in single precision); `real...` is a scan, the others are phantoms."""
    if name in VARIANTS:
        held = nib.load(REAL)
        image, affine = VARIANTS[name](np.asarray(held.dataobj).astype(np.int16), held.affine)
        return image, affine.astype(np.float32).astype(np.float64)
    wishes, axes = SPINES[name]
    spine = cases.truth_of(wishes, 1, SPACING)
    slices = turn(spine.geometry, "LIP").after
    rng = np.random.default_rng(1)
    image = np.clip(700 * scan(draw_spine(1, wishes), slices, T2W, rng), 0, 4000).astype(np.int16)
    way = turn(slices, axes)
    affine = (RAS @ way.after.affine).astype(np.float32).astype(np.float64)
    if name == "hard-4-cut":
        image = _with_a_void(image)
    return np.ascontiguousarray(way.there(image)), affine


def _with_a_void(image: NDArray[np.int16]) -> NDArray[np.int16]:
    """A band without signal across the lower thoracic spine: what is found falls into two parts."""
    out = image.copy()
    middle = out.shape[1] // 2
    out[:, middle - 6 : middle + 6] //= 20
    return out


def references(python: Path, folder: Path, names: list[str], n4_threads: int = 1) -> None:
    """The reference's runs that are not there yet, one after the other."""
    for name in names:
        kept = answer_of(folder, name, n4_threads)
        if kept.exists():
            continue
        image, affine = image_of(name)
        with tempfile.TemporaryDirectory() as held:
            np.savez(Path(held) / "whole-run.npz", image=image, affine=affine, models=str(folder.resolve()))
            run_reference(python, Path(held), n4_threads)
            shutil.copy(Path(held) / "out-whole-run.npz", kept)


def answer_of(folder: Path, name: str, n4_threads: int = 1) -> Path:
    """Where the reference's run of a case is kept."""
    return folder / f"out-{name}{'' if n4_threads == 1 else f'-{n4_threads}-threads'}.npz"


def loaded(folder: Path) -> Engines:
    """Our networks over the folders that the reference is given."""
    parts = (folder / kind for kind in ("semantic", "instance", "labeling"))
    return load_engines(*parts, options=EngineOptions("upstream", "cpu"))


def run_of(name: str, folder: Path, engines: Engines) -> Run:
    """One run with what the reference kept."""
    image, affine = image_of(name)
    with np.load(answer_of(folder, name)) as held:
        kept = dict(held)
    if "failed" in kept:
        raise SystemExit(f"{name}: the reference failed: {kept['failed']}")
    return Run(image, affine, kept, plans_of(engines))


def write_golden(folder: Path) -> None:
    """The run of the real image as a small file, without what only networks need."""
    run = run_of("real", folder, loaded(folder))
    kept = {name: value for name, value in run.kept.items() if name != "patches"}
    plans = {"grid": run.plans.grid, "cutout": run.plans.cutout, "patch": run.plans.patch}
    told = json.dumps({name: asdict(plan) for name, plan in plans.items()})
    small = {name: value.astype(np.uint8) if name in BYTES else value for name, value in kept.items()}
    np.savez_compressed(GOLDEN / "whole-real.npz", plans=np.array(told), ids=run.plans.ids, **small)


def golden_run() -> Run:
    """The run of the real image from the file that is committed."""
    image, affine = image_of("real")
    with np.load(GOLDEN / "whole-real.npz") as held:
        kept = dict(held)
    told = json.loads(str(kept.pop("plans")))
    grid = SemanticGrid(**told["grid"])
    plans = Plans(grid, kept.pop("ids"), CutoutPlan(**told["cutout"]), PatchPlan(**told["patch"]))
    return Run(image, affine, kept, plans)


def differing(pair: Pair) -> float:
    """Differing voxels as a share of the union of foregrounds."""
    one, other = pair
    return float(np.count_nonzero(one != other) / max(np.count_nonzero((one > 0) | (other > 0)), 1))


def dices(pair: Pair) -> dict[int, float]:
    """The Dice of each label that either mask holds."""
    one, other = (np.asarray(a).ravel() for a in pair)
    size = int(max(one.max(initial=0), other.max(initial=0))) + 1
    each = np.bincount(one, minlength=size) + np.bincount(other, minlength=size)
    both = np.bincount(one[one == other], minlength=size)
    return {int(n): float(2 * both[n] / each[n]) for n in np.flatnonzero(each) if n}


def least_dice(pair: Pair) -> float:
    """The least Dice of all labels."""
    return min(dices(pair).values(), default=1.0)


Row = tuple[str, bool, str]


def small_rows(run: Run) -> Iterator[Row]:
    """Each phase without a network: its name, whether it is within bounds, and how far it differs."""
    for name, stage in chain.INTEGER.items():
        ours, theirs = stage(run)
        same = bool(ours.shape == theirs.shape and np.array_equal(ours, theirs))
        yield name, same, "equal" if same else f"{np.count_nonzero(ours != theirs)} voxels differ"
    yield _levels("N4", chain.unbiased(run))
    yield _levels("resolution", chain.on_grid(run))


def network_rows(run: Run, engines: Engines) -> Iterator[Row]:
    """The networks, the patches for one of them, and the final masks."""
    yield _masks("semantic network", chain.network(run, engines), SAME_DICE)
    yield _patches(chain.patching(run))
    yield _masks("instance network", chain.parts(run, engines), SAME_DICE)
    yield _close("labelling network", chain.scoring(run, engines), CLOSE_SCORE)
    yield from _finals("final", chain.final(run, engines))


def _finals(name: str, found: tuple[Pair, Pair]) -> Iterator[Row]:
    structures, instances = found
    same_ids = set(np.unique(instances[0])) == set(np.unique(instances[1]))
    yield _masks(f"{name} structures", structures, SAME_DICE)
    yield _masks(f"{name} instances", instances, SAME_INSTANCE, same_ids)


def _levels(name: str, pair: Pair) -> Row:
    apart = np.abs(pair[0].astype(np.float64) - pair[1])
    share = float((apart <= 1).mean())
    told = f"{100 * share:.4f} % within one grey level, {100 * float((apart == 0).mean()):.2f} % equal"
    return name, share >= ONE_LEVEL, f"{told}, at most {apart.max():.3g} apart"


def _masks(name: str, pair: Pair, bound: float, same: bool = True) -> Row:
    share, dice = differing(pair), least_dice(pair)
    what = f"{100 * share:.4f} % differ, least Dice {dice:.5f}" + ("" if same else ", other ids")
    return name, same and share <= SAME_VOXELS and dice >= bound, what


def _patches(pair: Pair) -> Row:
    """A spline that is rounded differently changes single voxels of the image by one grey level."""
    apart = np.abs(pair[0].astype(np.float64) - pair[1])
    share = float((apart <= CLOSE_PATCH).mean())
    return "patches", share >= ONE_LEVEL, f"{100 * share:.4f} % within {CLOSE_PATCH:g}, at most {apart.max():.1e} apart"


def _close(name: str, pair: Pair, bound: float) -> Row:
    apart = float(np.abs(pair[0].astype(np.float64) - pair[1]).max())
    return name, apart <= bound, f"at most {apart:.1e} apart"


def beside(folder: Path, name: str, what: str, ours: NDArray[np.generic]) -> Iterator[str]:
    """The structures or instances in which we differ from the reference, or the reference from itself."""
    with np.load(answer_of(folder, name)) as one, np.load(answer_of(folder, name, 2)) as two:
        theirs, again = one[what], two[what]
    mine, own = dices((ours, theirs)), dices((theirs, again))
    for label in sorted(mine.keys() & own.keys()):
        if min(mine[label], own[label]) < 1:
            size = int((theirs == label).sum())
            told = f"Dice {mine[label]:.5f} ours, {own[label]:.5f} its own"
            yield f"    {what[:-1]} {label:>3} of {size:>5} voxels: {told}\n"


def noise_rows(folder: Path, name: str) -> Iterator[Row]:
    """The reference beside itself, its N4 once on one thread and once on two: as sharp as its answer is."""
    with np.load(answer_of(folder, name)) as one, np.load(answer_of(folder, name, 2)) as two:
        levels = (one["after_n4"].astype(np.int64), two["after_n4"].astype(np.int64))
        yield _levels("N4", levels)
        structures, instances = ((one[what], two[what]) for what in ("structures", "instances"))
    yield from _finals("final", (structures, instances))


def head(name: str, run: Run) -> str:
    """What the reference found: vertebrae and the smallest of its labels; of a spine, whether that is enough."""
    found = run.kept["instances"]
    count = len([n for n in np.unique(found) if 0 < n < 29 and n != 26])
    sizes = np.bincount(run.kept["semantic"].ravel().astype(np.intp))[1:]
    sizes = sizes[sizes > 0]
    what = f"{name}: {count} vertebrae; {len(sizes)} labels, the smallest of {min(sizes, default=0)} voxels"
    if name in VARIANTS:
        return f"{what} (a cut-out of the spine)\n"
    enough = {
        f"{LEAST_VERTEBRAE} vertebrae": count >= LEAST_VERTEBRAE,
        f"{LABELS} labels of {LEAST_LABEL} voxels": len(sizes) == LABELS and sizes.min() >= LEAST_LABEL,
    }
    told = ", ".join(f"{goal}: {'yes' if held else 'NO'}" for goal, held in enough.items())
    return f"{what} (at least {told})\n"


def main(python: Path, folder: Path, names: list[str]) -> int:
    """A line a phase; 1 when one is out of bounds."""
    failed = False
    if models.stale(folder):
        for run in folder.glob("out-*.npz"):
            run.unlink()
        models.main(folder)
    if names == ["--golden"]:
        references(python, folder, ["real"])
        write_golden(folder)
        return 0
    references(python, folder, names)
    engines = loaded(folder)
    for name in names:
        run = run_of(name, folder, engines)
        sys.stdout.write(head(name, run))
        rows = list(chain_of(small_rows(run), network_rows(run, engines)))
        for row in rows:
            _show(*row)
        missed = not all(good for _, good, _ in rows)
        failed |= missed
        if missed or name in VARIANTS:
            _explain(python, folder, name, run, engines)
    return int(failed)


def _explain(python: Path, folder: Path, name: str, run: Run, engines: Engines) -> None:
    """Where a difference comes from: ours after the reference's own N4, and the reference beside itself."""
    for row in _finals("after its N4,", chain.final_after_its_bias(run, engines)):
        _show(*row)
    references(python, folder, [name], n4_threads=2)
    sys.stdout.write(f"{name}: the reference on one thread beside the reference on two\n")
    for row in noise_rows(folder, name):
        _show(*row)
    for what, pair in zip(("structures", "instances"), chain.final(run, engines), strict=True):
        sys.stdout.writelines(beside(folder, name, what, pair[0]))


def _show(stage: str, good: bool, what: str) -> None:
    sys.stdout.write(f"  {'within' if good else 'BEYOND'} {stage:<24} {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or [*VARIANTS, *SPINES]))
