"""What the chain promises, durable and straight; and what of the engine's traps is closed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from twins import DictRecords, StraightChain
from walk.node import eventually

from contract.conftest import Clock
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.job import Job, Sending, State, Verdict
from spineps_pacs.storage.records import SqlRecords
from spineps_pacs.storage.tables import open_database, sqlite_url
from spineps_pacs.workflow.chain import FINISHED, GPU, DbosChain, Engine, Store
from spineps_pacs.workflow.work import ANALYSE, DELIVER, SELECT, Work

TAKEN = Verdict(True, "")


@dataclass
class Bench:
    """A chain, its records, and what was run; `gate` holds the work back while it is shut."""

    records: SqlRecords | DictRecords
    chain: DbosChain | StraightChain
    ran: list[Work] = field(default_factory=list)
    follows: Callable[[Work], Sequence[Work]] = lambda _: ()
    gate: threading.Event = field(default_factory=threading.Event)
    start: Callable[[], None] = lambda: None
    file: Path | None = None

    def run(self, work: Work) -> Sequence[Work]:
        self.gate.wait(30)
        self.ran.append(work)
        return self.follows(work)

    def add(self, name: str = "j", state: State = State.ARRIVING, **changes: object) -> Job:
        job = Job(name, f"1.{name}", "1", "f", state, **changes)  # type: ignore[arg-type]
        self.records.put(job)
        return job

    def done(self, count: int) -> list[str]:
        """The ids of what ran, once so many have."""
        self.gate.set()
        self.start()
        assert eventually(self._drained if isinstance(self.chain, StraightChain) else lambda: len(self.ran) >= count)
        return [work.id for work in self.ran]

    def _drained(self) -> bool:
        assert isinstance(self.chain, StraightChain)
        self.chain.drain()
        return True


@pytest.fixture(params=["straight", "durable"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "straight":
        straight = DictRecords(lambda uid: f"hash {uid}", Clock())
        chain = StraightChain(straight, lambda _: ())
        made = Bench(straight, chain)
        chain.run = made.run
        yield made
        return
    yield from durable(tmp_path)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Bench]:
    yield from durable(tmp_path)


def durable(folder: Path) -> Iterator[Bench]:
    url = sqlite_url(folder / "x.sqlite")
    database, store = open_database(url), Store(url, ("pacs",), poll_s=0.02)
    store.prepare()
    records = SqlRecords(database, lambda uid: f"hash {uid}")
    bench = Bench(records, DbosChain(store, records), file=folder / "x.sqlite")
    runner, started = Engine(store, "test:0", bench.run), []

    def start() -> None:
        if not started:
            started.append(True)
            runner.start()

    bench.start = start
    yield bench
    bench.gate.set()
    runner.stop()
    assert isinstance(bench.chain, DbosChain)
    bench.chain.close()
    database.dispose()


def test_enqueued_twice_is_run_once(bench: Bench) -> None:
    """The same turn of a job is one piece of work, however often it is asked for."""
    job = bench.add()
    for _ in range(3):
        bench.chain.enqueue(job)
    assert bench.done(1) == [Work(SELECT, "j", 0).id]


def test_what_follows_is_run(bench: Bench) -> None:
    """A stage names its successors; those run too, each once, also after a delay."""
    after = {SELECT: [Work(ANALYSE, "j", 0)], ANALYSE: [Work(DELIVER, "j", 0, "pacs", 1, delay_s=0.1)]}
    bench.follows = lambda work: after.get(work.stage, [])
    bench.chain.enqueue(bench.add())
    assert bench.done(3) == [Work(SELECT, "j", 0).id, Work(ANALYSE, "j", 0).id, Work(DELIVER, "j", 0, "pacs", 1).id]


def test_the_urgent_overtake(bench: Bench) -> None:
    """A STAT job that came last runs before the queue of those that wait."""
    for number in range(20):
        bench.chain.put(Work(ANALYSE, f"j{number}", 0))
    bench.chain.put(Work(ANALYSE, "stat", 0, priority=1))
    assert bench.done(21)[0] == Work(ANALYSE, "stat", 0).id


def test_an_urgent_one_overtakes_five_hundred(engine: Bench) -> None:
    """While one runs and five hundred wait, the urgent one that comes last is the next to run."""
    chain = engine.chain
    assert isinstance(chain, DbosChain)
    for number in range(501):
        chain.put(Work(ANALYSE, f"j{number:03d}", 0))
    engine.start()
    assert eventually(lambda: bool(chain.pending()))
    urgent = chain.put(Work(ANALYSE, "stat", 0, priority=1))
    assert engine.done(2)[1] == urgent


def test_a_cancelled_job_is_not_run(bench: Bench) -> None:
    """What waits is taken off the queue, and the record says cancelled."""
    bench.chain.enqueue(bench.add())
    bench.chain.enqueue(bench.add("other"))
    bench.chain.cancel("j")
    assert bench.done(1) == [Work(SELECT, "other", 0).id]
    job = bench.records.known("j")
    assert job is not None
    assert job.state is State.CANCELLED
    bench.chain.cancel("j")


@pytest.mark.parametrize(
    ("state", "after"),
    [(State.DEAD_LETTER, State.CANCELLED), (State.DELIVERED, State.DELIVERED), (State.FAILED, State.FAILED)],
)
def test_what_was_given_up_can_be_cancelled(bench: Bench, state: State, after: State) -> None:
    """A delivery that nobody will take ends by a person's word; what has ended otherwise stays as it is."""
    bench.add(state=state, verdict=TAKEN)
    bench.chain.cancel("j")
    job = bench.records.known("j")
    assert job is not None
    assert job.state is after


