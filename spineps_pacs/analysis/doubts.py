"""What a reader must know of a result: every doubt as a plain flag, with a sentence that carries the number or name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.pieces import Labels, sizes
from spineps_pacs.domain.anatomy import (
    DISC_OFFSET,
    HEAD_TO_TAIL,
    SACRUM_ID,
    STRUCTURES,
    VERTEBRAE,
    disc_name,
)
from spineps_pacs.domain.masks import LevelMethod, Levels
from spineps_pacs.domain.report import Flag, FoldSpread, ModelUsed

BODY_IDS = (49, 50)
EXPECTED = (41, 49, 61, 100)
"""Structures that every image of a spine shows."""


@dataclass(frozen=True)
class Limits:
    """From where a doubt is told. None of them was fitted to data; they are starting points."""

    margin: float = 0.15
    confidence: float = 0.5
    fold_spread: float = 0.1
    fold_volume_mm3: float = 500.0


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the phases leave behind; `counted` is the number of vertebrae by the discs, None if not looked at."""

    structures: Labels
    instances: Labels
    levels: Levels
    models: Sequence[ModelUsed]
    folds: Sequence[FoldSpread] = ()
    counted: int | None = None
    unmatched: int = 0
    dropped: int = 0
    failed: str = ""
    notes: Sequence[str] = ()


def flags(seen: Evidence, limits: Limits) -> tuple[Flag, ...]:
    """All doubts, in the order in which a reader should see them."""
    found = (
        *_models(seen), *_phases(seen), *_numbering(seen, limits), *_cut(seen), *_discs(seen), *_unmatched(seen),
        *_folds(seen, limits), *_absent(seen), *_notes(seen),
    )  # fmt: skip
    return tuple(found)


def _models(seen: Evidence) -> Iterator[Flag]:
    names = sorted({m.name for m in seen.models if m.demonstration})
    if names:
        yield Flag(
            "demonstration-model", f"{', '.join(names)}: trained on synthetic spines; not for diagnosis or measurement"
        )


def _phases(seen: Evidence) -> Iterator[Flag]:
    if seen.failed:
        yield Flag("instance-phase-failed", f"vertebrae could not be told apart: {seen.failed}")
    elif seen.levels.method is LevelMethod.COUNTED and seen.levels.choices:
        count = len(seen.levels.choices)
        yield Flag("counted", f"{count} vertebrae are counted from the top, not named: {seen.levels.reason}")


def _numbering(seen: Evidence, limits: Limits) -> Iterator[Flag]:
    levels = seen.levels
    anomalies = [f for f in levels.flags if f != "numbering uncertain"]
    if anomalies:
        yield Flag("numbering-anomaly", "unusual numbering: " + ", ".join(anomalies))
    doubts = []
    if "numbering uncertain" in levels.flags:
        doubts.append("counting from the sacrum and from C2 gives different names")
    if levels.margin is not None and levels.margin < limits.margin:
        doubts.append(f"another numbering costs only {levels.margin:.3f} more")
    weak = [c for c in levels.choices if c.confidence is not None and c.confidence < limits.confidence]
    if weak:
        worst = min(weak, key=lambda c: c.confidence or 0.0)
        doubts.append(
            f"{len(weak)} levels have a confidence below {limits.confidence:g}, the least {worst.confidence:.2f}"
        )
    if seen.counted is not None and seen.counted != len(levels.choices):
        doubts.append(
            f"{len(levels.choices)} vertebrae were found, but the discs divide the column into {seen.counted}"
        )
    if doubts:
        yield Flag("numbering-uncertain", "; ".join(doubts), tuple(c.instance for c in weak))


def _cut(seen: Evidence) -> Iterator[Flag]:
    bodies = np.where(np.isin(seen.structures, BODY_IDS), seen.instances, 0)
    at_edge = _on_faces(bodies)
    cut = tuple(c.instance for c in seen.levels.choices if c.instance in at_edge)
    if cut:
        yield Flag("cut-by-field-of-view", f"the field of view cuts {_named(cut, seen.levels)}", cut)


def _on_faces(labels: NDArray[np.integer]) -> set[int]:
    """Labels that touch an end of the grid."""
    faces = [labels.take(end, axis=axis) for axis in range(3) for end in (0, -1)]
    return {int(n) for face in faces for n in np.unique(face) if n}


def _named(instances: Sequence[int], levels: Levels) -> str:
    choices = {c.instance: c for c in levels.choices}
    return ", ".join(
        VERTEBRAE[i].name if choices[i].level in VERTEBRAE else f"vertebra {choices[i].position}" for i in instances
    )


def _discs(seen: Evidence) -> Iterator[Flag]:
    present = set(sizes(seen.instances))
    ordered = [c.instance for c in sorted(seen.levels.choices, key=lambda c: c.position)]
    below = [*ordered[1:], SACRUM_ID] if SACRUM_ID in present else ordered[1:]
    missing = [(a, b) for a, b in zip(ordered, below, strict=False) if DISC_OFFSET + a not in present]
    if not missing or not seen.levels.choices:
        return
    named = seen.levels.method is not LevelMethod.COUNTED
    places = [
        disc_name(_short(a), _short(b)) if named else f"below vertebra {ordered.index(a) + 1}" for a, b in missing
    ]
    yield Flag("disc-missing", f"no disc was found: {', '.join(places)}", tuple(a for a, _ in missing))


def _short(instance: int) -> str:
    return VERTEBRAE[instance].name if instance in HEAD_TO_TAIL else str(instance)


def _unmatched(seen: Evidence) -> Iterator[Flag]:
    told = []
    if seen.unmatched:
        told.append(f"{seen.unmatched} pieces of vertebral structure touch no vertebra and were removed")
    if seen.dropped:
        told.append(f"{seen.dropped} vertebrae without a body got no name and were removed")
    if told:
        yield Flag("unmatched", "; ".join(told))


def _folds(seen: Evidence, limits: Limits) -> Iterator[Flag]:
    apart = [
        f for f in seen.folds if f.mean_mm3 > limits.fold_volume_mm3 and f.spread_mm3 > limits.fold_spread * f.mean_mm3
    ]
    if apart:
        worst = max(apart, key=lambda f: f.spread_mm3 / f.mean_mm3)
        name = next((s.name for s in STRUCTURES if worst.structure in s.ids), str(worst.structure))
        part = 100 * worst.spread_mm3 / worst.mean_mm3
        yield Flag(
            "folds-disagree",
            f"{len(apart)} structures differ between folds, most: {name} by {part:.0f} % of its volume",
        )


def _absent(seen: Evidence) -> Iterator[Flag]:
    present = set(sizes(seen.structures))
    absent = [s.name for s in STRUCTURES if s.id in EXPECTED and not present & set(s.ids)]
    if absent:
        yield Flag("structure-absent", f"not found: {', '.join(absent)}")


def _notes(seen: Evidence) -> Iterator[Flag]:
    for note in seen.notes:
        if "filled" in note:
            yield Flag("slice-filled", note)
