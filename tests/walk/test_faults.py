"""What destinations and machines do to a node: it stays up, loses nothing, and says what is true."""

from __future__ import annotations

import os
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from absent import absent
from samples import series_of, stand_in, uid

from spineps_pacs.delivery.dimse import DimseDestination
from spineps_pacs.delivery.peer import Peer
from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.domain.job import Job, State
from spineps_pacs.domain.ports import Phases, Result
from spineps_pacs.domain.series import Series, fingerprint
from spineps_pacs.storage.datasets import DatasetFolder
from spineps_pacs.storage.marks import Marks
from spineps_pacs.workflow import stages
from spineps_pacs.workflow.retire import Kept, Retirement
from spineps_pacs.workflow.work import ANALYSE, Retries, Work
from walk.bad_line import BadLine
from walk.node import Back, Front, eventually
from walk.peers import FakePacs, echo, send

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"),
]
"""The library leaves a socket to the garbage collector when the peer was the first to hang up; the fake PACS, which is
the library's own server, a half data set."""
PATIENT = stages.Patience(delivery=Retries(1000, 0.05, 0.2))
GIVES_UP = stages.Patience(analysis=Retries(3, 0.05, 0.2), delivery=Retries(2, 0.05, 0.1))


def to(port: int, timeout_s: float = 10.0) -> DimseDestination:
    return DimseDestination("pacs", Peer("127.0.0.1", port, "PACS", "SPINEPS", timeout_s))


def received(front: Front, name: str = "a") -> Job:
    assert send(series_of(name), front.port) == [0] * 6
    (job,) = front.jobs()
    return job


def waits_with_a_reason(front: Front, job: Job) -> bool:
    known = front.records.known(job.id)
    return known is not None and known.state is State.DELIVERING and bool(known.reason)


@pytest.mark.parametrize(("fault", "good_for"), [("cut", 1500), ("cut", 0), ("slow", 1500)])
def test_a_line_that_fails_is_waited_out(
    tmp_path: Path, front: Front, pacs: FakePacs, fault: str, good_for: int
) -> None:
    """Cut in a PDU, before it, or a byte a second: the job says so and waits; then each object arrives."""
    line = BadLine(pacs.port, fault, good_for)
    back = Back(tmp_path, {"pacs": to(line.port, timeout_s=2.0)}, patience=PATIENT)
    job = received(front)
    assert eventually(lambda: waits_with_a_reason(front, job))
    assert front.reaches(job.id, State.DELIVERING).sendings[0].reason.startswith("PACS")
    line.fault = ""
    front.reaches(job.id, State.CONFIRMED)
    back.close()
    line.close()
    assert back.faults == []
    assert set(pacs.uids()) == {ds.SOPInstanceUID for ds in pacs.kept}
    assert len(set(pacs.uids())) == 2


def test_a_peer_that_accepts_and_drops_gets_the_rest_later(tmp_path: Path, front: Front, pacs: FakePacs) -> None:
    """It hangs up after each object: what it accepted is not sent again, unless its answer was cut off."""
    pacs.hangs_up = True
    back = Back(tmp_path, {"pacs": to(pacs.port)}, patience=PATIENT)
    job = received(front)
    assert eventually(lambda: len(pacs.kept) >= 1)
    pacs.hangs_up = False
    front.reaches(job.id, State.CONFIRMED)
    back.close()
    assert len(set(pacs.uids())) == 2


def test_a_dead_letter_is_resumed(tmp_path: Path, front: Front, pacs: FakePacs) -> None:
    """Given up after the last attempt, with the peer's own answer; sent anew by a person, and analysed once."""
    analyses: list[str] = []

    def counting(series: Series, watch: Phases) -> list[Result]:
        analyses.append(series.series_uid)
        return stand_in(series, watch)

    pacs.answer = lambda _: 0xA700
    back = Back(tmp_path, {"pacs": to(pacs.port)}, counting, patience=GIVES_UP)
    job = received(front)
    dead = front.reaches(job.id, State.DEAD_LETTER)
    assert "0xA700" in dead.sendings[0].reason
    pacs.answer = lambda _: 0x0000
    front.chain.resend(job.id, "pacs")
    front.reaches(job.id, State.CONFIRMED)
    back.close()
    assert len(analyses) == 1
    assert sorted(pacs.uids()) == sorted(set(pacs.uids()))


def test_a_network_that_is_out_of_memory_is_tried_again(tmp_path: Path, front: Front, pacs: FakePacs) -> None:
    """Twice the device has no room; the third time it has, and the job says nothing of it any more."""
    refusals = iter(range(2))

    def sometimes(series: Series, watch: Phases) -> list[Result]:
        if next(refusals, None) is not None:
            raise TryAgain("the device is out of memory")
        return stand_in(series, watch)

    back = Back(tmp_path, {"pacs": to(pacs.port)}, sometimes)
    job = received(front)
    assert front.reaches(job.id, State.CONFIRMED).reason == ""
    kinds = [event.text for event in front.records.timeline(job.id)]
    back.close()
    assert kinds.count("the device is out of memory") == 2