def test_work_for_a_destination_that_is_no_more_is_still_done(engine: Bench) -> None:
    """A worker also listens to the queue of a destination that was renamed, as long as something stands there."""
    assert isinstance(engine.chain, DbosChain)
    replace(engine.chain.store, destinations=("pacs", "old")).prepare()
    engine.add(state=State.DELIVERING, verdict=TAKEN)
    engine.chain.put(Work(DELIVER, "j", 0, "old"))
    assert engine.done(1) == [Work(DELIVER, "j", 0, "old").id]


def test_who_only_asks_changes_no_queue(engine: Bench) -> None:
    """A command with other settings leaves it to workers how much of a queue is done at once."""
    assert isinstance(engine.chain, DbosChain)
    store = engine.chain.store
    replace(store, series_at_once=3).prepare()
    assert _at_once(store) == 1
    replace(store, series_at_once=2).own()
    assert _at_once(store) == 2


def _at_once(store: Store) -> int | None:
    client = store.client()
    queue = client.retrieve_queue(GPU)
    client.destroy()
    assert queue is not None
    return queue.worker_concurrency


@pytest.mark.parametrize(
    ("verdict", "state", "stage", "again"),
    [
        (None, State.FAILED, SELECT, State.ARRIVING),
        (TAKEN, State.FAILED, ANALYSE, State.WAITING),
        (Verdict(False, "not T2"), State.SKIPPED, ANALYSE, State.WAITING),
        (TAKEN, State.CONFIRMED, ANALYSE, State.WAITING),
    ],
)
def test_rerun_begins_a_new_turn(bench: Bench, verdict: Verdict | None, state: State, stage: str, again: State) -> None:
    """From selection where there is no verdict, else from analysis: a person overrules the verdict."""
    bench.add(state=state, verdict=verdict)
    work = bench.chain.rerun("j")
    assert work == Work(stage, "j", 1).id
    job = bench.records.known("j")
    assert job is not None
    assert job.state is again
    assert bench.done(1) == [work]


def test_rerun_takes_another_priority(bench: Bench) -> None:
    """It stays with the job, so that what follows has it too."""
    bench.add(state=State.SKIPPED, verdict=Verdict(False, "not T2"))
    bench.chain.rerun("j", priority=7)
    job = bench.records.known("j")
    assert job is not None
    assert (job.priority, job.state) == (7, State.WAITING)


def test_other_models_make_another_job(engine: Bench) -> None:
    """It takes the place of the old one, which keeps what it sent; the old models again bring the first job back."""
    assert isinstance(engine.chain, DbosChain)
    chain = DbosChain(engine.chain.store, engine.records, lambda job: "-".join(["j", *job.models]))
    sent = (Sending("pacs", State.CONFIRMED),)
    engine.add("j", State.CONFIRMED, verdict=TAKEN, sendings=sent, results=("report.x.dcm",), source="MR1")
    engine.records.link("j", "patient")
    assert chain.rerun("j", ["next"]) == Work(ANALYSE, "j-next", 0).id
    old, new = engine.records.known("j"), engine.records.known("j-next")
    assert old is not None
    assert (old.state, old.sendings, old.results) == (State.SUPERSEDED, sent, ("report.x.dcm",))
    assert old.reason == "analysed with other models: see job j-next"
    assert new is not None
    assert (new.state, new.models, new.sendings, new.results) == (State.WAITING, ("next",), (), ())
    assert (new.source, new.verdict, engine.records.patient("j-next")) == ("MR1", TAKEN, "patient")
    assert chain.rerun("j-next", []) == Work(ANALYSE, "j", 2).id
    assert engine.records.known("j-next").state is State.SUPERSEDED  # type: ignore[union-attr]
    chain.close()
    assert engine.done(1) == [Work(ANALYSE, "j", 2).id]


