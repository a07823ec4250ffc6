"""What pages and metrics ask of the records: filtered lists, ages, counts; all read-only, each one short query."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from spineps_pacs.domain.job import Job, State
from spineps_pacs.storage.records import _job, _sendings
from spineps_pacs.storage.tables import EVENTS, JOBS, SENDINGS

TAKEN, OTHER = "taken", "other"
MOST_ASKED = 500
"""Jobs in one question; databases limit the parameters of a statement."""
_FAILED = re.compile(r'"rule": "((?:[^"\\]|\\.)*)", "passed": false')
"""The first rule that failed, in a verdict as the records write it; quotes inside its texts are escaped."""


@dataclass(frozen=True)
class Asked:
    """Which jobs; empty fields let everything through."""

    states: tuple[State, ...] = ()
    source: str = ""
    reason: str = ""
    since: float = 0.0
    until: float = 0.0
    start: int = 0
    limit: int = 50


class Overview:
    """Questions over the tables of the records."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(reading=True)
        self._outcomes: dict[str, tuple[float, str]] = {}

    def jobs(self, asked: Asked) -> tuple[tuple[Job, ...], int]:
        """One page, newest first, and how many fit in all."""
        where = _where(asked)
        query = sa.select(JOBS).where(where).order_by(JOBS.c.created.desc(), JOBS.c.id)
        with self._engine.begin() as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(JOBS).where(where)).scalar_one()
            rows = connection.execute(query.offset(asked.start).limit(asked.limit)).all()
            sendings = _sendings(connection, [row.id for row in rows])
            return tuple(_job(row, sendings) for row in rows), int(total)

    def sources(self) -> Sequence[str]:
        """Who ever sent something."""
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(JOBS.c.source).distinct().order_by(JOBS.c.source))
            return [row.source for row in rows if row.source]

    def oldest(self) -> Mapping[State, float]:
        """When the longest-standing job of each state came into it."""
        query = sa.select(JOBS.c.state, sa.func.min(JOBS.c.changed)).group_by(JOBS.c.state)
        with self._engine.begin() as connection:
            return {State(state): float(since) for state, since in connection.execute(query)}

    def sendings(self) -> Mapping[tuple[str, State], int]:
        """Deliveries by destination and state."""
        columns = (SENDINGS.c.destination, SENDINGS.c.state)
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(*columns, sa.func.count()).group_by(*columns)).all()
        return {(destination, State(state)): int(count) for destination, state, count in rows}

    def verdicts(self, since: float = 0.0) -> Mapping[str, int]:
        """How many were taken, and how many each rule kept out (the first that failed)."""
        return Counter(rule for _, _, rule in self.judged(since))

    def judged(self, since: float = 0.0) -> list[tuple[str, float, str]]:
        """Source, time and outcome of each verdict: taken, or the first rule that failed."""
        query = sa.select(JOBS.c.id, JOBS.c.changed, JOBS.c.source, JOBS.c.created)
        query = query.where(JOBS.c.verdict.is_not(None), JOBS.c.created >= since)
        with self._engine.begin() as connection:
            rows = connection.execute(query).all()
            unread = {job: changed for job, changed, _, _ in rows if self._outcomes.get(job, (0, ""))[0] != changed}
            self._outcomes |= {job: (unread[job], outcome) for job, outcome in _read(connection, list(unread))}
        return [(source, created, self._outcomes.get(job, (0, OTHER))[1]) for job, _, source, created in rows]

    def analyses_s(self, most: int = 20) -> list[float]:
        """How long the last analyses took, in seconds."""
        kinds = (State.ANALYSING.value, State.ANALYSED.value)
        query = sa.select(EVENTS.c.job_id, EVENTS.c.kind, EVENTS.c.at).where(EVENTS.c.kind.in_(kinds))
        with self._engine.begin() as connection:
            rows = connection.execute(query.order_by(EVENTS.c.id.desc()).limit(4 * most)).all()
        return _spans([(row.job_id, row.kind, row.at) for row in reversed(rows)])[-most:]


def _spans(rows: Sequence[tuple[str, str, float]]) -> list[float]:
    begun: dict[str, float] = {}
    spans = []
    for job, kind, at in rows:
        if kind == State.ANALYSING.value:
            begun[job] = at
        elif job in begun:
            spans.append(at - begun.pop(job))
    return spans


def _read(connection: sa.Connection, jobs: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The outcomes of these jobs; verdicts are long, so they are read once."""
    for start in range(0, len(jobs), MOST_ASKED):
        query = sa.select(JOBS.c.id, JOBS.c.verdict).where(JOBS.c.id.in_(jobs[start : start + MOST_ASKED]))
        for row in connection.execute(query.where(JOBS.c.verdict.is_not(None))):
            yield row.id, _outcome(row.verdict)


def _outcome(text: str) -> str:
    if text.startswith('{"taken": true'):  # as the records write it; thousands are read at once, so not by a parser
        return TAKEN
    failed = _FAILED.search(text)
    return str(json.loads(f'"{failed[1]}"')) if failed else OTHER


def _where(asked: Asked) -> sa.ColumnElement[bool]:
    parts: list[sa.ColumnElement[bool]] = []
    if asked.states:
        parts.append(JOBS.c.state.in_([state.value for state in asked.states]))
    if asked.source:
        parts.append(JOBS.c.source == asked.source)
    if asked.reason:
        parts.append(JOBS.c.reason.icontains(asked.reason, autoescape=True))
    if asked.since:
        parts.append(JOBS.c.created >= asked.since)
    if asked.until:
        parts.append(JOBS.c.created < asked.until)
    return sa.and_(sa.true(), *parts)
