"""A whole node in one process, for walks: its two halves share a data folder and a database, and nothing else."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samples import stand_in

from spineps_pacs.delivery.rules import Routing, Rule
from spineps_pacs.domain.job import Finding, Job, State, Verdict
from spineps_pacs.domain.ports import Destination, Produce
from spineps_pacs.domain.series import Series
from spineps_pacs.intake.dimse import DicomPort, Limits, Port
from spineps_pacs.intake.gate import GuestList
from spineps_pacs.intake.reception import Desk, Patience, Reception
from spineps_pacs.storage.datasets import DatasetFolder
from spineps_pacs.storage.marks import Marks
from spineps_pacs.storage.records import SqlRecords
from spineps_pacs.storage.tables import open_database, sqlite_url
from spineps_pacs.workflow import stages
from spineps_pacs.workflow.chain import DbosChain, Engine, Executor, Store
from spineps_pacs.workflow.leases import Leases, Reaper
from spineps_pacs.workflow.loops import Loop
from spineps_pacs.workflow.stages import Parts, Stages
from spineps_pacs.workflow.work import Retries

AT_ONCE = Patience(quiet_s=0.0, after_release_s=0.0)
QUICK = stages.Patience(analysis=Retries(3, 0.05, 0.2), delivery=Retries(40, 0.05, 0.2))


def judge(series: Series, source: str) -> Verdict:
    """The stand-in for selection: sagittal T2 by echo time."""
    echo_time = float(series.datasets[0].get("EchoTime", 0))
    finding = Finding("echo time", echo_time >= 60, f"{echo_time:g} ms", "at least 60 ms")
    return Verdict(finding.passed, "" if finding.passed else f"not T2 weighted: TE {finding.value}", (finding,))


def eventually(happened: Callable[[], bool], timeout_s: float = 60.0, every_s: float = 0.02) -> bool:
    """True as soon as it happened; for what other threads and processes do."""
    pause = threading.Event()
    for _ in range(int(timeout_s / every_s)):
        if happened():
            return True
        pause.wait(every_s)
    return happened()


@dataclass(frozen=True)
class Ground:
    """Where a node stands: its data folder, its database, and what its parts are wrapped in."""

    data: Path
    url: str = ""
    lease_s: float = 60.0
    wrap: Callable[[str, Any], Any] = lambda _name, part: part

    @property
    def database(self) -> str:
        """The address of the database."""
        return self.url or sqlite_url(self.data / "node.sqlite")

    def records(self, engine: Any) -> SqlRecords:
        """The records, wrapped."""
        records = SqlRecords(engine, lambda uid: hashlib.sha256(uid.encode()).hexdigest()[:32])
        return self.wrap("records", records)  # type: ignore[no-any-return]

    def store(self, *destinations: str) -> Store:
        """The chain's store, looked at often."""
        return Store(self.database, destinations or ("pacs",), poll_s=0.1)


class Front:
    """The receiving half."""

    def __init__(self, ground: Ground | Path, patience: Patience = AT_ONCE, guests: GuestList | None = None) -> None:
        ground = ground if isinstance(ground, Ground) else Ground(ground)
        self.database = open_database(ground.database)
        store = ground.store()
        store.prepare()
        self.records = ground.records(self.database)
        self.inbox = DatasetFolder(ground.data / "inbox")
        self.chain = DbosChain(store, self.records)
        inbox, notes = ground.wrap("inbox", self.inbox), ground.wrap("notes", Marks(ground.data / "marks"))
        desk = Desk(inbox, notes, self.records, ground.wrap("chain", self.chain))
        self.reception = Reception(desk, recipe="test", salt=b"salt", patience=lambda: patience)
        limits = Limits(guests or GuestList(open_house=True))
        self.told: list[str] = []
        self.dicom = DicomPort(self.reception, Port(), lambda: limits, lambda: True, self._told)
        self.port = self.dicom.open(self.inbox.staging)

    def _told(self, text: str, **_keys: object) -> None:
        self.told.append(text)

    def jobs(self) -> list[Job]:
        """A sweep, and then every job there is."""
        eventually(lambda: bool(self.reception.sweep()) or self.reception.waiting() == 0)
        return list(self.records.find(limit=1000))

    def reaches(self, job_id: str, state: State, timeout_s: float = 60.0) -> Job:
        """The job, once it is in that state."""
        assert eventually(lambda: self._job(job_id).state is state, timeout_s, 0.1), self._job(job_id)
        return self._job(job_id)

    def _job(self, job_id: str) -> Job:
        job = self.records.known(job_id)
        assert job is not None
        return job

    def close(self) -> None:
        """Stops receiving."""
        self.dicom.close()
        self.chain.close()
        self.database.dispose()


class Back:
    """The working half."""

    def __init__(
        self,
        ground: Ground | Path,
        destinations: Mapping[str, Destination],
        produce: Produce = stand_in,
        executor: str = "test:0",
        patience: stages.Patience = QUICK,
    ) -> None:
        ground = ground if isinstance(ground, Ground) else Ground(ground)
        self.database = open_database(ground.database)
        records = ground.records(self.database)
        parts = Parts(
            inbox=ground.wrap("inbox", DatasetFolder(ground.data / "inbox")),
            outbox=ground.wrap("outbox", DatasetFolder(ground.data / "outbox")),
            records=records,
            judge=judge,
            produce=produce,
            rules=Routing([Rule(name) for name in destinations]),
            destinations={name: ground.wrap("destination", part) for name, part in destinations.items()},
        )
        self.faults: list[BaseException] = []
        self._works = Stages(parts, patience, self._log)
        store = ground.store(*destinations)
        store.prepare()
        self.executor = Executor(executor, ground.data / "locks")
        self.chain = DbosChain(store, records)
        leases = Leases(self.database)
        reaper = Reaper(leases, self.chain, records, ground.lease_s)
        self.engine = Engine(store, self.executor.name, ground.wrap("stages", self._works).run)
        self.engine.start()
        self.loops = [
            Loop("lease", ground.lease_s / 8, lambda: leases.beat(executor), self._fault),
            Loop("reaper", ground.lease_s / 8, reaper.step, self._fault),
            Loop("revive", ground.lease_s / 2, reaper.revive, self._fault),
        ]
        for loop in self.loops:
            loop.start()

    def _log(self, text: str, work: object, error: BaseException | None) -> None:
        if error is not None:
            self.faults.append(error)

    def _fault(self, name: str, error: BaseException) -> None:
        self.faults.append(error)

    def put_down(self) -> None:
        """What is analysed begins anew elsewhere."""
        self._works.put_down()

    def close(self, grace_s: int = 0) -> None:
        """Stops working."""
        for loop in self.loops:
            loop.stop()
        self.engine.stop(grace_s)
        self.chain.close()
        self.executor.release()
        self.database.dispose()