def test_what_was_erased_cannot_be_rerun(bench: Bench) -> None:
    """It says so in a sentence."""
    bench.add(state=State.SKIPPED)
    bench.records.erase("j")
    with pytest.raises(Unusable, match="erased"):
        bench.chain.rerun("j")
    with pytest.raises(Unusable):
        bench.chain.rerun("nobody")


def test_a_dead_letter_is_sent_anew(bench: Bench) -> None:
    """The delivery begins again under a new turn; an unknown destination is named."""
    bench.add(state=State.DEAD_LETTER, verdict=TAKEN, sendings=(Sending("pacs", State.DEAD_LETTER, 12, "down"),))
    with pytest.raises(Unusable, match="nowhere"):
        bench.chain.resend("j", "nowhere")
    work = bench.chain.resend("j", "pacs")
    assert bench.done(1) == [work] == [Work(DELIVER, "j", 1, "pacs").id]
    job = bench.records.known("j")
    assert job is not None
    assert job.state is State.DELIVERING


def test_nothing_that_can_run_code_lies_in_the_store(engine: Bench) -> None:
    """Arguments and outcomes are JSON of names and numbers; the serializer is never pickle."""
    engine.chain.enqueue(engine.add())
    engine.done(1)
    assert engine.file is not None
    values = everything_in(engine.file)
    assert any('"stage":"select"' in value for value in values)
    assert "portable_json" in values
    assert not [value for value in values if value.startswith(PICKLE) or value == "py_pickle"]


PICKLE = "gAS"
"""How a pickle begins in base64, protocols 4 and 5."""


def everything_in(file: Path) -> set[str]:
    """Every text that stands in any table."""
    connection = sqlite3.connect(file)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = [row for name in tables for row in connection.execute(f'SELECT * FROM "{name}"')]  # noqa: S608
    connection.close()
    return {value for row in rows for value in row if isinstance(value, str)}


def test_a_live_job_is_not_revived_and_a_lost_one_is(engine: Bench) -> None:
    """As long as something stands in a queue, nothing is added; else a new turn begins."""
    chain = engine.chain
    assert isinstance(chain, DbosChain)
    job = engine.add(state=State.WAITING, verdict=TAKEN)
    assert chain.revive(job) == [Work(ANALYSE, "j", 1).id]
    assert chain.revive(job) == []
    assert chain.revive(engine.add("done", State.CONFIRMED)) == []
    assert chain.revive(engine.add("nowhere", State.DELIVERED)) == []


def test_finished_rows_are_forgotten(engine: Bench) -> None:
    """Those that are older than asked for; what waits stays."""
    chain = engine.chain
    assert isinstance(chain, DbosChain)
    chain.enqueue(engine.add())
    engine.done(1)

    def finished() -> int:
        assert engine.file is not None
        connection = sqlite3.connect(engine.file)
        marks = ",".join("?" * len(FINISHED))
        query = f"SELECT count(*) FROM workflow_status WHERE status IN ({marks})"  # noqa: S608  only question marks
        count = int(connection.execute(query, FINISHED).fetchone()[0])
        connection.close()
        return count

    assert eventually(lambda: finished() == 1)
    assert chain.forget(before=0.0) == 0
    assert chain.forget(before=4e9) == 1
    assert finished() == 0


def test_the_depth_of_each_queue_is_known(engine: Bench) -> None:
    """For pages and alarms."""
    chain = engine.chain
    assert isinstance(chain, DbosChain)
    for number in range(3):
        chain.put(Work(ANALYSE, f"j{number}", 0))
    chain.put(Work(DELIVER, "j", 0, "pacs"))
    assert chain.depth() == {"gpu": 3, "to-pacs": 1}
