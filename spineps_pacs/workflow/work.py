"""One piece of work: a stage of a job's turn, for a destination where there is one, at its n-th attempt."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from spineps_pacs.domain.job import Job

SELECT, ANALYSE, DELIVER, CONFIRM, SHADOW = "select", "analyse", "deliver", "confirm", "shadow"
LAST = 1000
"""The priority of what may wait for everything else."""

REJECTION = "rejection"


def kind_of(name: str) -> str:
    """The kind of result that a file of the outbox holds."""
    return name.partition(".")[0]


def recalled(job: Job) -> bool:
    """True when a note takes back what the job has sent."""
    return any(kind_of(name) == REJECTION for name in job.results)


@dataclass(frozen=True)
class Work:
    """What stands in the queue: names and numbers only. The same work has the same id, and is done once."""

    stage: str
    job_id: str
    turn: int
    destination: str = ""
    attempt: int = 0
    delay_s: float = 0.0
    priority: int = 100

    @property
    def id(self) -> str:
        """Under which the engine knows it."""
        parts = [self.job_id, str(self.turn), self.stage, self.destination, str(self.attempt)]
        return ":".join(parts if self.stage != SHADOW else [SHADOW, *parts])  # a job's own work is found by its id

    def later(self, delay_s: float) -> Work:
        """The next attempt, after a while."""
        return replace(self, attempt=self.attempt + 1, delay_s=delay_s)


@dataclass(frozen=True)
class Retries:
    """How often work that said "later" is tried, and after how long: doubling, with jitter."""

    attempts: int = 12
    first_s: float = 30.0
    longest_s: float = 3600.0

    def delay(self, work: Work) -> float:
        """Between half and all of the doubled delay; which, is decided by the work's id, so a repeat decides alike."""
        share = int.from_bytes(hashlib.sha256(work.id.encode()).digest()[:4], "big") / 2**32
        full = min(self.longest_s, self.first_s * 2.0 ** min(work.attempt, 40))
        return full * (0.5 + share / 2)
