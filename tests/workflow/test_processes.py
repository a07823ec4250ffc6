"""Leases, reaper, supervisor, loops and erasure: what keeps a node alive and tidy, each step by step."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from contract.conftest import Clock
from samples import content_of, slice_of, uid
from twins import DictDatasets, DictNotes, DictRecords
from walk.node import eventually

from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.domain.job import Job, State
from spineps_pacs.domain.series import fingerprint
from spineps_pacs.storage.tables import open_database, sqlite_url
from spineps_pacs.workflow.chain import Executor
from spineps_pacs.workflow.leases import Leases, Reaper
from spineps_pacs.workflow.loops import Half, Loop
from spineps_pacs.workflow.retire import Kept, Retirement
from spineps_pacs.workflow.supervisor import Child, Supervisor
from spineps_pacs.workflow.work import DELIVER, Retries, Work


@dataclass
class Queue:
    """What the reaper sees of the chain."""

    begun: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    taken: list[tuple[str, str]] = field(default_factory=list)
    revived: list[str] = field(default_factory=list)

    def pending(self) -> dict[str, list[tuple[str, str]]]:
        return self.begun

    def take_over(self, works: Sequence[tuple[str, str]]) -> None:
        self.taken += works

    def revive(self, job: Job) -> list[str]:
        self.revived.append(job.id)
        return [job.id]


@pytest.fixture
def leases(tmp_path: Path) -> Iterator[Leases]:
    engine = open_database(sqlite_url(tmp_path / "x.sqlite"))
    yield Leases(engine)
    engine.dispose()


def records(clock: Clock) -> DictRecords:
    return DictRecords(lambda text: f"hash of {text}", clock)


def test_who_beats_keeps_his_work(leases: Leases) -> None:
    """A worker that gives signs of life loses nothing, however long it works."""
    clock, queue = Clock(), Queue({"a:0": [("w", "gpu")]})
    reaper = Reaper(leases, queue, records(clock), 60.0, clock)
    for _ in range(10):
        leases.beat("a:0")
        assert reaper.step() == []
        clock.now += 30
    assert queue.taken == []


def test_who_stops_beating_loses_it_once(leases: Leases) -> None:
    """After a lease by the watcher's own clock; of two watchers one takes it over."""
    clock, queue = Clock(), Queue({"a:0": [("w", "gpu")]})
    leases.beat("a:0")
    watchers = [Reaper(leases, queue, records(clock), 60.0, clock) for _ in range(2)]
    for watcher in watchers:
        assert watcher.step() == []
    clock.now += 61
    dead = [watcher.step() for watcher in watchers]
    assert dead[0] == ["a:0"]
    assert queue.taken == [("w", "gpu")]


def test_work_of_an_executor_without_lease_is_not_forgotten(leases: Leases) -> None:
    """Dead before its first beat, or its reaper died: the work comes back all the same."""
    clock, queue = Clock(), Queue({"gone:0": [("w", "gpu")]})
    reaper = Reaper(leases, queue, records(clock), 60.0, clock)
    for _ in range(3):
        reaper.step()
        clock.now += 61
    assert queue.taken == [("w", "gpu")]


def test_a_job_that_nobody_works_on_is_revived(leases: Leases) -> None:
    """After it has not moved for a lease; one that has ended is left alone."""
    clock, queue, kept = Clock(), Queue(), records(Clock())
    kept.add(Job("stuck", "1", "1", "f", State.WAITING))
    kept.add(Job("done", "2", "1", "f", State.CONFIRMED))
    reaper = Reaper(leases, queue, kept, 60.0, clock)
    assert reaper.revive() == []
    clock.now += 61
    assert reaper.revive() == ["stuck"]
    assert reaper.revive() == []


def test_two_processes_cannot_have_one_name(tmp_path: Path) -> None:
    """The second is refused with a sentence; after the first has gone it may."""
    first = Executor("host:0", tmp_path)
    with pytest.raises(SettingsError, match="already works as 'host:0'"):
        Executor("host:0", tmp_path)
    first.release()
    Executor("host:0", tmp_path).release()


