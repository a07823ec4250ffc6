"""Data does not stay: what is past `keep_hours` is erased, its verdict and states remain without identifiers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from spineps_pacs.domain.audit import DELETE, DELETED, Audit, AuditEvent, unheard
from spineps_pacs.domain.job import Job
from spineps_pacs.domain.ports import Datasets, Records
from spineps_pacs.domain.series import fingerprint

HOUR_S = 3600.0


class Notes(Protocol):
    """Notes beside the inbox."""

    def forget(self, key: str, *kinds: str) -> None: ...


@dataclass(frozen=True)
class Kept:
    """Where data of jobs is kept, and who hears of its end."""

    inbox: Datasets
    outbox: Datasets
    notes: Notes
    audit: Audit = unheard


class Retirement:
    """Erases what has ended long enough ago; `step` is one round. Dead letters stay until a person decides."""

    def __init__(
        self,
        kept: Kept,
        records: Records,
        keep_hours: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kept = kept
        self._records = records
        self._keep_hours = keep_hours
        self._clock = clock

    def step(self) -> list[str]:
        """Erases all that is due; gives the jobs."""
        before = self._clock() - self._keep_hours() * HOUR_S
        done = []
        for job in self._records.due(before):
            self._retire(job)
            done.append(job.id)
        return done

    def _retire(self, job: Job) -> None:
        self._kept.outbox.forget(job.id)
        if not self._needed_by_others(job):
            key = fingerprint([job.series_uid])
            self._kept.inbox.forget(key)
            self._kept.notes.forget(key)
        self._records.erase(job.id)
        self._kept.audit(AuditEvent(DELETED, DELETE, "spineps-pacs", study_uid=job.study_uid))

    def _needed_by_others(self, job: Job) -> bool:
        """The images of a series stay as long as any of its jobs is not past its time."""
        before = self._clock() - self._keep_hours() * HOUR_S
        others = [other for other in self._records.find(series_uid=job.series_uid) if other.id != job.id]
        return any(
            not self._records.erased(other.id) and (not other.ended or other.changed >= before) for other in others
        )
