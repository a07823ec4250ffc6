"""One broken file after another through everything that reads DICOM: refused or read, nothing else.

As a program: `python -m tests.fuzz.campaign FIRST LAST` runs cases FIRST to LAST-1 and prints one JSON line at the end;
the number of the case in hand stands on stderr, so that a crash or a hang names it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import made_dicom as made
from scanners import unpacked

from fuzz.mutations import broken
from spineps_pacs.analysis.planes import Plane, planes
from spineps_pacs.analysis.rebuild import choose, found_in, load
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.intake import scan
from spineps_pacs.intake.facts import Facts, combine
from spineps_pacs.intake.headers import sample
from spineps_pacs.intake.limits import Limits
from spineps_pacs.intake.selection import judge_facts


@cache
def siblings() -> tuple[Plane, ...]:
    """Planes of sound slices, beside which a broken one may stand."""
    datasets = made.series(*made.grid((4, 48, 40)))[1:]
    return tuple(plane for at, dataset in enumerate(datasets) for plane in planes(dataset, at + 1))


def read(path: Path) -> str:
    """Everything that is done with a file, alone and in a series; "read", or "refused"."""
    try:
        header = scan.header(path)
        facts = combine([sample(header)])
        assert Facts.from_json(facts.to_json()) == facts
        assert judge_facts(facts, Limits()).findings
        found = found_in(planes(header))
        assert found_in((*siblings(), *planes(header)))
        whole = scan.dataset(path)
        volume = load(choose(found), lambda _: whole)
    except Unusable as refusal:
        return "refused" if str(refusal) else "refused without a word"
    assert volume.voxels.shape == volume.geometry.shape
    return "read"


def run(first: int, last: int, *, told: bool = False) -> tuple[Counter[str], float]:
    """Cases first to last-1: how many were read and refused, and the most seconds of computing that one took."""
    path = unpacked(prefix="fuzz-") / "case.dcm"
    outcomes: Counter[str] = Counter()
    longest = 0.0
    for case in range(first, last):
        path.write_bytes(broken(case))
        if told:
            sys.stderr.write(f"{case}\n")
        start = time.process_time()
        try:
            outcomes[read(path)] += 1
        except BaseException as error:
            error.add_note(f"case {case}")
            raise
        longest = max(longest, time.process_time() - start)
    return outcomes, longest


def peak_gb() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    counted, slowest = run(int(sys.argv[1]), int(sys.argv[2]), told=True)
    sys.stdout.write(json.dumps({**counted, "longest_s": round(slowest, 2), "peak_gb": round(peak_gb(), 2)}) + "\n")
