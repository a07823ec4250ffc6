"""Words for people: times, sizes, shortened UIDs, and what to do about a reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from spineps_pacs.domain.job import Job, State

SHORT = 8
_SUCCESSOR = re.compile(r"see job ([A-Za-z0-9._-]{1,64})$")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")

ADVICE: tuple[tuple[str, str], ...] = (
    (r"refuses our association|calling AE|called AE", ("Ask the archive's administrator whether our AE title and the "
     "called AE title are registered; `spineps-pacs check` tells which of the two is refused.")),
    (r"cannot be reached|answers 5|timed? ?out", ("Check the network and whether the destination runs; then press "
     "Retry. Nothing is computed again.")),
    (r"answers 401|answers 403", "The destination refuses our user or token: renew the secret's file, then Retry."),
    (r"presentation context|SOP class|not supported|0122", ("The destination does not take this kind of object: have "
     "it enabled there, or leave the kind out of the destination's `results`, then Retry.")),
    (r"disk|takes nothing more|No space", "Make room on the disk of the data folder, then Retry."),
    (r"memory", ("The series needs more memory than is free: stop other work or raise models.max_memory_gb, then "
     "Re-run.")),
    (r"model|checkpoint|weights", "Verify the models with `spineps-pacs models verify`, then Re-run."),
    (r"erased|send the series once more", "Its images are gone: send the series again from the scanner or archive."),
    (r"killed its worker|set aside", ("The worker died on this series. Look into the log, and report it with "
     "`spineps-pacs support-bundle`.")),
    (r"slice|gap|spacing|geometry|orientation", ("The images themselves cannot be rebuilt into a volume: send the "
     "series again complete, or have it repeated.")),
    (r"cancelled", "A person stopped it. Re-run starts it anew."),
)  # fmt: skip
"""A pattern of reasons and what to do, first match wins."""

OTHERWISE = "Open one of them and read its timeline; if it stays unclear, send a support bundle."


def advice(reason: str) -> str:
    """What to do about a reason."""
    return next((text for pattern, text in ADVICE if re.search(pattern, reason, re.IGNORECASE)), OTHERWISE)


def kind_of(reason: str) -> str:
    """The reason without its numbers, by which like reasons are gathered."""
    return _DIGITS.sub("#", reason) or "no reason was given"


def grouped(jobs: Iterable[Job]) -> list[tuple[str, str, list[Job]]]:
    """Jobs by kind of reason, largest group first: reason, what to do, jobs; numbers that differ are left out."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(kind_of(job.reason), []).append(job)
    ordered = sorted(groups.items(), key=lambda item: len(item[1]), reverse=True)
    return [(_shared(kind, group), advice(group[0].reason), group) for kind, group in ordered]


def _shared(kind: str, group: Sequence[Job]) -> str:
    """What the reasons of a group have in common."""
    return group[0].reason or kind if len({job.reason for job in group}) == 1 else kind.replace("#", "…")


def successor(reason: str) -> str:
    """The job that the reason of a superseded one names; "" where it names none."""
    found = _SUCCESSOR.search(reason)
    return found[1] if found else ""


def short(uid: str) -> str:
    """The end of a UID; the whole of it would tell more than a page needs."""
    return uid if len(uid) <= SHORT else f"…{uid[-SHORT:]}"


def moment(seconds: float) -> str:
    """A time as people write it, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds else "–"


def span(seconds: float) -> str:
    """A length of time, to two units."""
    whole = max(0, round(seconds))
    days, hours, minutes = whole // 86400, whole % 86400 // 3600, whole % 3600 // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def size(count: float) -> str:
    """Bytes as gigabytes."""
    return f"{count / 1e9:.1f} GB"


def percent(value: float | None) -> str:
    """A share of one."""
    return "–" if value is None else f"{100 * value:.0f} %"


def unit(ucum: str) -> str:
    """A unit of UCUM as people write it; a ratio has none."""
    return {"1": "", "mm2": "mm²", "mm3": "mm³", "deg": "°"}.get(ucum, ucum)


def mark(state: State) -> str:
    """The class that colours a state."""
    if state in (State.FAILED, State.DEAD_LETTER):
        return "bad"
    if state in (State.SKIPPED, State.CANCELLED, State.SUPERSEDED):
        return "quiet"
    return "good" if state in (State.DELIVERED, State.CONFIRMED) else "busy"


def seconds_of(text: str, end: bool = False) -> float:
    """A day of a date field (UTC) as seconds, its end when asked; 0 for an empty or impossible one."""
    try:
        start = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
    return start + 86400.0 if end else start
