"""Measures phantoms in the masks that the embedded model draws, beside their true masks; prints errors by kind.

Usage: python -m scripts.measurement_predicted [--count 8] [--first 1000] [--keep FILE]
A FILE keeps what was measured, one line a phantom, so that a long run can be cut into several.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from scripts.measurement_table import Case, Key, Row, draw_case, possible
from spineps_pacs.analysis.pipeline import analyse
from spineps_pacs.domain.ports import Engines
from spineps_pacs.domain.report import Measurement, Report
from spineps_pacs.domain.volume import Volume
from spineps_pacs.phantom.contrast import random_contrast
from spineps_pacs.phantom.image import scan
from spineps_pacs.producing import load_engines
from spineps_pacs.settings import Models

SAME = 0.5
"""A predicted part is the true one when more than this part of its voxels lies in it."""
Answer = tuple[float, float] | None
"""Value and half width, or nothing."""


def predict(case: Case, seed: int, engines: Engines) -> Report:
    """What the node finds in an image of the phantom; whether it can name levels or only counts them."""
    rng = np.random.default_rng([seed, 5])
    grid = case.labels.geometry
    contrast = random_contrast(rng, family="TSE", spread=0.5)
    return analyse(Volume(scan(case.spine, grid, contrast, rng), grid), engines)


def partners(case: Case, report: Report) -> dict[int, int]:
    """The true id of each predicted vertebra and disc that lies mostly in one."""
    true, found = case.labels.instances.ravel(), report.instances.labels.ravel()
    pairs: dict[int, int] = {}
    for one in np.unique(found[found > 0]):
        counts = np.bincount(true[found == one], minlength=256)
        best = int(counts[1:].argmax()) + 1
        if counts[best] > SAME * counts.sum():
            pairs[int(one)] = best
    return pairs


def answers(given: Iterable[Measurement], pairs: dict[int, int] | None = None) -> dict[Key, Measurement]:
    """Measurements by kind and true subject; those of parts without a partner are left out."""
    found: dict[Key, Measurement] = {}
    for m in given:
        whole = m.kind.startswith(("lordosis", "kyphosis"))
        subject = 0 if whole else m.subject if pairs is None else pairs.get(m.subject, -1)
        if subject >= 0:
            found[m.kind, subject] = m
    return found


def compared(seed: int, engines: Engines) -> list[dict[str, Any]]:
    """Each number that the field of view of one phantom allows, from the true masks and from the predicted ones."""
    case = draw_case(seed)
    report = predict(case, seed, engines)
    true, predicted = answers(case.measured()), answers(report.measurements, partners(case, report))
    return [
        {"kind": key[0], "truth": truth, "true": _plain(true.get(key)), "predicted": _plain(predicted.get(key))}
        for key, truth in possible(case)
    ]


def _plain(answer: Measurement | None) -> Answer:
    if answer is None or answer.value is None or answer.uncertainty is None:
        return None
    return float(answer.value), float(answer.uncertainty)


def kept(path: Path | None) -> dict[int, list[dict[str, Any]]]:
    """What a file already holds, by seed."""
    lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
    return dict(json.loads(line) for line in lines)


def table(cases: Iterable[list[dict[str, Any]]]) -> str:
    """A line for each kind: true masks, then predicted ones."""
    rows: dict[str, tuple[Row, Row]] = {}
    for number in (n for case in cases for n in case):
        pair = rows.setdefault(number["kind"], (Row(), Row()))
        for row, which in zip(pair, ("true", "predicted"), strict=True):
            row.possible += 1
            if number[which] is not None:
                value, wide = number[which]
                row.found.append((value - number["truth"], number["truth"], wide))
    head = "| kind | possible | true masks: measured | median error | 95 % below | it holds in "
    head += "| predicted masks: measured | median error | 95 % below | it holds in |"
    lines = [head, "|---" * 10 + "|"]
    for kind, (true, predicted) in sorted(rows.items()):
        lines.append(f"| `{kind}` | {true.possible} | {_cells(true)} | {_cells(predicted)} |")
    return "\n".join(lines)


def _cells(row: Row) -> str:
    if not row.found:
        return "0 % | – | – | –"
    error, _, wide = np.abs(np.array(row.found)).T
    holds = (error <= wide).mean()
    share = len(row.found) / row.possible
    return f"{share:.0%} | {np.median(error):.2f} | {np.percentile(error, 95):.2f} | {holds:.0%}"


def main() -> None:
    """Measures what is not kept yet, then prints the table of all that is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=8, help="how many phantoms")
    parser.add_argument("--first", type=int, default=1000, help="the first seed")
    parser.add_argument("--keep", type=Path, help="a file that keeps what was measured")
    options = parser.parse_args()
    done = kept(options.keep)
    engines = load_engines(Models(device="cpu"))
    for seed in range(options.first, options.first + options.count):
        if seed in done:
            continue
        done[seed] = compared(seed, engines)
        if options.keep is not None:
            with options.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps([seed, done[seed]]) + "\n")
    print(f"{len(done)} phantoms")
    print(table(done.values()))


if __name__ == "__main__":
    main()
