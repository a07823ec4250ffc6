"""A whole node in one process, for walks: its two halves share a data folder and a database, and nothing else."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

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
from spineps_pacs.workflow.stages import Parts, Stages
from spineps_pacs.workflow.work import Retries

AT_ONCE = Patience(quiet_s=0.0, after_release_s=0.0)
QUICK = stages.Patience(analysis=Retries(3, 0.05, 0.2), delivery=Retries(40, 0.05, 0.2))


def judge(series: Series, source: str) -> Verdict:
    """The stand-in for selection: sagittal T2 by echo time."""
    echo_time = float(series.datasets[0].get("EchoTime", 0))
    finding = Finding("echo time", echo_time >= 60, f"{echo_time:g} ms", "at least 60 ms")
    return Verdict(finding.passed, "" if finding.passed else f"not T2 weighted: TE {finding.value}", (finding,))


def eventually(happened: Callable[[], bool], timeout_s: float = 60.0) -> bool:
    """True as soon as it happened; for what other threads and processes do."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        if happened():
            return True
        pause.wait(0.02)
    return happened()


class Front:
    """The receiving half."""

    def __init__(self, data: Path, patience: Patience = AT_ONCE, guests: GuestList | None = None) -> None:
        self.database = open_database(sqlite_url(data / "node.sqlite"))
        self.store = Store(sqlite_url(data / "node.sqlite"), ("pacs",), poll_s=0.05)
        self.store.prepare()
        self.records = SqlRecords(self.database, lambda uid: hashlib.sha256(uid.encode()).hexdigest()[:32])
        self.inbox = DatasetFolder(data / "inbox")
        self.chain = DbosChain(self.store, self.records)
        desk = Desk(self.inbox, Marks(data / "marks"), self.records, self.chain)
        self.reception = Reception(desk, recipe="test", salt=b"salt", patience=lambda: patience)
        limits = Limits(guests or GuestList(open_house=True))
        self.dicom = DicomPort(self.reception, Port(), lambda: limits, lambda: True, lambda *a, **k: None)
        self.port = self.dicom.open(self.inbox.staging)

    def jobs(self) -> list[Job]:
        """A sweep, and then every job there is."""
        eventually(lambda: bool(self.reception.sweep()) or self.reception.waiting() == 0)
        return list(self.records.find(limit=1000))

    def reaches(self, job_id: str, state: State, timeout_s: float = 60.0) -> Job:
        """The job, once it is in that state."""
        assert eventually(lambda: self._job(job_id).state is state, timeout_s), self._job(job_id)
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

    def __init__(self, data: Path, destinations: Mapping[str, Destination], produce: Produce = stand_in) -> None:
        self.database = open_database(sqlite_url(data / "node.sqlite"))
        records = SqlRecords(self.database, lambda uid: hashlib.sha256(uid.encode()).hexdigest()[:32])
        parts = Parts(
            inbox=DatasetFolder(data / "inbox"),
            outbox=DatasetFolder(data / "outbox"),
            records=records,
            judge=judge,
            produce=produce,
            rules=Routing([Rule(name) for name in destinations]),
            destinations=destinations,
        )
        self.faults: list[BaseException] = []
        self.stages = Stages(parts, QUICK, self._log)
        store = Store(sqlite_url(data / "node.sqlite"), tuple(destinations), poll_s=0.05)
        store.prepare()
        self.executor = Executor("test:0", data / "locks")
        self.engine = Engine(store, self.executor.name, self.stages.run)
        self.engine.start()

    def _log(self, text: str, work: object, error: BaseException | None) -> None:
        if error is not None:
            self.faults.append(error)

    def close(self, grace_s: int = 5) -> None:
        """Stops working."""
        self.engine.stop(grace_s)
        self.executor.release()
        self.database.dispose()
