"""Our stages beside the reference's: runs both on the same inputs, prints a table, keeps golden files.

python -m tests.parity.compare REFERENCE_PYTHON [--seeds N] [--golden]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import numpy as np

from tests.parity import cases, networks, stages
from tests.parity.stages import Arrays

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
DENSE = ("plain", "lumbar")
AXES = ("PIR", "LAS", "RPI", "SPL", "PSR")
NOT_COMPARED = {"affine", "named_mask"}
CLOSE = {"patches": 1e-4, "network-labeling": 1e-4}
SHARE = {"network-semantic": 1e-3, "network-instance": 1e-3}
"""Stages with a network's precision: largest difference, share of differing voxels; all others are equal bit by bit."""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    stage: str
    case: str
    same: bool
    what: str


def inputs(seeds: range, spines: list[str]) -> Iterator[tuple[str, Arrays]]:
    """All stage inputs of some spines with their names; a name begins with its stage."""
    for number, (name, spine, semantic) in enumerate(stages.soiled_spines(seeds, spines)):
        yield f"corpora-{name}", stages.corpora_input(spine, semantic)
        case = stages.instances_input(spine, semantic, number)
        if case is not None:
            yield f"instances-{name}", case
        yield f"post-{name}", stages.post_input(spine, semantic, AXES[number % len(AXES)], number)


def dense_inputs(seeds: range, spines: list[str]) -> Iterator[tuple[str, Arrays]]:
    """The same of models that fill bodies and know the dens; on the image's grid a filled body is an ordinary one."""
    for name, seed in product((n for n in DENSE if n in spines), seeds):
        spine = cases.truth(name, seed)
        semantic = cases.dense(spine)
        yield f"corpora-{name}-dense-{seed}", stages.corpora_input(spine, semantic)
        case = stages.instances_input(spine, semantic, seed)
        assert case is not None
        yield f"instances-{name}-dense-{seed}", case
        back = np.where(semantic == 50, 49, semantic).astype(np.uint8)
        yield f"post-{name}-dense-{seed}", stages.post_input(spine, back, AXES[seed % len(AXES)], seed)


def other_inputs(seeds: range) -> Iterator[tuple[str, Arrays]]:
    """Inputs of stages that need no soiled spine."""
    for name in networks.FOLDERS:
        yield f"network-{name}", networks.network_input(name)
    for number in range(100 * len(seeds)):
        yield f"path-{number:03d}", stages.path_input(number)
    for number, name in enumerate(("plain", "scoliosis", "six", "thirteen", "cut-top")):
        spine = cases.truth(name, seeds[0])
        yield f"patches-{name}", stages.patches_input(spine, AXES[number], number, rotate=number != 3)


