"""What every part that keeps records promises, on SQLite, on PostgreSQL and in memory."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from postgres import Postgres
from twins import DictRecords

from contract.conftest import Clock
from spineps_pacs.domain.errors import Cancelled, SettingsError
from spineps_pacs.domain.job import Finding, Job, Sending, State, Verdict
from spineps_pacs.domain.ports import Receipt
from spineps_pacs.storage.records import SqlRecords
from spineps_pacs.storage.tables import open_database, sqlite_url

Records = SqlRecords | DictRecords


def pseudonym(uid: str) -> str:
    return hashlib.sha256(b"salt" + uid.encode()).hexdigest()[:16]


@pytest.fixture(
    params=["sqlite", pytest.param("postgres", marks=pytest.mark.real("initdb")), "dict"],
)
def records(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Records]:
    if request.param == "dict":
        yield DictRecords(pseudonym, clock)
        return
    url = sqlite_url(tmp_path / "x.sqlite")
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").database()
    engine = open_database(url)
    yield SqlRecords(engine, pseudonym, clock)
    engine.dispose()


def job(name: str = "j", **changes: object) -> Job:
    plain = {"id": name, "series_uid": f"1.2.{name}", "study_uid": "1.2", "fingerprint": "f", "source": "MR1"}
    return Job(**(plain | changes))  # type: ignore[arg-type]


def delivering(records: Records, *names: str) -> Job:
    """A job whose results wait for these destinations."""
    records.add(job())
    records.move("j", 0, State.WAITING)
    records.move("j", 0, State.ANALYSING)
    return records.move("j", 0, State.ANALYSED, sendings=tuple(map(Sending, names)), results=("structures.x.dcm",))


def test_a_job_is_added_once(records: Records, clock: Clock) -> None:
    """The second addition of an id changes nothing and says so; the time is that of the first."""
    assert records.add(job())
    clock.now += 5
    assert not records.add(job(source="other"))
    known = records.known("j")
    assert known is not None
    assert (known.source, known.created) == ("MR1", clock.now - 5)


def test_everything_of_a_job_comes_back(records: Records) -> None:
    """Verdict, sendings, results: what was put is what is known."""
    verdict = Verdict(False, "not T2", (Finding("echo time", False, "10 ms", "at least 60 ms"),))
    whole = job(
        state=State.SKIPPED, reason="not T2", priority=7, attempts=2, created=1.5, changed=2.5, phase="select",
        progress=0.25, verdict=verdict, sendings=(Sending("a", State.DELIVERED, 1, "r"),), results=("x.dcm", "y.dcm"),
        models=("t2w",),
    )  # fmt: skip
    records.put(whole)
    assert records.known("j") == whole


def test_moves_follow_the_states(records: Records) -> None:
    """A step that no job may make is refused, and leaves it where it was."""
    records.add(job())
    with pytest.raises(Cancelled, match="cannot become"):
        records.move("j", 0, State.DELIVERED)
    assert records.move("j", 0, State.WAITING, "why").reason == "why"
    with pytest.raises(Cancelled, match="cannot become"):
        records.move("j", 0, State.WAITING)


def test_only_analysing_repeats(records: Records) -> None:
    """An analysis is begun again after its worker died; its end is reached once."""
    records.add(job())
    records.move("j", 0, State.WAITING)
    records.move("j", 0, State.ANALYSING, attempts=1)
    assert records.move("j", 0, State.ANALYSING, attempts=2).attempts == 2
    records.move("j", 0, State.ANALYSED)
    with pytest.raises(Cancelled):
        records.move("j", 0, State.ANALYSED)


def test_a_cancelled_job_moves_no_more(records: Records) -> None:
    """Whoever still works on it hears that it is over."""
    records.add(job())
    records.move("j", 0, State.CANCELLED, "by a person")
    with pytest.raises(Cancelled):
        records.move("j", 0, State.WAITING)
    with pytest.raises(Cancelled):
        records.sending("j", 0, Sending("a", State.DELIVERING))


def test_a_new_turn_ends_the_old_one(records: Records) -> None:
    """Started anew, the job forgets results and deliveries, and the old turn can change nothing."""
    delivering(records, "a")
    records.receipt("j", "a", Receipt("1.2.3", True, "0x0000"))
    assert records.again("j", State.WAITING, "started anew") == 1
    known = records.known("j")
    assert known is not None
    assert (known.state, known.sendings, known.results, known.attempts) == (State.WAITING, (), (), 0)
    assert records.receipts("j", "a") == []
    with pytest.raises(Cancelled):
        records.move("j", 0, State.ANALYSING)
    assert records.move("j", 1, State.ANALYSING).state is State.ANALYSING


def test_the_turn_of_an_unknown_job(records: Records) -> None:
    """It is -1, and no turn of work."""
    assert records.turn("nobody") == -1


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (State.DELIVERED, State.DELIVERED, State.DELIVERED),
        (State.CONFIRMED, State.DELIVERED, State.DELIVERED),
        (State.CONFIRMED, State.CONFIRMED, State.CONFIRMED),
        (State.CONFIRMED, State.DEAD_LETTER, State.DEAD_LETTER),
        (State.DELIVERING, State.DEAD_LETTER, State.DELIVERING),
        (State.DELIVERING, State.CONFIRMED, State.DELIVERING),
    ],
)
def test_a_jobs_state_follows_from_its_sendings(records: Records, first: State, second: State, together: State) -> None:
    """Delivered when all are, dead when one is and none is under way."""
    delivering(records, "a", "b")
    records.sending("j", 0, Sending("a", State.DELIVERING))
    records.sending("j", 0, Sending("a", first))
    assert records.sending("j", 0, Sending("b", second)).state is together


def test_the_latest_receipt_counts(records: Records) -> None:
    """One receipt an instance and destination."""
    records.add(job())
    records.receipt("j", "a", Receipt("1.2.3", False, "0xA700"))
    records.receipt("j", "a", Receipt("1.2.3", True, "0x0000"))
    records.receipt("j", "b", Receipt("1.2.3", False, "0x0122"))
    assert records.receipts("j", "a") == [Receipt("1.2.3", True, "0x0000")]


def test_find_and_counts(records: Records, clock: Clock) -> None:
    """By state and series, newest first, no more than asked for."""
    for name in ("a", "b", "c"):
        clock.now += 1
        records.add(job(name))
    records.move("b", 0, State.SKIPPED)
    assert [found.id for found in records.find()] == ["c", "b", "a"]
    assert [found.id for found in records.find(limit=1)] == ["c"]
    assert [found.id for found in records.find(state=State.ARRIVING)] == ["c", "a"]
    assert [found.id for found in records.find(series_uid="1.2.b")] == ["b"]
    assert records.counts() == {State.ARRIVING: 2, State.SKIPPED: 1}
    assert [found.id for found in records.between(clock.now - 1, clock.now + 1)] == ["b", "c"]


def test_erasure_leaves_no_identifier(records: Records, clock: Clock) -> None:
    """UIDs become salted hashes, receipts go, the verdict stays; the series is still found by its UID."""
    records.add(job())
    records.move("j", 0, State.SKIPPED, "not T2", verdict=Verdict(False, "not T2"))
    records.receipt("j", "a", Receipt("1.2.3", True, "0x0000"))
    clock.now += 100
    assert [due.id for due in records.due(clock.now - 50)] == ["j"]
    records.erase("j")
    known = records.known("j")
    assert known is not None
    assert (known.series_uid, known.study_uid) == (pseudonym("1.2.j"), pseudonym("1.2"))
    assert known.verdict == Verdict(False, "not T2")
    assert records.receipts("j", "a") == []
    assert records.erased("j")
    assert records.due(clock.now) == []
    assert [found.id for found in records.find(series_uid="1.2.j")] == ["j"]
    records.erase("j")
    assert records.known("j") == known


def test_dead_letters_are_not_due(records: Records, clock: Clock) -> None:
    """What could not be delivered exists nowhere else; a person decides."""
    delivering(records, "a")
    records.sending("j", 0, Sending("a", State.DELIVERING))
    records.sending("j", 0, Sending("a", State.DEAD_LETTER, 12, "down"))
    clock.now += 1e6
    assert records.due(clock.now) == []


def test_priors_share_a_patient(records: Records, clock: Clock) -> None:
    """Jobs of one patient find each other; those without a patient find nobody."""
    for name, patient in (("a", "p"), ("b", "p"), ("c", "q"), ("d", ""), ("e", "")):
        clock.now += 1
        records.add(job(name))
        records.link(name, patient)
    assert [found.id for found in records.of_patient("a")] == ["b"]
    assert records.of_patient("d") == []


def test_the_timeline_tells_each_change(records: Records) -> None:
    """Every move and delivery is a line, in order."""
    delivering(records, "a")
    records.sending("j", 0, Sending("a", State.DELIVERING))
    records.event("j", "note", "something")
    kinds = [event.kind for event in records.timeline("j")]
    assert kinds == ["arriving", "waiting", "analysing", "analysed", "delivering", "note"]


def test_progress_changes_nothing_else(records: Records) -> None:
    """Phase and share of the work, and only those."""
    records.add(job(created=1.0, changed=2.0))
    records.progress("j", "analyse", 0.5)
    assert records.known("j") == job(created=1.0, changed=2.0, phase="analyse", progress=0.5)


def test_one_of_many_wins(records: Records) -> None:
    """Of twenty who add the same job or make the same step at once, one does."""
    with ThreadPoolExecutor(20) as many:
        assert sum(many.map(lambda _: records.add(job()), range(20))) == 1

    def step(_: int) -> bool:
        try:
            records.move("j", 0, State.WAITING)
        except Cancelled:
            return False
        return True

    if isinstance(records, SqlRecords):
        with ThreadPoolExecutor(20) as many:
            assert sum(many.map(step, range(20))) == 1


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.real("initdb"))])
def test_tables_of_the_version_before_are_brought_up_to_date(
    tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    """Their rows are read with the defaults of what is new; a store of a release to come is refused with a sentence."""
    is_sqlite = store == "sqlite"
    url = sqlite_url(tmp_path / "x.sqlite") if is_sqlite else request.getfixturevalue("postgres").database()
    engine = open_database(url)
    SqlRecords(engine, pseudonym).put(job(models=("t2w",)))
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE jobs DROP COLUMN models"))
        connection.execute(sa.text("DELETE FROM records_version"))
        connection.execute(sa.text("INSERT INTO records_version (version) VALUES (1)"))
    engine.dispose()
    for _ in range(2):
        engine = open_database(url)
        assert SqlRecords(engine, pseudonym).known("j") == job()
        engine.dispose()
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO records_version (version) VALUES (999)"))
    engine.dispose()
    with pytest.raises(SettingsError, match="a newer release made the records"):
        open_database(url)


def test_two_hosts_erase_a_job_once(records: Records) -> None:
    """Both saw it due: its UIDs are hashed once, so that it is still found."""
    records.add(job())
    together = threading.Barrier(2)

    def erase() -> None:
        together.wait(10)
        records.erase("j")

    threads = [threading.Thread(target=erase) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found.id for found in records.find(series_uid="1.2.j")] == ["j"]


def test_an_error_of_the_database_quotes_no_uid(tmp_path: Path) -> None:
    """Its text goes to logs; what was to be written does not."""
    engine = open_database(sqlite_url(tmp_path / "x.sqlite"))
    records = SqlRecords(engine, pseudonym, patience_s=0.0)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE jobs")
    with pytest.raises(sa.exc.OperationalError) as error:
        records.add(job())
    engine.dispose()
    assert "1.2.j" not in str(error.value)


@pytest.mark.real("initdb")
def test_a_paused_host_holds_no_rows_for_ever(postgres: Postgres) -> None:
    """The server ends a write of which nothing was heard for a minute; a site's own options are left as they are."""
    url = postgres.database()
    for address, expected in ((url, "1min"), (f"{url}?options=-c%20idle_in_transaction_session_timeout%3D7000", "7s")):
        engine = open_database(address)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == expected
        engine.dispose()
