"""Which series of a study belong together, and when the study is complete; decided from its jobs alone."""

from __future__ import annotations

from collections.abc import Sequence

from spineps_pacs.domain.job import STUDY, Job, State

_ON_THE_WAY = frozenset({State.ARRIVING, State.WAITING, State.ANALYSING})
_ANALYSED = frozenset({State.ANALYSED, State.DELIVERING, State.DELIVERED, State.CONFIRMED, State.DEAD_LETTER})


def complete(jobs: Sequence[Job], now: float, quiet_s: float, expected: int | None = None) -> bool:
    """True when nothing of the study is on its way, and its last expected series is here or all has been quiet."""
    series = [job for job in jobs if job.source != STUDY]
    if not series or any(job.state in _ON_THE_WAY for job in series):
        return False
    if expected is not None and len({job.series_uid for job in series}) >= expected:
        return True
    return now - max(job.created for job in series) >= quiet_s


def stations(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """The newest result of each series."""
    newest: dict[str, Job] = {}
    for job in sorted(jobs, key=lambda it: (it.created, it.id)):
        if job.source != STUDY and job.state in _ANALYSED:
            newest[job.series_uid] = job
    return tuple(newest.values())
