"""The durable chain: the one module that knows the engine (DBOS Transact).

A stage is one small workflow: a step that runs it, whose outcome is the work that follows, and then the enqueueing of
that. What stands in the engine's tables are names and numbers of `Work`; its rows are not our data model.

What the engine leaves to us, and where it is done: the application version is fixed, so that the next release drains
what this one left; the store is read as JSON, never as pickle; SQLite is in WAL mode (storage/tables.py); no two
processes share an executor id (`Executor`); dead hosts lose their work (leases.py); finished rows are deleted
(`forget`); a retry is a new row with a delay, so nothing waits in a thread; old releases of SQLite (old_sqlite.py).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer

from spineps_pacs.domain.errors import SettingsError, Unusable
from spineps_pacs.domain.job import STUDY, Job, Sending, State
from spineps_pacs.domain.ports import Records
from spineps_pacs.workflow.old_sqlite import give_clock
from spineps_pacs.workflow.work import ANALYSE, CONFIRM, DELIVER, SELECT, SHADOW, Work, recalled

VERSION = "pipeline-1"
"""Raised only when the order of steps changes; then the old function stays under its old name until it is drained."""
APPLICATION = "spineps-pacs"
WORKFLOW = "stage"
GPU, LIGHT, OUT = "gpu", "light", "to-"
LIVE = ["ENQUEUED", "PENDING", "DELAYED"]
FINISHED = ["SUCCESS", "ERROR", "CANCELLED"]
STARTS = 50
"""How often the engine itself starts one row; our own count of a worker's deaths is reached long before."""
UNSENT = {State.ANALYSED, State.DELIVERING, State.DEAD_LETTER}


@dataclass(frozen=True)
class Store:
    """Where the engine keeps its rows, how often it looks, which destinations have a queue, and the series in hand."""

    url: str
    destinations: tuple[str, ...] = ()
    poll_s: float = 1.0
    series_at_once: int = 1

    def prepare(self) -> None:
        """Makes or renews the engine's tables, and queues that are missing; harmless when repeated."""
        give_clock()
        DBOS.migrate(self.url)
        self._register(self.queues(), "never_update")

    def own(self) -> list[str]:
        """The queues that a worker listens to, set as it wants them.

        Among them those of destinations that were renamed or removed, as long as work stands there.
        """
        client = self.client()
        try:
            rows = client.list_workflows(status=LIVE, load_input=False, load_output=False)
        finally:
            client.destroy()
        left = {row.queue_name for row in rows if row.queue_name and row.queue_name.startswith(OUT)}
        wanted = dict.fromkeys(sorted(left), 1) | self.queues()
        self._register(wanted, "always_update")
        return list(wanted)

    def _register(self, queues: dict[str, int], known: Literal["never_update", "always_update"]) -> None:
        client = self.client()
        try:
            for name, concurrency in queues.items():
                client.register_queue(
                    name, worker_concurrency=concurrency, polling_interval_sec=self.poll_s, on_conflict=known
                )
        finally:
            client.destroy()

    def queues(self) -> dict[str, int]:
        """Each queue, and how much of it one worker does at once."""
        return {GPU: self.series_at_once, LIGHT: 2} | {OUT + name: 1 for name in self.destinations}

    def client(self) -> DBOSClient:
        """A connection that enqueues and asks, and runs nothing."""
        give_clock()
        return DBOSClient(
            system_database_url=self.url, serializer=DBOSPortableJSONSerializer(), application_name=APPLICATION
        )