def run_reference(python: Path, folder: Path, n4_threads: int = 1) -> None:
    """The reference's answers beside the inputs of a folder; networks run on one thread in any case."""
    threads = {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(n4_threads)}
    environment = {**os.environ, **threads, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [str(python), str(HERE / "reference.py"), str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the reference failed:\n{done.stderr[-3000:]}")


def compared(name: str, ours: Arrays, theirs: Arrays) -> Line:
    """Whether two answers are the same, and how far they differ if not."""
    stage, _, case = name.partition("-")
    exact, told = f"{stage}-{case.split('-')[0]}" if stage == "network" else stage, []
    if ("failed" in ours) != ("failed" in theirs):
        told.append(f"failed: ours {'failed' in ours}, theirs {theirs.get('failed', False)}")
    for key in sorted((set(ours) & set(theirs)) - NOT_COMPARED - {"failed"}):
        if ours[key].shape != theirs[key].shape:
            told.append(f"{key}: {ours[key].shape} and {theirs[key].shape}")
        elif exact in CLOSE:
            worst = float(np.abs(ours[key].astype(np.float64) - theirs[key]).max())
            if worst > CLOSE[exact]:
                told.append(f"{key}: up to {worst:.2g} apart")
        elif exact in SHARE and (ours[key] != theirs[key]).mean() <= SHARE[exact]:
            continue
        elif not np.array_equal(ours[key], theirs[key]):
            told.append(f"{key}: {int(np.count_nonzero(ours[key] != theirs[key]))} of {ours[key].size} differ")
    return Line(stage, case, not told, "; ".join(told) or _size(theirs))


def _size(answer: Arrays) -> str:
    if "failed" in answer:
        return "both refuse"
    if "centres" in answer:
        return f"{len(answer['centres'])} bodies"
    for key in ("vertebrae", "instances"):
        if key in answer:
            return f"{len([n for n in np.unique(answer[key]) if 0 < n < 40])} vertebrae"
    return ""


def lines(folder: Path) -> list[Line]:
    """The table of a folder in which the reference has answered."""
    found = []
    made = folder / "networks"
    for source in sorted(p for p in folder.glob("*.npz") if not p.name.startswith("out-")):
        with np.load(source) as held, np.load(folder / f"out-{source.name}") as answered:
            found.append(compared(source.stem, ours(source.stem, dict(held), made), dict(answered)))
    return found


def ours(name: str, case: Arrays, made: Path) -> Arrays:
    """Our answer to a stage's input; networks are made in a folder."""
    stage = name.split("-", maxsplit=1)[0]
    return networks.network(case, made) if stage == "network" else stages.STAGES[stage](case)


def show(table: list[Line]) -> None:
    """One line a case; of the paths only how many."""
    out = sys.stdout.write
    for line in table:
        if line.stage != "path" or not line.same:
            out(f"{'equal ' if line.same else 'DIFFER'}  {line.stage:<10} {line.case:<24} {line.what}\n")
    for stage in sorted({line.stage for line in table}):
        of = [line for line in table if line.stage == stage]
        out(f"{sum(line.same for line in of):>5} of {len(of):<5} {stage}\n")


GOLDEN_CASES = (
    "corpora-plain-fused-1", "corpora-slip-soiled-1", "corpora-scoliosis-soiled-2", "corpora-metal-true-1",
    "instances-lumbar-soiled-1", "instances-cut-top-soiled-2",
    "post-cut-top-soiled-1", "post-lumbar-true-1", "post-six-soiled-1", "post-thirteen-true-1", "post-no-disc-soiled-2",
    "corpora-lumbar-dense-1", "instances-lumbar-dense-1", "post-lumbar-dense-1", "patches-small",
)  # fmt: skip


def golden_inputs() -> Iterator[tuple[str, Arrays]]:
    """The few inputs whose answers are committed."""
    every = list(cases.WISHES)
    for name, case in chain(inputs(range(1, 3), every), dense_inputs(range(1, 2), every)):
        if name in GOLDEN_CASES:
            yield name, case
    for name in networks.FOLDERS:
        yield f"network-{name}", networks.network_input(name)
    small = stages.patches_input(cases.truth("lumbar", 1, (2.0, 2.0, 4.0)), "PSR", 5, rotate=True)
    yield "patches-small", {**small, "patch_size": np.array((24, 32, 12))}
    for number in range(40):
        yield f"path-{number:03d}", stages.path_input(number)


def write_golden(python: Path) -> None:
    """Inputs and the reference's answers, as small as they can be."""
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, case in golden_inputs():
            _handed_over(Path(folder), name, case)
        run_reference(python, Path(folder))
        for line in lines(Path(folder)):
            if not line.same:
                raise SystemExit(f"{line.stage}-{line.case}: {line.what}")
        paths: Arrays = {}
        for source in sorted(p for p in Path(folder).glob("*.npz") if not p.name.startswith("out-")):
            with np.load(source) as held, np.load(source.parent / f"out-{source.name}") as answered:
                both = {f"in_{k}": v for k, v in held.items()} | {f"out_{k}": _small(k, v) for k, v in answered.items()}
            if source.name.startswith("path-"):
                paths |= {f"{source.stem}/{key}": value for key, value in both.items()}
            else:
                unread = {"out_named"} | ({"in_image"} if source.name.startswith("post-") else set())
                np.savez_compressed(GOLDEN / source.name, **{k: v for k, v in both.items() if k not in unread})
        np.savez_compressed(GOLDEN / "paths.npz", **paths)


def _handed_over(folder: Path, name: str, case: Arrays) -> None:
    """An input as a file; a network's folder is made for the reference too."""
    if name.startswith("network-"):
        made = networks.made(str(case["name"]), folder / "networks")
        case = case | {"folder": np.array(str(made))}
    np.savez_compressed(folder / f"{name}.npz", **case)


def _small(key: str, value: np.ndarray) -> np.ndarray:
    """Patches to half precision and cutouts to bytes; nothing else changes."""
    if key == "patches":
        return value.astype(np.float16)
    return value.astype(np.uint8) if key == "cutouts" else value


def main() -> int:
    """The table; 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", type=Path, help="the interpreter of the reference's environment")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("--spines", nargs="*", default=list(cases.WISHES), help="some of the phantoms only")
    parser.add_argument("--others", action="store_true", help="no phantoms; networks, paths and patches")
    wanted = parser.parse_args()
    if wanted.golden:
        write_golden(wanted.python)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        seeds = range(1, 1 + wanted.seeds)
        spines = [] if wanted.others else wanted.spines
        more = other_inputs(seeds) if wanted.others or spines == list(cases.WISHES) else ()
        for name, case in chain(inputs(seeds, spines), dense_inputs(seeds, spines), more):
            _handed_over(Path(folder), name, case)
        run_reference(wanted.python, Path(folder))
        table = lines(Path(folder))
    show(table)
    return 0 if all(line.same for line in table) else 1


if __name__ == "__main__":
    sys.exit(main())
