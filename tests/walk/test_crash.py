"""The crash matrix: whatever dies, wherever it dies, nothing is lost, and nothing arrives twice but what was cut off.

Short form: a seeded choice of places, on SQLite. Long form (-m long): every place, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from postgres import Postgres
from pydicom.dataset import Dataset
from samples import series_of

from spineps_pacs.domain.job import State
from spineps_pacs.storage.records import SqlRecords
from spineps_pacs.storage.tables import open_database
from walk.crash_parts import ON_ITS_WAY, Plan, receive, work
from walk.node import Front, Ground, eventually
from walk.peers import FakePacs, send

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")
"""The library leaves a socket to the garbage collector when the peer was the first to hang up."""

BACK_PLACES = 162
"""Calls that the working half makes for one series; found by counting, and held by a test."""
FRONT_PLACES = 34
SHORT = random.Random(20260101)  # noqa: S311  a choice of tests, not a secret

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["walk.crash_parts"])


@contextmanager
def running(target: Any, plan: Any) -> Iterator[Any]:
    """A process of the node, ended with the block unless it has died before."""
    process = FORK.Process(target=target, args=(plan,), daemon=True)
    process.start()
    try:
        yield process
    finally:
        if process.is_alive():
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()
            process.join(20)
            if process.is_alive():
                process.kill()
                process.join()
        process.close()


def pause(process: Any, ground: Ground) -> None:
    """Stops a host, though not in the middle of a write: on SQLite nobody else could write until it wakes."""
    database = open_database(ground.database)
    with database.begin():
        os.kill(process.pid, signal.SIGSTOP)
        assert eventually(lambda: Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T")
    database.dispose()


def received(ground: Ground, *names: str) -> list[str]:
    """Series that were received and made jobs; the ids of these jobs, not of those that were there before."""
    front = Front(ground)
    before = {job.id for job in front.jobs()}
    for name in names:
        assert send(series_of(name), front.port) == [0] * 6
    assert eventually(lambda: len(front.jobs()) == len(before) + len(names))
    ids = [job.id for job in front.jobs() if job.id not in before]
    front.close()
    return ids


def wait_for(ground: Ground, ids: list[str], state: State = State.CONFIRMED, timeout_s: float = 120.0) -> None:
    """Until all these jobs are in that state; looked at seldom, so that the node itself has the time."""
    database = open_database(ground.database)
    records = SqlRecords(database, str)
    try:
        done = lambda: all((job := records.known(job_id)) is not None and job.state is state for job_id in ids)  # noqa: E731
        assert eventually(done, timeout_s, 0.2), [records.known(job_id) for job_id in ids]
    finally:
        database.dispose()


def check_arrivals(pacs: FakePacs, series: int, place: str) -> None:
    """Two objects a series, each once; one twice only when it was on its way, so that its answer was cut off."""
    uids = pacs.uids()
    assert len(set(uids)) == 2 * series
    twice = len(uids) - len(set(uids))
    assert twice == 0 or (twice == 1 and place.endswith(ON_ITS_WAY)), f"died {place}, {twice} arrived twice"


Prepare = Callable[[str, Path], tuple[Ground, list[str]]]


@pytest.fixture(scope="session")
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """Two series that were received once; each test gets a copy of folder and database, and the ids of their jobs."""
    made: dict[str, tuple[Ground, list[str]]] = {}

    def copied(store: str, folder: Path) -> tuple[Ground, list[str]]:
        postgres = request.getfixturevalue("postgres") if store == "postgres" else None
        if store not in made:
            ground = Ground(tmp_path_factory.mktemp(store), postgres.database() if postgres else "")
            made[store] = ground, received(ground, "a", "b")
        ground, ids = made[store]
        shutil.copytree(ground.data, folder, dirs_exist_ok=True)  # with its times, by which the inbox knows what is new
        return Ground(folder, postgres.database(ground.url) if postgres else ""), ids

    return copied


def back_dies(ground: Ground, ids: list[str], pacs: FakePacs, place: int) -> str:
    """The worker dies at that call and is started again; gives the call's name."""
    plan = Plan(ground.data, pacs.port, place, ground.url)
    with running(work, plan) as process:
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    with running(work, Plan(ground.data, pacs.port, 0, ground.url)):
        wait_for(ground, ids)
    check_arrivals(pacs, 2, plan.epitaph.read_text())
    return plan.epitaph.read_text()


