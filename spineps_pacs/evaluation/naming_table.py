"""Many scans named: the published layout by vertebrae in view, every level, and anomalies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spineps_pacs.domain.anatomy import DISC_OFFSET, HEAD_TO_TAIL, VERTEBRAE, disc_name
from spineps_pacs.evaluation.naming import ANOMALIES, NamedCase

COLUMNS: tuple[tuple[str, int], ...] = (("5", 6), ("8", 9), ("10", 12), ("15", 19), ("all", 99))
"""Columns of the published table, and up to how many vertebrae in view a scan is counted in them."""
EVERY = "every scan"
Named = Mapping[str, NamedCase]
"""Name of a scan to how it was named."""


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    hits: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, by Wilson."""
        if not self.of:
            return (math.nan, math.nan)
        z, p = 1.959964, self.hits / self.of
        middle = p + z * z / (2 * self.of)
        half = z * math.sqrt(p * (1 - p) / self.of + z * z / (4 * self.of**2))
        return ((middle - half) / (1 + z * z / self.of), (middle + half) / (1 + z * z / self.of))

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.hits / self.of:.1%} ({low:.1%}-{high:.1%})" if self.of else "-"


def groups(cases: Named) -> dict[str, list[NamedCase]]:
    """Scans by column; the last column holds them all."""
    found: dict[str, list[NamedCase]] = {name: [] for name, _ in COLUMNS}
    for case in cases.values():
        found[next(name for name, most in COLUMNS if case.visible <= most)].append(case)
    return {**found, EVERY: list(cases.values())}


def by_level(cases: Named) -> dict[int, Share]:
    """Each level from the head down, then discs: how often it is named right where it is in view."""
    seen: dict[int, list[bool]] = {}
    for case in cases.values():
        for instance, right in case.right.items():
            seen.setdefault(instance, []).append(right)
    order = sorted(seen, key=lambda i: (i > DISC_OFFSET, HEAD_TO_TAIL.index(i % DISC_OFFSET)))
    return {i: Share(sum(seen[i]), len(seen[i])) for i in order}


def by_anomaly(cases: Named) -> dict[str, tuple[Share, Share]]:
    """Each anomaly: how often it is found where it is, and how often it is not told where it is not."""
    table = {}
    for name in ANOMALIES:
        having = [case for case in cases.values() if name in case.true]
        others = [case for case in cases.values() if name not in case.true]
        table[name] = (
            Share(sum(name in case.found for case in having), len(having)),
            Share(sum(name not in case.found for case in others), len(others)),
        )
    return table


def label_text(cases: Named) -> str:
    """All three tables as plain text."""
    columns = groups(cases)

    def row(title: str, cell: Callable[[Sequence[NamedCase]], str]) -> list[str]:
        return [title, *(cell(found) if found else "-" for found in columns.values())]

    table = [
        ["vertebrae in view", *columns],
        row("scans", lambda found: str(len(found))),
        row("subset accuracy", lambda found: f"{np.mean([c.exact for c in found]):.1%}"),
        row("Dice", lambda found: f"{np.mean([c.dice for c in found]):.3f}"),
    ]
    levels = [["level", "named right", "scans"]]
    levels += [[_name(i), str(share), str(share.of)] for i, share in by_level(cases).items()]
    odd = [["anomaly", "found", "not told where absent"]]
    odd += [[name, str(found), str(clear)] for name, (found, clear) in by_anomaly(cases).items()]
    return "\n\n".join(_aligned(part) for part in (table, levels, odd))


def label_json(cases: Named) -> dict[str, object]:
    """The same as plain values."""
    return {
        "by_vertebrae_in_view": {
            name: {
                "scans": len(found),
                "subset_accuracy": float(np.mean([c.exact for c in found])) if found else None,
                "dice": float(np.mean([c.dice for c in found])) if found else None,
            }
            for name, found in groups(cases).items()
        },
        "by_level": {_name(i): {"right": s.hits, "scans": s.of} for i, s in by_level(cases).items()},
        "anomalies": {
            name: {"found": [s.hits, s.of], "not_told_where_absent": [c.hits, c.of]}
            for name, (s, c) in by_anomaly(cases).items()
        },
    }


def _name(instance: int) -> str:
    if instance < DISC_OFFSET:
        return VERTEBRAE[instance].name
    above = instance - DISC_OFFSET
    below = HEAD_TO_TAIL[HEAD_TO_TAIL.index(above) + 1 :]
    usual = next((i for i in below if VERTEBRAE[i].name not in {"T13", "L6"}), above)
    return disc_name(VERTEBRAE[above].name, VERTEBRAE[usual].name)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)
