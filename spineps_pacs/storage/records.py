"""What we know of each job, for people and pages: state, verdict, sendings, receipts, timeline; never a patient.

Several processes write at once, so every change is one transaction that looks at the row first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from spineps_pacs.domain.errors import Cancelled
from spineps_pacs.domain.job import FOLLOWS, Finding, Job, Sending, State, Verdict
from spineps_pacs.domain.ports import Event, Receipt
from spineps_pacs.storage.tables import EVENTS, JOBS, RECEIPTS, SENDINGS

PLAIN = (
    "id", "series_uid", "study_uid", "fingerprint", "source", "reason", "priority", "attempts", "created", "changed",
    "phase", "progress",
)  # fmt: skip
STOPPED = {State.CANCELLED, State.SUPERSEDED}
ERASABLE = (
    State.SKIPPED, State.FAILED, State.CANCELLED, State.SUPERSEDED, State.DELIVERED, State.CONFIRMED,
)  # fmt: skip
"""Dead letters are kept until a person decides: their results exist nowhere else."""
SENT = {State.DELIVERED, State.CONFIRMED}
PAUSE_S = 0.5


class SqlRecords:
    """`Records` in a database. `pseudonym` is the site's salted hash; `patience_s` bounds the wait for a database."""

    def __init__(
        self,
        engine: sa.Engine,
        pseudonym: Callable[[str], str],
        clock: Callable[[], float] = time.time,
        patience_s: float = 120.0,
    ) -> None:
        self._engine = engine
        self._pseudonym = pseudonym
        self._clock = clock
        self._patience_s = patience_s

    def add(self, job: Job) -> bool:
        """True when the job is new; False when its id is already known."""
        now = self._clock()
        job = replace(job, created=job.created or now, changed=job.changed or now)

        def work(connection: sa.Connection) -> bool:
            insert = self._insert(JOBS).values(**_row(job)).on_conflict_do_nothing().returning(JOBS.c.id)
            if connection.execute(insert).one_or_none() is None:
                return False
            _write_sendings(connection, job)
            self._note(connection, job.id, job.state, job.reason)
            return True

        return bool(self._write(work))

    def put(self, job: Job) -> None:
        """Writes the job as given, whatever stood there."""

        def work(connection: sa.Connection) -> None:
            row = _row(job)
            connection.execute(self._insert(JOBS).values(**row).on_conflict_do_update(index_elements=["id"], set_=row))
            _write_sendings(connection, job)

        self._write(work)

    def known(self, job_id: str) -> Job | None:
        """The job of that id."""
        found = self._jobs(sa.select(JOBS).where(JOBS.c.id == job_id))
        return found[0] if found else None

    def find(self, *, series_uid: str | None = None, state: State | None = None, limit: int = 100) -> Sequence[Job]:
        """Newest first; a series is found by its UID also after its erasure."""
        query = sa.select(JOBS).order_by(JOBS.c.created.desc(), JOBS.c.id).limit(limit)
        if series_uid is not None:
            query = query.where(JOBS.c.series_uid.in_([series_uid, self._pseudonym(series_uid)]))
        if state is not None:
            query = query.where(JOBS.c.state == state.value)
        return self._jobs(query)

    def between(self, start: float, end: float, limit: int = 100_000) -> Sequence[Job]:
        """Jobs made in that time, oldest first."""
        inside = sa.and_(JOBS.c.created >= start, JOBS.c.created < end)
        return self._jobs(sa.select(JOBS).where(inside).order_by(JOBS.c.created).limit(limit))

    def of_patient(self, job_id: str) -> Sequence[Job]:
        """Other jobs of the same patient, newest first; the patient stays unknown."""
        patient = sa.select(JOBS.c.patient).where(JOBS.c.id == job_id).scalar_subquery()
        others = sa.and_(JOBS.c.patient == patient, JOBS.c.patient != "", JOBS.c.id != job_id)
        return self._jobs(sa.select(JOBS).where(others).order_by(JOBS.c.created.desc()))

    def counts(self) -> dict[State, int]:
        """How many jobs stand in each state."""
        query = sa.select(JOBS.c.state, sa.func.count()).group_by(JOBS.c.state)
        return {State(state): int(count) for state, count in self._read(lambda c: c.execute(query).all())}

    def turn(self, job_id: str) -> int:
        """How often the job was started anew; -1 for an unknown one."""
        query = sa.select(JOBS.c.turn).where(JOBS.c.id == job_id)
        found = self._read(lambda c: c.execute(query).scalar())
        return -1 if found is None else int(found)

    def move(self, job_id: str, turn: int, state: State, reason: str = "", **changes: object) -> Job:
        """The job in its next state; raises Cancelled when this turn is over or the job has moved on.

        Only ANALYSING may follow itself: the analysis is begun again after its worker died.
        """

        def work(connection: sa.Connection) -> Job:
            job = self._locked(connection, job_id, turn)
            repeated = state is job.state and state is State.ANALYSING
            if not repeated and state not in FOLLOWS[job.state]:
                raise Cancelled(f"job {job_id} is {job.state} and cannot become {state}")
            after = replace(job.becomes(state, self._clock(), reason), **changes)  # type: ignore[arg-type]
            connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(**_row(after)))
            if after.sendings != job.sendings:
                _write_sendings(connection, after)
            if state is not job.state or reason != job.reason:
                self._note(connection, job_id, state, reason)
            return after

        return self._write(work)  # type: ignore[no-any-return]

    def again(self, job_id: str, state: State, reason: str) -> int:
        """Starts the job anew, from whatever state; gives the new turn."""

        def work(connection: sa.Connection) -> int:
            _, turn = self._look(connection, job_id)
            values = {"state": state.value, "turn": turn + 1, "attempts": 0, "reason": reason, "progress": 0.0}
            values |= {"changed": self._clock(), "phase": ""}
            connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(**values))
            if state in (State.ARRIVING, State.WAITING):
                connection.execute(SENDINGS.delete().where(SENDINGS.c.job_id == job_id))
                connection.execute(RECEIPTS.delete().where(RECEIPTS.c.job_id == job_id))
                connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(results="[]", erased=False))
            self._note(connection, job_id, state, reason)
            return turn + 1

        return int(self._write(work))

    def progress(self, job_id: str, phase: str, fraction: float) -> None:
        """How far the analysis is; nothing else changes."""
        values = {"phase": phase, "progress": fraction}
        self._write(lambda c: c.execute(JOBS.update().where(JOBS.c.id == job_id).values(**values)))

    def sending(self, job_id: str, turn: int, sending: Sending) -> Job:
        """How one destination stands; the job's own state follows from all of them."""

        def work(connection: sa.Connection) -> Job:
            job = self._locked(connection, job_id, turn)
            others = tuple(s for s in job.sendings if s.destination != sending.destination)
            sendings = tuple(sorted((*others, sending), key=lambda s: s.destination))
            state, reason = overall(sendings)
            if state is not job.state and state not in FOLLOWS[job.state]:
                raise Cancelled(f"job {job_id} is {job.state} and cannot become {state}")
            after = replace(job, state=state, reason=reason, sendings=sendings, changed=self._clock())
            connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(**_row(after)))
            _write_sendings(connection, after)
            if sending not in job.sendings:
                self._note(connection, job_id, sending.state, f"{sending.destination}: {sending.reason}".rstrip(": "))
            return after

        return self._write(work)  # type: ignore[no-any-return]

    def receipt(self, job_id: str, destination: str, receipt: Receipt) -> None:
        """Keeps what a destination said of one instance; the latest word counts."""
        row = {"job_id": job_id, "destination": destination, **asdict(receipt)}
        keys = ["job_id", "destination", "sop_instance_uid"]
        insert = self._insert(RECEIPTS).values(**row).on_conflict_do_update(index_elements=keys, set_=row)
        self._write(lambda c: c.execute(insert))

    def receipts(self, job_id: str, destination: str) -> Sequence[Receipt]:
        """What a destination said of each instance."""
        mine = sa.and_(RECEIPTS.c.job_id == job_id, RECEIPTS.c.destination == destination)
        query = sa.select(RECEIPTS).where(mine).order_by(RECEIPTS.c.sop_instance_uid)
        rows = self._read(lambda c: c.execute(query).all())
        return [Receipt(row.sop_instance_uid, bool(row.accepted), row.status) for row in rows]

    def event(self, job_id: str, kind: str, text: str) -> None:
        """Adds a line to the timeline."""
        self._write(lambda c: self._note(c, job_id, kind, text))

    def timeline(self, job_id: str) -> Sequence[Event]:
        """What happened to the job, in order."""
        query = sa.select(EVENTS).where(EVENTS.c.job_id == job_id).order_by(EVENTS.c.id)
        return [Event(row.at, row.kind, row.text) for row in self._read(lambda c: c.execute(query).all())]

    def link(self, job_id: str, patient: str) -> None:
        """Ties the job to the salted hash of its patient."""
        self._write(lambda c: c.execute(JOBS.update().where(JOBS.c.id == job_id).values(patient=patient)))

    def patient(self, job_id: str) -> str:
        """The salted hash of the job's patient; "" where none is known."""
        query = sa.select(JOBS.c.patient).where(JOBS.c.id == job_id)
        return str(self._read(lambda c: c.execute(query).scalar()) or "")

    def due(self, before: float, limit: int = 100) -> Sequence[Job]:
        """Jobs at their end since before that time, whose data is still kept."""
        old = sa.and_(JOBS.c.erased.is_(False), JOBS.c.changed < before, JOBS.c.state.in_([s.value for s in ERASABLE]))
        return self._jobs(sa.select(JOBS).where(old).order_by(JOBS.c.changed).limit(limit))

    def erase(self, job_id: str) -> None:
        """Leaves of the job what identifies nobody."""

        def work(connection: sa.Connection) -> None:
            job, _ = self._look(connection, job_id)
            if connection.execute(sa.select(JOBS.c.erased).where(JOBS.c.id == job_id)).scalar():
                return  # by another host, just now; a hash of a hash would be found by nobody
            hashes = {"series_uid": self._pseudonym(job.series_uid), "study_uid": self._pseudonym(job.study_uid)}
            connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(**hashes, results="[]", erased=True))
            connection.execute(RECEIPTS.delete().where(RECEIPTS.c.job_id == job_id))
            self._note(connection, job_id, "erased", "images and results were erased, identifiers hashed")

        self._write(work)

    def erased(self, job_id: str) -> bool:
        """True when the data of the job is gone."""
        query = sa.select(JOBS.c.erased).where(JOBS.c.id == job_id)
        return bool(self._read(lambda c: c.execute(query).scalar()))

    def _look(self, connection: sa.Connection, job_id: str) -> tuple[Job, int]:
        row = connection.execute(sa.select(JOBS).where(JOBS.c.id == job_id).with_for_update()).one_or_none()
        if row is None:
            raise KeyError(f"no job has the id {job_id}")
        return _job(row, _sendings(connection, [job_id])), int(row.turn)

    def _locked(self, connection: sa.Connection, job_id: str, turn: int) -> Job:
        job, present = self._look(connection, job_id)
        if present != turn:
            raise Cancelled(f"job {job_id} was started anew (turn {present}, this is {turn})")
        if job.state in STOPPED:
            raise Cancelled(f"job {job_id} is {job.state}")
        return job

    def _jobs(self, query: sa.Select[Any]) -> list[Job]:
        def work(connection: sa.Connection) -> list[Job]:
            rows = connection.execute(query).all()
            sendings = _sendings(connection, [row.id for row in rows])
            return [_job(row, sendings) for row in rows]

        return self._read(work)  # type: ignore[no-any-return]

    def _note(self, connection: sa.Connection, job_id: str, kind: str, text: str) -> None:
        connection.execute(EVENTS.insert().values(job_id=job_id, at=self._clock(), kind=str(kind), text=text))

    def _insert(self, table: sa.Table) -> Any:
        return (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert(table)

    def _write(self, work: Callable[[sa.Connection], Any]) -> Any:
        return self._patiently(lambda: self._transact(self._engine, work))

    def _read(self, work: Callable[[sa.Connection], Any]) -> Any:
        return self._patiently(lambda: self._transact(self._engine.execution_options(reading=True), work))

    @staticmethod
    def _transact(engine: sa.Engine, work: Callable[[sa.Connection], Any]) -> Any:
        with engine.begin() as connection:
            return work(connection)

    def _patiently(self, attempt: Callable[[], Any]) -> Any:
        """Waits for a database that restarts; anything else that it complains about is raised."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return attempt()
            except sa.exc.OperationalError:
                if time.monotonic() > deadline:
                    raise
            except sa.exc.DBAPIError as error:
                if not error.connection_invalidated or time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE_S)


def overall(sendings: Sequence[Sending]) -> tuple[State, str]:
    """The state of a job that follows from how its destinations stand, and the reason of the first that has one."""
    states = {sending.state for sending in sendings}
    reason = next((f"{s.destination}: {s.reason}" for s in sendings if s.reason), "")
    if states <= {State.CONFIRMED}:
        return State.CONFIRMED, reason
    if states <= SENT:
        return State.DELIVERED, reason
    if State.DEAD_LETTER in states and states <= SENT | {State.DEAD_LETTER}:
        return State.DEAD_LETTER, reason
    return State.DELIVERING, reason


def _row(job: Job) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(job, name) for name in PLAIN}
    verdict = None if job.verdict is None else json.dumps(asdict(job.verdict))
    lists = {"results": json.dumps(list(job.results)), "models": json.dumps(list(job.models))}
    return row | lists | {"state": job.state.value, "verdict": verdict}


def _job(row: Any, sendings: dict[str, list[Sending]]) -> Job:
    plain = {name: getattr(row, name) for name in PLAIN}
    return Job(
        **plain,
        state=State(row.state),
        verdict=_verdict(row.verdict),
        sendings=tuple(sendings.get(row.id, ())),
        results=tuple(json.loads(row.results)),
        models=tuple(json.loads(row.models)),
    )


def _verdict(text: str | None) -> Verdict | None:
    if text is None:
        return None
    found = json.loads(text)
    findings = tuple(Finding(**one) for one in found["findings"])
    return Verdict(found["taken"], found["reason"], findings, found.get("facts", ""))


def _write_sendings(connection: sa.Connection, job: Job) -> None:
    connection.execute(SENDINGS.delete().where(SENDINGS.c.job_id == job.id))
    if job.sendings:
        rows = [asdict(s) | {"state": s.state.value, "job_id": job.id} for s in job.sendings]
        connection.execute(SENDINGS.insert(), rows)


def _sendings(connection: sa.Connection, job_ids: list[str]) -> dict[str, list[Sending]]:
    found: dict[str, list[Sending]] = {}
    query = sa.select(SENDINGS).order_by(SENDINGS.c.job_id, SENDINGS.c.destination)
    for start in range(0, len(job_ids), 500):
        for row in connection.execute(query.where(SENDINGS.c.job_id.in_(job_ids[start : start + 500]))):
            sending = Sending(row.destination, State(row.state), row.attempts, row.reason)
            found.setdefault(row.job_id, []).append(sending)
    return found