def front_dies(ground: Ground, pacs: FakePacs, place: int) -> None:
    """The receiver dies at that call; the scanner sends again what was not answered, to the next receiver."""
    images = series_of("a")
    with running(receive, Plan(ground.data, 0, place, ground.url)) as process:
        port = port_of(ground)
        statuses = send(images, port)
        process.join(2 if -1 not in statuses else 20)
    (ground.data / "port").unlink()
    with running(receive, Plan(ground.data, 0, 0, ground.url)):
        port = port_of(ground)
        unanswered = [ds for ds, status in zip(images, statuses, strict=True) if status != 0]
        assert send(unanswered, port) == [0] * len(unanswered) if unanswered else True
        with running(work, Plan(ground.data, pacs.port, 0, ground.url)):
            assert eventually(lambda: whole_series_done(ground)), "the whole series never came to its end"
    assert len(set(pacs.uids())) in (2, 4)  # 4: after a second of silence a part of it was taken for the whole


def whole_series_done(ground: Ground) -> bool:
    """True when the newest job of the series is confirmed, and it saw all six slices."""
    front = Front(ground)
    try:
        names = [front.inbox.names(key) for key in front.inbox.quiet(float("inf"))]
        confirmed = front.records.find(state=State.CONFIRMED)
        series = front.inbox.load(front.inbox.quiet(float("inf"))[0], pixels=False) if names else None
        return series is not None and any(job.fingerprint == series.fingerprint for job in confirmed)
    finally:
        front.close()


def newest(ground: Ground) -> str | None:
    """The id of the newest job, if there is one."""
    front = Front(ground)
    try:
        return next((job.id for job in front.records.find(limit=1)), None)
    finally:
        front.close()


def port_of(ground: Ground) -> int:
    """Where the receiver listens, once it does."""
    assert eventually((ground.data / "port").exists)
    return int((ground.data / "port").read_text())


@pytest.mark.parametrize("place", sorted(SHORT.sample(range(1, BACK_PLACES + 1), 6)))
def test_a_worker_may_die_anywhere(tmp_path: Path, pacs: FakePacs, place: int, prepared: Prepare) -> None:
    """Short form: two series, a worker that dies once, on SQLite."""
    back_dies(*prepared("sqlite", tmp_path), pacs, place)


@pytest.mark.parametrize("place", sorted(SHORT.sample(range(1, FRONT_PLACES + 1), 3)))
def test_a_receiver_may_die_anywhere(tmp_path: Path, pacs: FakePacs, place: int) -> None:
    """Short form: what was answered with Success is analysed and delivered, also after the receiver died."""
    front_dies(Ground(tmp_path), pacs, place)


@pytest.mark.long
@pytest.mark.parametrize("place", range(1, BACK_PLACES + 1))
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.real("initdb"))])
def test_a_worker_may_die_everywhere(tmp_path: Path, pacs: FakePacs, place: int, store: str, prepared: Prepare) -> None:
    """Long form: every place."""
    print(back_dies(*prepared(store, tmp_path), pacs, place))  # noqa: T201  where it died, for -rP


@pytest.mark.long
@pytest.mark.parametrize("place", range(1, FRONT_PLACES + 1))
def test_a_receiver_may_die_everywhere(tmp_path: Path, pacs: FakePacs, place: int) -> None:
    """Long form: every place."""
    front_dies(Ground(tmp_path), pacs, place)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=[pytest.mark.real("initdb"), pytest.mark.long])])
def shared_ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """A ground on which two workers work, with a short lease."""
    url = request.getfixturevalue("postgres").database() if request.param == "postgres" else ""
    return Ground(tmp_path, url, lease_s=1.5)