class DbosChain:
    """`Chain` over the engine, for everybody who enqueues, cancels or starts anew.

    `name` gives the id that a job has with the models and settings of today; without it a job keeps its own.
    """

    def __init__(self, store: Store, records: Records, name: Callable[[Job], str] = lambda job: job.id) -> None:
        self.store = store
        self._client = store.client()
        self._records = records
        self._name = name

    def close(self) -> None:
        """Ends the connection."""
        self._client.destroy()

    def enqueue(self, job: Job) -> None:
        """Starts the job's present turn; once, however often it is called."""
        self.put(Work(SELECT, job.id, self._records.turn(job.id), priority=job.priority))

    def put(self, work: Work) -> str:
        """Enqueues one piece of work, unless it is known; gives its id."""
        self._client.enqueue(_options(work), _row(work))
        return work.id

    def cancel(self, job_id: str) -> None:
        """Takes the job's work off the queues, and makes a running analysis stop by itself."""
        job = self._records.known(job_id)
        if job is not None and job.cancellable:
            self._records.move(job_id, self._records.turn(job_id), State.CANCELLED, "cancelled by a person")
        waiting = self._client.list_workflows(
            workflow_id_prefix=f"{job_id}:", status=["ENQUEUED", "DELAYED"], load_input=False, load_output=False
        )
        if waiting:
            self._client.cancel_workflows([row.workflow_id for row in waiting])

    def rerun(self, job_id: str, models: Sequence[str] | None = None, priority: int | None = None) -> str:
        """Starts the job anew: from selection where no verdict is known, else from analysis.

        With other models, by name, or when the node's own have changed, a new job takes its place; () names the node's.
        """
        job = self._kept(job_id)
        if job.source == STUDY:
            raise Unusable(f"job {job_id} joins the stations of a study; it follows when one of them is started anew")
        job = job if priority is None else replace(job, priority=priority)
        state = State.ARRIVING if job.verdict is None else State.WAITING
        wanted = replace(job, models=job.models if models is None else tuple(models))
        wanted = replace(wanted, id=self._name(wanted), state=state)
        same = wanted.id == job.id
        if same and recalled(job):
            raise Unusable(f"job {job_id} was recalled, and the same models would give the same results; name others")
        if same and priority is not None:
            self._records.put(job)
        turn = self._records.again(job_id, state, "started anew") if same else self._succeed(job, wanted)
        stage = SELECT if state is State.ARRIVING else ANALYSE
        return self.put(Work(stage, wanted.id, turn, priority=job.priority))

    def resend(self, job_id: str, destination: str) -> str:
        """Starts a delivery anew, and with it those of the job that are not done."""
        job = self._kept(job_id)
        if destination not in {sending.destination for sending in job.sendings}:
            raise Unusable(f"job {job_id} has no delivery to {destination!r}")
        if _state(job, destination) is not State.DEAD_LETTER:  # all of it again, not only what was refused
            for receipt in self._records.receipts(job_id, destination):
                self._records.receipt(job_id, destination, replace(receipt, accepted=False))
        turn = self._records.again(job_id, State.DELIVERING, f"delivery to {destination} started anew")
        self._records.sending(job_id, turn, Sending(destination, State.DELIVERING))
        works = self._resume(job, turn, destination)
        return next(work.id for work in works if work.destination == destination)

    def recall(self, job_id: str, note: str, receivers: Sequence[str], reason: str) -> list[str]:
        """Sends the note, which lies in the outbox, to those who received the results; gives the ids of the works."""
        job = self._records.known(job_id)
        if job is None or self._records.erased(job_id) or not receivers:
            raise Unusable(f"job {job_id} has nothing that could be recalled: nobody has it, or its data was erased")
        sendings = tuple(Sending(name, State.DELIVERING) for name in sorted(receivers))
        job = replace(job, state=State.DELIVERING, sendings=sendings, results=(*job.results, note))
        self._records.put(job)  # from here on it is a job on its way, which is revived whoever dies
        turn = self._records.again(job_id, State.DELIVERING, f"recalled: {reason}")
        return [work.id for work in self._resume(job, turn)]

    def revive(self, job: Job) -> list[str]:
        """New work for a job that is not at its end and for which nothing stands in any queue."""
        if job.ended or (job.state is State.DELIVERED and not job.sendings) or self._live(job.id):
            return []
        turn = self._records.again(job.id, job.state, job.reason)
        if job.state in (State.ARRIVING, State.WAITING, State.ANALYSING):
            stage = SELECT if job.state is State.ARRIVING else ANALYSE
            return [self.put(Work(stage, job.id, turn, priority=job.priority))]
        return [work.id for work in self._resume(job, turn)]

    def pending(self) -> dict[str, list[tuple[str, str]]]:
        """What runs, or ran on a host that died: executor id to (work id, queue)."""
        found: dict[str, list[tuple[str, str]]] = {}
        for row in self._client.list_workflows(status=["PENDING"], load_input=False, load_output=False):
            found.setdefault(row.executor_id or "", []).append((row.workflow_id, row.queue_name or LIGHT))
        return found

    def take_over(self, works: Iterable[tuple[str, str]]) -> None:
        """Puts the work of a dead executor back where it came from, so that each queue's limit still holds."""
        for work_id, queue in works:
            self._client.resume_workflow(work_id, queue_name=queue)

    def depth(self) -> dict[str, int]:
        """How much stands in each queue."""
        rows = self._client.list_queued_workflows(load_input=False)
        found: dict[str, int] = {}
        for row in rows:
            found[row.queue_name or ""] = found.get(row.queue_name or "", 0) + 1
        return found

    def forget(self, before: float, most: int = 1000) -> int:
        """Deletes finished rows that are older, so many at a time; gives how many."""
        done = 0
        while old := self._client.list_workflows(
            status=FINISHED,
            completed_before=datetime.fromtimestamp(before, UTC).isoformat(),
            limit=most,
            load_input=False,
            load_output=False,
        ):
            self._client.delete_workflows([row.workflow_id for row in old])
            done += len(old)
        return done

    def _succeed(self, job: Job, wanted: Job) -> int:
        """A job of other models takes the place of this one, which keeps what it sent; gives the new one's turn."""
        fresh = replace(wanted, reason="", attempts=0, created=0.0, changed=0.0, phase="", progress=0.0)
        if not self._records.add(replace(fresh, sendings=(), results=())):
            self._records.again(wanted.id, wanted.state, "started anew")
        self._records.link(wanted.id, self._records.patient(job.id))
        turn = self._records.again(job.id, job.state, "other models take over")
        self._records.move(job.id, turn, State.SUPERSEDED, f"analysed with other models: see job {wanted.id}")
        self.cancel(job.id)
        return self._records.turn(wanted.id)

    def _live(self, job_id: str) -> bool:
        prefix = f"{job_id}:"
        rows = self._client.list_workflows(
            workflow_id_prefix=prefix, status=LIVE, limit=1, load_input=False, load_output=False
        )
        return bool(rows)

    def _kept(self, job_id: str) -> Job:
        job = self._records.known(job_id)
        if job is None:
            raise Unusable(f"no job has the id {job_id}")
        if self._records.erased(job_id):
            raise Unusable(f"the data of job {job_id} was erased; send the series once more")
        if job.state is State.SUPERSEDED:
            raise Unusable(f"job {job_id} was superseded: {job.reason}")
        return job

    def _resume(self, job: Job, turn: int, also: str = "") -> list[Work]:
        works = []
        for sending in job.sendings:
            unsent = sending.state in UNSENT or sending.destination == also
            if unsent or sending.state is State.DELIVERED:
                stage = DELIVER if unsent else CONFIRM
                works.append(Work(stage, job.id, turn, sending.destination, priority=job.priority))
        for work in works:
            self.put(work)
        return works


