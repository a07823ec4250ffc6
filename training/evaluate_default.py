"""`make model-eval`: the embedded model on the hold-out, the table beside the committed one, and the model card.

python -m training.evaluate_default [--quick] [--write] [--first N] [--every N] [--save FILE [--minutes M]]

`--save` keeps every outcome at once; the same command goes on where the last one stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training import model_card
from training.examination import Outcome, examine
from training.holdout import QUICK, Case, cases
from training.pipeline import embedded

RESULTS = Path(__file__).parent / "results.json"
CARD = Path(__file__).parent.parent / "docs" / "model-card.md"
TOLERANCE = 0.005
"""Means that differ by more than this from the committed ones are named."""


def load(path: Path) -> list[Outcome]:
    """Outcomes from a file that `save` wrote."""
    return [Outcome(**{**row, "variants": tuple(row["variants"])}) for row in json.loads(path.read_text())]


def save(path: Path, outcomes: Iterable[Outcome]) -> None:
    """One line per case, so that a change is seen where it happened; times are left out, they differ each run."""
    rows = [json.dumps({k: v for k, v in o.plain().items() if k != "seconds"}, sort_keys=True) for o in outcomes]
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n")


def run(chosen: Iterable[Case], kept: Path | None = None, minutes: float = math.inf) -> list[Outcome]:
    """Examines cases one after the other and prints a line for each; what a file of kept outcomes has is not repeated.

    No case is begun after so many minutes.
    """
    segment, began = embedded(), time.monotonic()
    outcomes = load(kept) if kept and kept.exists() else []
    known = {outcome.case for outcome in outcomes}
    for case in chosen:
        if case.name in known or time.monotonic() - began > 60 * minutes:
            continue
        outcome = examine(case, segment)
        outcomes.append(outcome)
        if kept:
            save(kept, outcomes)
        bodies, discs = outcome.dice.get("vertebra corpus", 0), outcome.dice.get("IVD", 0)
        counts = f"{outcome.counted} of {outcome.vertebrae}"
        told = outcome.sentence or f"corpus {bodies:.3f} disc {discs:.3f} count {counts}"
        print(f"{case.name}: {told}, {outcome.seconds:.0f} s", flush=True)
    return sorted(outcomes, key=lambda outcome: outcome.case)


def compared(outcomes: list[Outcome], committed: list[Outcome]) -> list[str]:
    """A sentence for each mean that differs from the committed one over the same cases."""
    names = {o.case for o in outcomes}
    before = [o for o in committed if o.case in names]
    lines = []
    for structure in model_card.GOALS:
        new, old = model_card.mean(outcomes, structure), model_card.mean(before, structure)
        if abs(new - old) > TOLERANCE:
            lines.append(f"{structure}: {new:.3f}, committed {old:.3f}")
    if before and model_card.share_exact(outcomes) != model_card.share_exact(before):
        exact, was = (sum(o.exact for o in group) for group in (outcomes, before))
        lines.append(f"exact count: {exact}, committed {was}")
    return lines


def merged(files: list[Path]) -> list[Outcome]:
    """The outcomes of several files in the hold-out's order; a volume that several hold counts once."""
    found = {outcome.case: outcome for file in files for outcome in load(file)}
    return [found[case] for case in sorted(found)]


def main() -> int:
    """Reads the command line; 1 when a gate is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    options: list[tuple[str, dict[str, Any]]] = [
        ("--quick", {"action": "store_true", "help": "ten volumes only"}),
        ("--write", {"action": "store_true", "help": "replace the committed figures and the model card"}),
        ("--first", {"type": int, "default": 0, "help": "begin with this volume"}),
        ("--every", {"type": int, "default": 1, "help": "take every n-th volume"}),
        ("--save", {"type": Path, "help": "keep the outcomes in this file, and go on from what it has"}),
        ("--minutes", {"type": float, "default": math.inf, "help": "begin no volume after so long"}),
        ("--from-saved", {"type": Path, "nargs": "+", "help": "take saved outcomes instead of running anything"}),
    ]
    for name, how in options:
        parser.add_argument(name, **how)
    given = parser.parse_args()
    drawn = cases()
    chosen = [drawn[n] for n in QUICK] if given.quick else drawn[given.first :: given.every]
    outcomes = merged(given.from_saved) if given.from_saved else run(chosen, given.save, given.minutes)
    print(model_card.figures(outcomes))
    if RESULTS.exists():
        print("\n".join(compared(outcomes, load(RESULTS)) or ["As committed."]))
    if given.write:
        save(RESULTS, outcomes)
        model_card.write(CARD, outcomes)
    return int(bool(missed(outcomes)))


def missed(outcomes: list[Outcome]) -> list[str]:
    """The gates that these outcomes do not pass."""
    lines = [
        f"{name} {model_card.mean(outcomes, name):.3f} is below {gate:.2f}"
        for name, gate in model_card.GATES.items()
        if not model_card.mean(outcomes, name) >= gate
    ]
    exact = model_card.share_exact(outcomes)
    return lines + (
        [f"exact counts {exact:.2f} are below {model_card.COUNT_GATE:.2f}"] if exact < model_card.COUNT_GATE else []
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    raise SystemExit(main())