def test_a_read_only_folder_is_waited_for(tmp_path: Path, front: Front, pacs: FakePacs) -> None:
    """Results cannot be kept: the job waits with that reason; once the folder takes them it goes on."""
    outbox = tmp_path / "outbox"
    DatasetFolder(outbox)
    if os.system(f"mount -t tmpfs tmpfs {outbox} 2>/dev/null") != 0:  # noqa: S605
        absent("no file system can be mounted here, which takes root")
    try:
        DatasetFolder(outbox)
        os.system(f"mount -o remount,ro {outbox}")  # noqa: S605
        patient = stages.Patience(analysis=Retries(100, 0.2, 0.4))
        back = Back(tmp_path, {"pacs": to(pacs.port)}, patience=patient)
        job = received(front)
        assert eventually(lambda: "takes nothing more" in front.reaches(job.id, front.jobs()[0].state).reason)
        os.system(f"mount -o remount,rw {outbox}")  # noqa: S605
        front.reaches(job.id, State.CONFIRMED)
        back.close()
    finally:
        os.system(f"umount {outbox}")  # noqa: S605
    assert len(set(pacs.uids())) == 2


def test_a_disk_that_is_full_loses_nothing_that_was_acknowledged(tmp_path: Path, pacs: FakePacs) -> None:
    """What did not fit was not answered with Success; the port stays open, and with room again all comes and goes."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    if os.system(f"mount -t tmpfs -o size=16k tmpfs {inbox} 2>/dev/null") != 0:  # noqa: S605
        absent("no file system can be mounted here, which takes root")
    front = Front(tmp_path)
    try:
        statuses = send(series_of("a"), front.port)
        (key,) = front.inbox.quiet(float("inf"))
        assert 0 < len(front.inbox.names(key)) == statuses.count(0) < 6
        assert echo(front.port) == 0
        assert eventually(lambda: list(front.inbox.staging.iterdir()) == [])
        os.system(f"mount -o remount,size=1m {inbox}")  # noqa: S605
        assert send(series_of("a"), front.port) == [0] * 6
        (job,) = front.jobs()
        back = Back(tmp_path, {"pacs": to(pacs.port)})
        front.reaches(job.id, State.CONFIRMED)
        back.close()
    finally:
        front.close()
        os.system(f"umount {inbox}")  # noqa: S605
    assert len(front.records.timeline(job.id)) > 0
    assert len(pacs.kept) == 2


def test_a_stat_series_overtakes_five_hundred(tmp_path: Path, front: Front) -> None:
    """It comes by C-STORE while one series is analysed and five hundred wait, and is the next to be analysed."""
    analysed: list[str] = []
    begun, go = threading.Event(), threading.Event()

    def waiting(series: Series, watch: Phases) -> list[Result]:
        analysed.append(series.series_uid)
        begun.set()
        assert go.wait(120)
        return stand_in(series, watch)

    job = received(front)
    for number in range(500):
        front.records.add(replace(job, id=f"j{number:03d}", state=State.WAITING))
        front.chain.put(Work(ANALYSE, f"j{number:03d}", 0))
    back = Back(tmp_path, {}, waiting)
    assert begun.wait(120)
    # five hundred and the series itself, which reaches this queue only when it was selected; one of them is begun
    assert eventually(lambda: front.chain.depth()["gpu"] == 501)
    assert send(series_of("stat", RequestedProcedurePriority="STAT"), front.port) == [0] * 6
    front.jobs()
    assert eventually(lambda: front.chain.depth()["gpu"] == 502)
    go.set()
    assert eventually(lambda: len(analysed) >= 2)
    back.close()
    assert analysed[1] == uid("stat", "series")


def test_nothing_of_a_patient_stays(tmp_path: Path, front: Front, pacs: FakePacs) -> None:
    """Past its hours a job's images, results and notes are gone, its UIDs are hashes; verdict and states remain."""
    back = Back(tmp_path, {"pacs": to(pacs.port)})
    job = received(front)
    front.reaches(job.id, State.CONFIRMED)
    back.close()
    kept = Kept(front.inbox, DatasetFolder(tmp_path / "outbox"), Marks(tmp_path / "marks"))
    assert Retirement(kept, front.records, lambda: 0.0).step() == [job.id]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "node.sqlite" not in path.name]
    assert [path.name for path in files if path.parent.name != "locks"] == []
    known = front.reaches(job.id, State.CONFIRMED)
    assert known.verdict is not None
    with sqlite3.connect(tmp_path / "node.sqlite") as database:
        dump = "\n".join(database.iterdump())
    database.close()
    identifiers = ["PAT-a", "Test^a", "ACC-a", "19700101", *(uid("a", what) for what in ("series", "study", "frame"))]
    assert [word for word in identifiers if word in dump] == []
    assert fingerprint([uid("a", "slice", 0)]) not in dump
