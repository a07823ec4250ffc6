"""`spineps-pacs bench`: upstream and this project on the same image with the same networks, phase by phase."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO, cast

from cyclopts import Parameter

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.evaluation.bench import Answer, Row, around, markdown, merged, read, row, write

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts" / "bench"
CASES = ROOT / "build" / "bench"
WHOLE, QUARTER = (20, 900, 320), (20, 225, 320)
"""Slices, rows and columns: the whole spine, and a quarter of its field of view."""
BESIDE = ("load", "around", "tiles", "cutouts", "patches")
"""Parts for which upstream runs beside us."""
ALONE = ("start", "ingest", "node", "backlog", "sizes", "pages", "gpu")
"""Parts that only we have; each is a script of its own."""
UPSTREAM_BATCH = 4


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    repeats: int
    tiles: int
    cutouts: int
    patches: int
    batch: int


QUICK = Plan(1, 1, 1, 2, 1)


Ask = Callable[..., Answer]


def bench(
    *,
    phases: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    quick: Annotated[bool, Parameter(negative="")] = False,
    repeats: int = 3,
    threads: int = 1,
    mode: Literal["corrected", "upstream"] = "corrected",
    precision: Literal["float32", "bfloat16"] = "float32",
    upstream: bool = True,
    out: Path = Path("build/bench.json"),
) -> int:
    """Measures upstream and this project side by side: CPU seconds, wall seconds, peak memory and their ratio.

    Needs the project's sources. What was measured earlier stays in the table until it is measured again, so that the
    whole can be done in pieces.

    Parameters
    ----------
    phases
        What to measure: load, around (all that is not a network), tiles (semantic network), cutouts (instance
        network), patches (labelling network); and without upstream: start, ingest, node, backlog, sizes, pages,
        gpu. By default everything.
    quick
        A quarter of the field of view, one run, the smallest samples, and of the rest only the start; some minutes.
    repeats
        Runs of which the median counts, for phases around the networks.
    threads
        CPU threads of both sides.
    mode
        Our mode: corrected is what a node does by default.
    precision
        Our precision on the CPU.
    upstream
        Whether upstream runs too; its environment is installed where it is missing.
    out
        The table as JSON.
    """
    plan = QUICK if quick else Plan(repeats, 2, UPSTREAM_BATCH, 4, UPSTREAM_BATCH)
    wanted = phases or ((*BESIDE, "start") if quick else (*BESIDE, *ALONE))
    unknown = [name for name in wanted if name not in (*BESIDE, *ALONE)]
    if unknown:
        raise Unusable(f"there is no part {unknown[0]} to measure; there are {', '.join((*BESIDE, *ALONE))}")
    if not SCRIPTS.is_dir():
        raise Unusable(f"the benchmark needs the project's sources; {SCRIPTS} is not there")
    beside = any(name in BESIDE for name in wanted)
    theirs = _run([str(ROOT / "scripts" / "upstream-env")]).strip() if beside and upstream else None
    size = QUARTER if quick else WHOLE
    made = Bench(SCRIPTS, _case(size, beside), plan, (threads, mode, precision), sys.executable, theirs)
    for rows in made.measured(wanted):
        write(out, merged(_earlier(out, size), rows), _facts(size, made.how))
    print(markdown(read(out)[0]))
    return 0


@dataclass(frozen=True)
class Bench:
    """Where the benchmark's scripts are, where its case lies, how much is measured, and which Python runs each side."""

    scripts: Path
    case: Path
    plan: Plan
    how: tuple[int, str, str]
    ours: str
    theirs: str | None

    def measured(self, wanted: Sequence[str]) -> Iterator[list[Row]]:
        """The rows of each part as soon as it is measured."""
        beside = [name for name in BESIDE if name in wanted]
        if beside:
            with ExitStack() as both:
                ours = both.enter_context(self._side(self.ours, "ours.py", self.how))
                theirs = (
                    both.enter_context(self._side(self.theirs, "upstream.py", self.how[:1])) if self.theirs else None
                )
                for name in beside:
                    _tell(name)
                    yield list(self._part(name, ours, theirs))
        for name in (n for n in wanted if n not in BESIDE):
            _tell(name)
            found = json.loads(_run([self.ours, str(self.scripts / f"{name}.py")]))
            yield [Row(**one) for one in found]

    def _part(self, name: str, ours: Ask, theirs: Ask | None) -> Iterator[Row]:
        """The rows of one part; the sides take turns."""
        times, order = (self.plan.repeats if name == "around" else 1), _order(name, self.plan)
        mine, other = [], []
        for _ in range(times):
            mine.append(ours(name, **order))
            other += [theirs(name, **order)] if theirs else []
        if name == "around":
            yield from (replace(r, note=f"median of {times}") for r in around(mine, other))
            return
        if name == "load":
            yield replace(row("load", mine, other, ("load",)), note="process start until models are loaded")
            return
        network, whole = self._wholes()[name]
        count = order["count"]
        note = f"{count} of {whole} {name} measured, reckoned for all"
        yield replace(row(network, mine, other, (network,), whole / count), note=note)

    def _wholes(self) -> dict[str, tuple[str, int]]:
        """Which network a part measures, and how many passes a whole run has (one fold, no mirroring)."""
        import numpy as np

        with np.load(self.case / "case.npz") as case:
            tiles = int(np.prod([len(case[f"starts{axis}"]) for axis in range(3)]))
            vertebrae = len(case["answers"])
        return {
            "tiles": ("semantic_network", tiles),
            "cutouts": ("instance_network", vertebrae),
            "patches": ("labelling_network", vertebrae),
        }

    @contextmanager
    def _side(self, python: str, script: str, how: Sequence[object]) -> Iterator[Ask]:
        """One side in a process of its own; gives a function that asks it to do something."""
        command = [python, str(self.scripts / script), str(self.case), *map(str, how)]
        threads = {name: str(how[0]) for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")}
        log = self.case.parent / f"{Path(script).stem}.log"
        with (
            log.open("w", encoding="utf-8") as errors,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | threads,
            ) as process,
        ):
            given, answers = cast("TextIO", process.stdin), cast("TextIO", process.stdout)

            def ask(do: str, **order: Any) -> Answer:
                given.write(json.dumps({"do": do, **order}) + "\n")
                given.flush()
                line = answers.readline()
                if not line:
                    raise Unusable(f"{script} ended while it measured {do}; its last words are in {log}")
                return Answer.parsed(line)

            try:
                yield ask
            finally:
                given.close()


