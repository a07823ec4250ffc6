"""Heartbeats of workers, and the reaper that gives a dead worker's work to others.

A lease is a row with a counter. A worker is dead when its counter stood still for `lease_s` by the watcher's own
monotonic clock, so neither clocks that differ between hosts nor a clock that jumps kill anybody. Deleting the row
picks the one watcher that takes the work over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import sqlalchemy as sa

from spineps_pacs.domain.job import Job, State
from spineps_pacs.domain.ports import Records

METADATA = sa.MetaData()
LEASES = sa.Table(
    "leases",
    METADATA,
    sa.Column("executor", sa.String(128), primary_key=True),
    sa.Column("beats", sa.BigInteger, nullable=False),
)
LIVE_STATES = (State.ARRIVING, State.WAITING, State.ANALYSING, State.ANALYSED, State.DELIVERING, State.DELIVERED)


class Work(Protocol):
    """What the reaper needs of the chain."""

    def pending(self) -> Mapping[str, Sequence[tuple[str, str]]]: ...

    def take_over(self, works: Sequence[tuple[str, str]]) -> None: ...

    def revive(self, job: Job) -> list[str]: ...


class Leases:
    """The table of leases."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7364062)"))
            METADATA.create_all(connection)

    def beat(self, executor: str) -> None:
        """A sign of life."""
        mine = LEASES.c.executor == executor
        with self._engine.begin() as connection:
            if not connection.execute(LEASES.update().where(mine).values(beats=LEASES.c.beats + 1)).rowcount:
                connection.execute(LEASES.insert().values(executor=executor, beats=1))

    def all(self) -> dict[str, int]:
        """Each executor's counter."""
        with self._engine.connect().execution_options(reading=True) as connection:
            return {row.executor: int(row.beats) for row in connection.execute(sa.select(LEASES))}

    def drop(self, executor: str, beats: int) -> bool:
        """Ends a lease whose counter still is this; True for the one who did it."""
        same = sa.and_(LEASES.c.executor == executor, LEASES.c.beats == beats)
        with self._engine.begin() as connection:
            return bool(connection.execute(LEASES.delete().where(same)).rowcount)


class Reaper:
    """Looks for dead workers, and for jobs that nobody works on; `clock` is monotonic seconds."""

    def __init__(
        self,
        leases: Leases,
        chain: Work,
        records: Records,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._chain = chain
        self._records = records
        self._lease_s = lease_s
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}
        self._idle: dict[str, tuple[float, float]] = {}

    def step(self) -> list[str]:
        """One look; gives the executors that were found dead."""
        leases = self._leases.all()
        pending = self._chain.pending()
        for executor in set(pending) - set(leases):  # died before its first beat, or its reaper died
            leases[executor] = 0
            self._leases.beat(executor)
        dead = [executor for executor, beats in leases.items() if self._stands_still(executor, beats)]
        for executor in dead:
            if self._leases.drop(executor, leases[executor]):
                self._chain.take_over(pending.get(executor, []))
        self._seen = {executor: seen for executor, seen in self._seen.items() if executor not in dead}
        return dead

    def revive(self) -> list[str]:
        """New work for jobs on their way that have not moved for a lease and for which nothing is queued."""
        now, idle, works = self._clock(), {}, []
        for state in LIVE_STATES:
            for job in self._records.find(state=state, limit=1000):
                changed, since = self._idle.get(job.id, (job.changed, now))
                idle[job.id] = (job.changed, since if changed == job.changed else now)
                if now - idle[job.id][1] >= self._lease_s:
                    works += self._chain.revive(job)
                    idle[job.id] = (job.changed, now)
        self._idle = idle
        return works

    def _stands_still(self, executor: str, beats: int) -> bool:
        before, since = self._seen.get(executor, (-1, 0.0))
        if before != beats:
            self._seen[executor] = (beats, self._clock())
            return False
        return self._clock() - since >= self._lease_s