class Executor:
    """A name that one process holds alone, as long as it lives."""

    def __init__(self, name: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self._file = (folder / f"{name.replace(':', '-')}.lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise SettingsError(
                f"another process already works as {name!r}; two would take each other's work"
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Lets another process have the name."""
        self._file.close()


class Engine:
    """Runs what stands in the queues, in threads of this process; one a process."""

    def __init__(self, store: Store, executor: str, run: Callable[[Work], Sequence[Work]]) -> None:
        self._store = store
        self._executor = executor
        self._run = run

    def start(self) -> None:
        """Begins to work; first on what this executor had begun when it died."""
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self._store.url,
            "application_version": VERSION,
            "executor_id": self._executor,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "ERROR",
            "max_executor_threads": 32,
            "enable_otlp": False,
        }
        give_clock()
        DBOS(config=config)

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=STARTS)
        def stage(row: dict[str, Any]) -> None:
            work = Work(**row)
            for following in DBOS.run_step({"name": work.stage}, self._step, row):
                next_work = Work(**following)
                DBOS.enqueue_workflow_with_options(_options(next_work), _row(next_work))

        DBOS.listen_queues(self._store.own())
        DBOS.launch()

    def stop(self, grace_s: int = 0) -> None:
        """Takes nothing new, waits so long for what runs, and ends; what still runs then is begun again later."""
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=grace_s)

    def _step(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        return [_row(work) for work in self._run(Work(**row))]


def _state(job: Job, destination: str) -> State | None:
    return next((s.state for s in job.sendings if s.destination == destination), None)


def _row(work: Work) -> dict[str, Any]:
    return asdict(work)


def _options(work: Work) -> Any:
    queue = {SELECT: LIGHT, ANALYSE: GPU, SHADOW: GPU}.get(work.stage, OUT + work.destination)
    options = {
        "workflow_name": WORKFLOW,
        "queue_name": queue,
        "workflow_id": work.id,
        "app_version": VERSION,
        "priority": max(1, work.priority),
    }
    return options | ({"delay_seconds": work.delay_s} if work.delay_s > 0 else {})