def _order(name: str, plan: Plan) -> dict[str, int]:
    match name:
        case "tiles":
            return {"count": plan.tiles}
        case "cutouts":
            return {"count": plan.cutouts, "batch": plan.batch}
        case "patches":
            return {"count": plan.patches}
    return {}


def _earlier(out: Path, size: tuple[int, int, int]) -> list[Row]:
    """What was measured before on an image of the same size."""
    rows, facts = read(out)
    return rows if facts.get("size") == list(size) else []


def _case(size: tuple[int, int, int], needed: bool) -> Path:
    """The folder of the phantom and the networks, made where it is missing."""
    folder = CASES / ("case" if size == WHOLE else "case-" + "x".join(map(str, size)))
    if needed and not (folder / "case.npz").is_file():
        _tell("the phantom and the networks (once)")
        _run([sys.executable, str(SCRIPTS / "case.py"), str(folder), *map(str, size)])
    return folder


def _run(command: list[str]) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise Unusable(f"{' '.join(Path(part).name for part in command)} ended with {done.returncode}")
    return done.stdout


def _facts(size: tuple[int, int, int], how: tuple[int, str, str]) -> Mapping[str, Any]:
    """The machine and the state of the project."""
    from importlib.metadata import version

    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "commit": commit, "version": version("spineps-pacs"), "size": list(size),
        **dict(zip(("threads", "mode", "precision"), how, strict=True)),
        "processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version(),
        "torch": version("torch"),
    }  # fmt: skip


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _tell(what: str) -> None:
    print(f"measuring {what} ...", file=sys.stderr, flush=True)
