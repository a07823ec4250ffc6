"""Writes docs/model-card.md from what the examination found: the figures, their spread, and what was missed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from training.examination import Outcome
from training.holdout import SIZE, VARIANTS

GOALS: dict[str, float] = {
    "vertebra corpus": 0.93,
    "IVD": 0.90,
    "spinal canal": 0.92,
    "spinal cord": 0.90,
    "sacrum": 0.88,
    "arcus": 0.82,
    "spinous process": 0.70,
    "costal process": 0.70,
    "articularis superior": 0.70,
    "articularis inferior": 0.70,
}
GATES: dict[str, float] = {"vertebra corpus": 0.90, "IVD": 0.90, "spinal canal": 0.85}
COUNT_GOAL, COUNT_GATE = 0.95, 0.90
COLUMNS = ("vertebra corpus", "IVD", "spinal canal", "spinal cord", "arcus")
_SHORT = {"vertebra corpus": "corpus", "IVD": "disc", "spinal canal": "canal", "spinal cord": "cord", "arcus": "arcus"}
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def figures(outcomes: Sequence[Outcome]) -> str:
    """All tables, as Markdown."""
    families = sorted({o.family for o in outcomes})
    heights = ((150, 250), (250, 350), (350, 450), (450, 601))
    slices = ((2.5, 3.3), (3.3, 4.2), (4.2, 5.01))
    parts = [
        _overall(outcomes),
        "### By region of the spine\n\n" + _by_region(outcomes),
        "### By contrast\n\n" + _grouped(outcomes, families, lambda o, f: o.family == f),
        "### By variant and pathology\n\n" + _grouped(outcomes, VARIANTS, lambda o, v: v in o.variants),
        "### By height of the field of view\n\n"
        + _grouped(outcomes, [f"{a}-{b - b % 50} mm" for a, b in heights], _between(heights, lambda o: o.height_mm)),
        "### By slice spacing\n\n"
        + _grouped(outcomes, [f"{a}-{b:.1f} mm" for a, b in slices], _between(slices, lambda o: o.slice_mm)),
        _failures(outcomes),
    ]
    return "\n\n".join(parts)


def _between(
    borders: Sequence[tuple[float, float]], value: Callable[[Outcome], float]
) -> Callable[[Outcome, str], bool]:
    """Whether an outcome lies in the range that a name begins with."""
    tops = {f"{a}": (a, b) for a, b in borders}

    def inside(outcome: Outcome, name: str) -> bool:
        low, high = tops[name.split("-", maxsplit=1)[0]]
        return low <= value(outcome) < high

    return inside


def mean(outcomes: Iterable[Outcome], structure: str) -> float:
    """Mean Dice over the cases that show the structure."""
    values = [o.dice[structure] for o in outcomes if structure in o.dice]
    return float(np.mean(values)) if values else math.nan


def share_exact(outcomes: Sequence[Outcome]) -> float:
    """The share of cases with the exact number of vertebrae."""
    return sum(o.exact for o in outcomes) / max(1, len(outcomes))


def _overall(outcomes: Sequence[Outcome]) -> str:
    done = [o for o in outcomes if not o.sentence]
    lines = ["| structure | Dice, mean ± SD | worst | goal | met | blocking gate |", "|---|---|---|---|---|---|"]
    names = {name for o in done for name in o.dice}
    for name in [*GOALS, *sorted(names - GOALS.keys())]:
        values = [o.dice[name] for o in done if name in o.dice]
        if not values:
            continue
        goal, gate = GOALS.get(name), GATES.get(name)
        met = "" if goal is None else "yes" if np.mean(values) >= goal else "**no**"
        spread = f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}"
        lines.append(
            f"| {name} | {spread} | {min(values):.2f} | {f'{goal:.2f}' if goal else ''} | {met} "
            f"| {_gate(float(np.mean(values)), gate)} |"
        )
    exact = share_exact(outcomes)
    met = "yes" if exact >= COUNT_GOAL else "**no**"
    count = f"{sum(o.exact for o in outcomes)} of {len(outcomes)}"
    lines.append(f"| exact vertebra count | {count} | | {COUNT_GOAL:.2f} | {met} | {_gate(exact, COUNT_GATE)} |")
    found = [o for o in done if not math.isnan(o.rq)]
    more = [
        f"{len(outcomes)} of the {SIZE} volumes of the hold-out were run.",
        f"Counts are exact in {sum(o.strict for o in outcomes)} of {len(outcomes)} when slivers must not be counted.",
        f"Left and right changed places in {sum(o.swapped for o in done)} of {len(done)}.",
        f"{len(done)} of {len(outcomes)} ended in a result, the others in a sentence (below).",
    ]
    if found:
        rq, found_dice = np.mean([o.rq for o in found]), np.nanmean([o.instance_dice for o in found])
        more.append(f"Vertebrae: RQ {rq:.3f}, instance Dice of found ones {found_dice:.3f}.")
    return "\n".join(lines) + "\n\n" + " ".join(more)


def _gate(value: float, gate: float | None) -> str:
    if gate is None:
        return ""
    return f"{gate:.2f} " + ("met" if value >= gate else "**missed**")


def _by_region(outcomes: Sequence[Outcome]) -> str:
    lines = [f"| region | {' | '.join(_SHORT[c] for c in COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for region in ("cervical", "thoracic", "lumbar"):
        cells = []
        for column in COLUMNS:
            values = [o.regional[f"{region}/{column}"] for o in outcomes if f"{region}/{column}" in o.regional]
            cells.append(f"{np.mean(values):.3f}" if values else "-")
        lines.append(f"| {region} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _grouped(outcomes: Sequence[Outcome], names: Iterable[str], belongs: Callable[[Outcome, str], bool]) -> str:
    lines = [f"| | n | {' | '.join(_SHORT[c] for c in COLUMNS)} | exact count |", "|---" * (len(COLUMNS) + 3) + "|"]
    for name in names:
        group = [o for o in outcomes if belongs(o, name)]
        if group:
            cells = [f"{value:.3f}" if not math.isnan(value := mean(group, c)) else "-" for c in COLUMNS]
            exact = f"{sum(o.exact for o in group)}/{len(group)}"
            lines.append(f"| {name} | {len(group)} | {' | '.join(cells)} | {exact} |")
    return "\n".join(lines)


def _failures(outcomes: Sequence[Outcome]) -> str:
    lines = ["### Cases with a wrong count or without a result", ""]
    for o in outcomes:
        if o.sentence:
            lines.append(f"- {o.case}: {o.sentence}")
        elif not o.exact:
            lines.append(f"- {o.case}: {o.counted} of {o.vertebrae} vertebrae")
    return "\n".join(lines if len(lines) > 2 else [*lines, "None."])


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Puts the figures between the two marks of the card; the words around them are written by hand."""
    text = path.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    path.write_text(f"{head}{BEGIN}\n\n{figures(outcomes)}\n\n{END}{tail}", encoding="utf-8")