def two(ground: Ground, pacs: FakePacs) -> tuple[Plan, Plan]:
    """Two workers of two hosts; the first holds its analysis as long as the file `hold` is there."""
    (ground.data / "hold").touch()
    first = Plan(ground.data, pacs.port, 0, ground.url, "host-a:0", ground.lease_s, "hold")
    return first, Plan(ground.data, pacs.port, 0, ground.url, "host-b:0", ground.lease_s)


def test_a_host_that_never_returns_loses_its_work(shared_ground: Ground, pacs: FakePacs) -> None:
    """The other host takes over what the dead one had begun, within a lease."""
    ids = received(shared_ground, "a")
    first, second = two(shared_ground, pacs)
    with running(work, first) as dying:
        assert eventually((shared_ground.data / "begun-host-a-0").exists)
        with running(work, second):
            dying.kill()
            wait_for(shared_ground, ids)
    check_arrivals(pacs, 1, "")


def test_a_host_that_was_paused_changes_nothing(shared_ground: Ground, pacs: FakePacs) -> None:
    """Its work was taken over; when it wakes and goes on, nothing arrives twice and no state goes back."""
    ids = received(shared_ground, "a")
    first, second = two(shared_ground, pacs)
    with running(work, first) as paused:
        assert eventually((shared_ground.data / "begun-host-a-0").exists)
        pause(paused, shared_ground)
        with running(work, second):
            wait_for(shared_ground, ids)
            (shared_ground.data / "hold").unlink()
            os.kill(paused.pid, signal.SIGCONT)
            more = received(shared_ground, "b")
            wait_for(shared_ground, [*ids, *more])
    check_arrivals(pacs, 2, "")


def test_a_host_that_was_paused_while_it_sent_sends_nothing_twice(shared_ground: Ground, pacs: FakePacs) -> None:
    """The other host sends all; awake, the first hears the answer to the object that was on its way, and stops."""
    ids = received(shared_ground, "a")
    on_its_way, answered = threading.Event(), threading.Event()

    def late(_: Dataset) -> int:
        on_its_way.set()
        answered.wait(60)
        return 0x0000

    pacs.answer = late
    first, second = (Plan(shared_ground.data, pacs.port, 0, shared_ground.url, f"host-{n}:0", 1.5) for n in "ab")
    with running(work, first) as paused:
        assert on_its_way.wait(60)
        pause(paused, shared_ground)
        answered.set()
        with running(work, second):
            wait_for(shared_ground, ids)
            os.kill(paused.pid, signal.SIGCONT)
            wait_for(shared_ground, received(shared_ground, "b"))
    check_arrivals(pacs, 2, ON_ITS_WAY)


@pytest.mark.long
@pytest.mark.real("initdb")
def test_a_database_that_restarts_costs_nothing(tmp_path: Path, pacs: FakePacs, postgres: Postgres) -> None:
    """Stopped in the middle of an analysis and started again, the work goes on."""
    ground = Ground(tmp_path, postgres.database(), lease_s=10.0)
    ids = received(ground, "a", "b")
    first, _ = two(ground, pacs)
    with running(work, first):
        assert eventually((tmp_path / "begun-host-a-0").exists)
        postgres.stop("immediate")
        (tmp_path / "hold").unlink()
        postgres.start()
        wait_for(ground, ids, timeout_s=120)
    check_arrivals(pacs, 2, "")


def test_the_matrix_covers_every_call(tmp_path: Path, pacs: FakePacs) -> None:
    """The places of the matrix are those that a worker and a receiver pass; more would never be reached."""
    with running(receive, Plan(tmp_path, executor="front")):
        assert send(series_of("a"), port_of(Ground(tmp_path))) == [0] * 6
        assert eventually(lambda: newest(Ground(tmp_path)) is not None)
    ids = received(Ground(tmp_path), "b")
    with running(work, Plan(tmp_path, pacs.port)):
        wait_for(Ground(tmp_path), ids)
    # how often the loops look depends on the machine; a few places more or less are theirs
    assert BACK_PLACES - 4 <= int((tmp_path / "places-test-0").read_text()) <= 1.3 * BACK_PLACES
    assert FRONT_PLACES - 4 <= int((tmp_path / "places-front").read_text()) <= 1.3 * FRONT_PLACES
