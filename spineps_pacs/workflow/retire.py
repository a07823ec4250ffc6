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
        """Erases all that is due; gives the jobs.

        One whose folder the disk does not give up holds no other up; OSError is raised when those are done.
        """
        before = self._clock() - self._keep_hours() * HOUR_S
        gone: list[str] = []
        fault: OSError | None = None
        for job in self._records.due(before):
            try:
                if self._retire(job, before):
                    gone.append(job.id)
            except OSError as error:
                fault = error
        if fault is not None:
            raise fault
        return gone

    def _retire(self, job: Job, before: float) -> bool:
        """False where the job is needed once more: it was started anew meanwhile, or its series comes again."""
        known = self._records.known(job.id)
        if known is None or known.changed != job.changed or self._records.erased(job.id):
            return False
        key = fingerprint([job.series_uid])
        if not self._needed_by_others(job, before):
            if not self._kept.inbox.forget(key, before):
                self._records.again(job.id, job.state, "the series was sent once more")
                return False
            self._kept.notes.forget(key)
        self._kept.outbox.forget(job.id)
        self._kept.audit(AuditEvent(DELETED, DELETE, "spineps-pacs", study_uid=job.study_uid))
        self._records.erase(job.id)
        return True

    def _needed_by_others(self, job: Job, before: float) -> bool:
        """The images of a series stay as long as any of its jobs is not past its time."""
        others = [other for other in self._records.find(series_uid=job.series_uid) if other.id != job.id]
        return any(
            not self._records.erased(other.id) and (not other.ended or other.changed >= before) for other in others
        )