@pytest.mark.parametrize("attempt", range(12))
def test_delays_double_with_jitter_up_to_the_longest(attempt: int) -> None:
    """Between half and all of the doubled delay, the same for the same work, bounded."""
    retries, work = Retries(12, 30.0, 3600.0), Work(DELIVER, "j", 0, "pacs", attempt)
    full = min(3600.0, 30.0 * 2**attempt)
    assert full / 2 <= retries.delay(work) <= full
    assert retries.delay(work) == retries.delay(work)


def test_delays_of_many_jobs_are_spread() -> None:
    """A PACS that comes back is not met by all at once."""
    delays = {Retries().delay(Work(DELIVER, f"j{n}", 0, "pacs", 3)) for n in range(50)}
    assert len(delays) == 50
    assert max(delays) - min(delays) > 60


class Process:
    """A process that lives as long as the test wants."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.signals: list[int] = []
        self.pid, self.stdin = 1, None

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, number: int) -> None:
        self.signals.append(number)
        self.code = -number if number == signal.SIGTERM else self.code

    def wait(self, timeout: float | None = None) -> int:
        assert self.code is not None
        return self.code


def test_what_dies_is_started_again() -> None:
    """At once after a healthy life; with growing pauses when it dies young."""
    clock, spawned = Clock(), []

    def spawn(_child: Child) -> Any:
        spawned.append(Process())
        return spawned[-1]

    keeper = Supervisor([Child("receiver", ()), Child("worker 0", ())], lambda *_, **__: None, spawn, clock)
    assert keeper.step() == ["receiver", "worker 0"]
    clock.now += 100
    spawned[1].code = 1
    assert keeper.step() == ["worker 0"]
    pauses = []
    for _ in range(6):
        spawned[-1].code = 1
        waited = 0.0
        while keeper.step() != ["worker 0"]:
            clock.now += 0.5
            waited += 0.5
        pauses.append(waited)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    keeper.stop()
    assert signal.SIGTERM in spawned[0].signals


def test_a_child_ends_with_its_supervisor(tmp_path: Path) -> None:
    """A true process that ignores SIGTERM is ended all the same."""
    stubborn = f"""
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(tmp_path / "up")!r}).touch()
time.sleep(60)
"""
    keeper = Supervisor([Child("x", (sys.executable, "-c", stubborn))], lambda *_, **__: None)
    keeper.step()
    assert eventually((tmp_path / "up").exists)
    keeper.stop(grace_s=0.2)
    assert keeper.pids() == {}


def test_a_loop_outlives_its_faults() -> None:
    """A fault is told, and the next turn comes."""
    turns, faults = [], []

    def step() -> None:
        turns.append(1)
        raise RuntimeError("x")

    loop = Loop("x", 0.001, step, lambda name, error: faults.append((name, str(error))))
    loop.start()
    assert eventually(lambda: len(turns) >= 1 and len(faults) >= 1)
    loop.stop()
    assert faults[0] == ("x", "x")


def test_a_half_that_cannot_start_leaves_nothing_running() -> None:
    """What was started before the fault is stopped, in reverse."""
    done: list[str] = []
    half = Half()
    half.listen("a", lambda: 7, lambda: done.append("stop a"))
    half.add(lambda: done.append("start b"), lambda: done.append("stop b"))
    half.add(lambda: 1 / 0, lambda: done.append("stop c"))
    with pytest.raises(ZeroDivisionError):
        half.start()
    assert done == ["start b", "stop b", "stop a"]
    assert half.addresses == {"a": 7}


@pytest.fixture
def store(tmp_path: Path) -> tuple[Clock, DictRecords, Kept]:
    clock = Clock()
    kept = Kept(DictDatasets(tmp_path / "i", clock), DictDatasets(tmp_path / "o", clock), DictNotes())
    known = records(clock)
    ds = slice_of("a", 0)
    kept.inbox.add(fingerprint([ds.SeriesInstanceUID]), "0.dcm", content_of(ds))
    kept.outbox.add("j", "report.x.dcm", b"x")
    known.add(Job("j", ds.SeriesInstanceUID, ds.StudyInstanceUID, "f", State.CONFIRMED))
    return clock, known, kept


def test_data_goes_when_its_hours_are_over(store: tuple[Clock, DictRecords, Kept]) -> None:
    """Images, results and identifiers; not a minute before, and once."""
    clock, known, kept = store
    retirement = Retirement(kept, known, lambda: 72.0, clock)
    clock.now += 72 * 3600 - 1
    assert retirement.step() == []
    clock.now += 2
    assert retirement.step() == ["j"]
    key = fingerprint([uid("a", "series")])
    assert (kept.inbox.names(key), kept.outbox.names("j")) == ((), ())
    assert known.erased("j")
    assert retirement.step() == []


def test_images_stay_while_another_job_needs_them(store: tuple[Clock, DictRecords, Kept]) -> None:
    """An older job of the same series goes, the images stay for the younger."""
    clock, known, kept = store
    clock.now += 73 * 3600
    known.add(Job("late", uid("a", "series"), "1", "g", State.ANALYSING))
    assert Retirement(kept, known, lambda: 72.0, clock).step() == ["j"]
    assert kept.inbox.names(fingerprint([uid("a", "series")])) == ("0.dcm",)
    assert kept.outbox.names("j") == ()


def test_a_series_that_comes_again_is_not_erased_under_it(store: tuple[Clock, DictRecords, Kept]) -> None:
    """Its first images were known and acknowledged; all is kept for as long again, and the record says why."""
    clock, known, kept = store
    retirement = Retirement(kept, known, lambda: 72.0, clock)
    clock.now += 73 * 3600
    ds = slice_of("a", 0)
    key = fingerprint([ds.SeriesInstanceUID])
    kept.inbox.add(key, "0.dcm", content_of(ds))
    assert retirement.step() == []
    assert (kept.inbox.names(key), kept.outbox.names("j")) == (("0.dcm",), ("report.x.dcm",))
    assert known.timeline("j")[-1].text == "the series was sent once more"
    clock.now += 73 * 3600
    assert retirement.step() == ["j"]
    assert kept.inbox.names(key) == ()


def test_a_job_that_was_started_anew_meanwhile_is_not_erased(store: tuple[Clock, DictRecords, Kept]) -> None:
    """A person pressed the button between the question what is due and the erasing of it."""
    clock, known, kept = store
    clock.now += 73 * 3600
    ask = known.due

    def due(before: float, limit: int = 100) -> Sequence[Job]:
        jobs = ask(before, limit)
        known.again("j", State.WAITING, "started anew")
        return jobs

    known.due = due  # type: ignore[method-assign]
    assert Retirement(kept, known, lambda: 72.0, clock).step() == []
    assert kept.outbox.names("j") == ("report.x.dcm",)
    assert not known.erased("j")


def test_a_folder_that_cannot_be_removed_holds_no_other_up(store: tuple[Clock, DictRecords, Kept]) -> None:
    """As one that belongs to root: what is due after it is erased all the same, and the loop hears of it each time."""
    clock, known, kept = store
    clock.now += 1
    known.add(Job("k", uid("b", "series"), "1", "f", State.CONFIRMED))
    clock.now += 73 * 3600
    forget, key = kept.inbox.forget, fingerprint([uid("a", "series")])

    def closed(wanted: str, before: float = math.inf) -> bool:
        if wanted == key:
            raise PermissionError(13, "Permission denied")
        return forget(wanted, before)

    kept.inbox.forget = closed  # type: ignore[method-assign]
    retirement = Retirement(kept, known, lambda: 72.0, clock)
    for _ in range(2):
        with pytest.raises(PermissionError):
            retirement.step()
        assert (known.erased("j"), known.erased("k")) == (False, True)
    kept.inbox.forget = forget  # type: ignore[method-assign]
    assert retirement.step() == ["j"]


def test_a_process_that_cannot_be_started_now_is_started_later() -> None:
    """The machine has no memory for it: those that run go on, and it is tried again."""
    clock, spawned = Clock(), []

    def spawn(child: Child) -> Any:
        if child.name == "worker 0" and clock.now < 1_000_010:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        spawned.append(child.name)
        return Process()

    keeper = Supervisor([Child("receiver", ()), Child("worker 0", ())], lambda *_, **__: None, spawn, clock)
    assert keeper.step() == ["receiver"]
    for _ in range(40):
        clock.now += 1
        keeper.step()
    assert spawned == ["receiver", "worker 0"]
    keeper.stop()
