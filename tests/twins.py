"""The in-memory twin of every socket of the node; the contract suites hold twins and real parts to the same."""

from __future__ import annotations

import io
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from spineps_pacs.domain.errors import Cancelled, TryAgain, Unusable
from spineps_pacs.domain.job import FOLLOWS, Job, Sending, State
from spineps_pacs.domain.ports import Event, Receipt
from spineps_pacs.domain.series import Series
from spineps_pacs.storage.records import ERASABLE, overall
from spineps_pacs.workflow.work import ANALYSE, DELIVER, SELECT, Work


class DictDatasets:
    """`Datasets` in memory, with a folder for `path`."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self._kept: dict[str, dict[str, bytes]] = {}
        self._changed: dict[str, float] = {}

    def add(self, key: str, name: str, content: bytes | Path) -> bool:
        for part in (key, name):
            if not part or part.startswith((".", "/")) or "/" in part:
                raise ValueError(f"{part!r} cannot name anything")
        data = content if isinstance(content, bytes) else content.read_bytes()
        if isinstance(content, Path):
            content.unlink()
        self._changed[key] = self._clock()
        if name in self._kept.get(key, {}):
            return False
        self._kept.setdefault(key, {})[name] = data
        return True

    def load(self, key: str, pixels: bool = True) -> Series:
        if not self._kept.get(key):
            raise Unusable("nothing is kept for this series")
        kept = [self._kept[key][name] for name in self.names(key)]
        try:
            datasets = tuple(dcmread(io.BytesIO(data), stop_before_pixels=not pixels) for data in kept)
        except InvalidDicomError as error:
            raise Unusable("what is kept cannot be read") from error
        return Series(str(datasets[0].get("SeriesInstanceUID", "")), datasets)

    def names(self, key: str) -> tuple[str, ...]:
        return tuple(sorted(self._kept.get(key, {})))

    def path(self, key: str, name: str) -> Path:
        path = self._folder / key / name
        if name in self._kept.get(key, {}):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._kept[key][name])
        return path

    def quiet(self, before: float) -> Sequence[str]:
        return sorted(key for key, changed in self._changed.items() if changed <= before)

    def changed(self, key: str) -> float:
        return self._changed.get(key, 0.0)

    def forget(self, key: str, before: float = math.inf) -> bool:
        if self._changed.get(key, 0.0) > before:
            return False
        self._kept.pop(key, None)
        self._changed.pop(key, None)
        return True


class DictNotes:
    """Notes beside the inbox, in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def put(self, key: str, kind: str, text: str) -> None:
        self.kept[key, kind] = text

    def get(self, key: str, kind: str) -> str | None:
        return self.kept.get((key, kind))

    def keys(self, kind: str) -> list[str]:
        return sorted(key for key, known in self.kept if known == kind)

    def forget(self, key: str, *kinds: str) -> None:
        doomed = [known for known in self.kept if known[0] == key and (not kinds or known[1] in kinds)]
        for known in doomed:
            del self.kept[known]


@dataclass
class _Row:
    job: Job
    turn: int = 0
    patient: str = ""
    erased: bool = False
    events: list[Event] = field(default_factory=list)
    receipts: dict[tuple[str, str], Receipt] = field(default_factory=dict)


class DictRecords:
    """`Records` in memory."""

    def __init__(self, pseudonym: Callable[[str], str], clock: Callable[[], float]) -> None:
        self._rows: dict[str, _Row] = {}
        self._pseudonym = pseudonym
        self._clock = clock

    def add(self, job: Job) -> bool:
        if job.id in self._rows:
            return False
        now = self._clock()
        self._rows[job.id] = _Row(replace(job, created=job.created or now, changed=job.changed or now))
        self.event(job.id, job.state, job.reason)
        return True

    def put(self, job: Job) -> None:
        self._rows.setdefault(job.id, _Row(job)).job = job

    def known(self, job_id: str) -> Job | None:
        row = self._rows.get(job_id)
        return row.job if row else None

    def find(self, *, series_uid: str | None = None, state: State | None = None, limit: int = 100) -> Sequence[Job]:
        wanted = {series_uid, self._pseudonym(series_uid or "")}
        jobs = sorted((row.job for row in self._rows.values()), key=lambda job: (-job.created, job.id))
        fitting = (j for j in jobs if (series_uid is None or j.series_uid in wanted) and state in (None, j.state))
        return list(fitting)[:limit]

    def between(self, start: float, end: float, limit: int = 100_000) -> Sequence[Job]:
        inside = [row.job for row in self._rows.values() if start <= row.job.created < end]
        return sorted(inside, key=lambda job: job.created)[:limit]

    def of_patient(self, job_id: str) -> Sequence[Job]:
        patient = self._rows[job_id].patient
        others = [r.job for r in self._rows.values() if patient and r.patient == patient and r.job.id != job_id]
        return sorted(others, key=lambda job: -job.created)

    def counts(self) -> dict[State, int]:
        found: dict[State, int] = {}
        for row in self._rows.values():
            found[row.job.state] = found.get(row.job.state, 0) + 1
        return found

    def turn(self, job_id: str) -> int:
        return self._rows[job_id].turn if job_id in self._rows else -1

    def move(self, job_id: str, turn: int, state: State, reason: str = "", **changes: object) -> Job:
        row = self._row(job_id, turn)
        repeated = state is row.job.state and state is State.ANALYSING
        if not repeated and state not in FOLLOWS[row.job.state]:
            raise Cancelled(f"{row.job.state} cannot become {state}")
        row.job = replace(row.job.becomes(state, self._clock(), reason), **changes)  # type: ignore[arg-type]
        self.event(job_id, state, reason)
        return row.job

    def again(self, job_id: str, state: State, reason: str) -> int:
        row = self._rows[job_id]
        row.turn += 1
        row.job = replace(
            row.job, state=state, attempts=0, reason=reason, progress=0.0, phase="", changed=self._clock()
        )
        if state in (State.ARRIVING, State.WAITING):
            row.job, row.erased, row.receipts = replace(row.job, results=(), sendings=()), False, {}
        self.event(job_id, state, reason)
        return row.turn

    def progress(self, job_id: str, phase: str, fraction: float) -> None:
        row = self._rows[job_id]
        row.job = replace(row.job, phase=phase, progress=fraction)

    def sending(self, job_id: str, turn: int, sending: Sending) -> Job:
        row = self._row(job_id, turn)
        others = [s for s in row.job.sendings if s.destination != sending.destination]
        sendings = tuple(sorted((*others, sending), key=lambda s: s.destination))
        state, reason = overall(sendings)
        if state is not row.job.state and state not in FOLLOWS[row.job.state]:
            raise Cancelled(f"{row.job.state} cannot become {state}")
        row.job = replace(row.job, state=state, reason=reason, sendings=sendings, changed=self._clock())
        self.event(job_id, sending.state, f"{sending.destination}: {sending.reason}".rstrip(": "))
        return row.job

    def receipt(self, job_id: str, destination: str, receipt: Receipt) -> None:
        self._rows[job_id].receipts[destination, receipt.sop_instance_uid] = receipt

    def receipts(self, job_id: str, destination: str) -> Sequence[Receipt]:
        kept = self._rows[job_id].receipts
        return [kept[known] for known in sorted(kept) if known[0] == destination]

    def event(self, job_id: str, kind: str, text: str) -> None:
        self._rows[job_id].events.append(Event(self._clock(), str(kind), text))

    def timeline(self, job_id: str) -> Sequence[Event]:
        return list(self._rows[job_id].events)

    def link(self, job_id: str, patient: str) -> None:
        self._rows[job_id].patient = patient

    def patient(self, job_id: str) -> str:
        return self._rows[job_id].patient

    def due(self, before: float, limit: int = 100) -> Sequence[Job]:
        old = [
            r.job for r in self._rows.values() if not r.erased and r.job.changed < before and r.job.state in ERASABLE
        ]
        return sorted(old, key=lambda job: job.changed)[:limit]

    def erase(self, job_id: str) -> None:
        row = self._rows[job_id]
        if not row.erased:
            hashes = {
                "series_uid": self._pseudonym(row.job.series_uid),
                "study_uid": self._pseudonym(row.job.study_uid),
            }
            row.job, row.erased, row.receipts = replace(row.job, **hashes, results=()), True, {}  # type: ignore[arg-type]
            self.event(job_id, "erased", "")

    def erased(self, job_id: str) -> bool:
        return job_id in self._rows and self._rows[job_id].erased

    def _row(self, job_id: str, turn: int) -> _Row:
        row = self._rows[job_id]
        if row.turn != turn or row.job.state in (State.CANCELLED, State.SUPERSEDED):
            raise Cancelled(f"job {job_id} is {row.job.state}, turn {row.turn}")
        return row


class StraightChain:
    """`Chain` that runs the stages when `step` is called; a delay is over when the test says so."""

    def __init__(self, records: DictRecords, run: Callable[[Work], Sequence[Work]]) -> None:
        self._records = records
        self.run = run
        self.queue: deque[Work] = deque()
        self.known: set[str] = set()

    def enqueue(self, job: Job) -> None:
        self.put(Work(SELECT, job.id, self._records.turn(job.id), priority=job.priority))

    def put(self, work: Work) -> str:
        if work.id not in self.known:
            self.known.add(work.id)
            self.queue.append(work)
        return work.id

    def cancel(self, job_id: str) -> None:
        job = self._records.known(job_id)
        if job is not None and job.cancellable:
            self._records.move(job_id, self._records.turn(job_id), State.CANCELLED, "cancelled by a person")
        self.queue = deque(work for work in self.queue if work.job_id != job_id)

    def rerun(self, job_id: str, models: Sequence[str] | None = None, priority: int | None = None) -> str:
        job = self._records.known(job_id)
        if job is None or self._records.erased(job_id):
            raise Unusable("no such job, or its data was erased")
        job = replace(job, models=job.models if models is None else tuple(models), priority=priority or job.priority)
        self._records.put(job)
        state = State.ARRIVING if job.verdict is None else State.WAITING
        turn = self._records.again(job_id, state, "started anew")
        return self.put(Work(SELECT if state is State.ARRIVING else ANALYSE, job_id, turn, priority=job.priority))

    def resend(self, job_id: str, destination: str) -> str:
        job = self._records.known(job_id)
        if job is None or destination not in {s.destination for s in job.sendings}:
            raise Unusable(f"no delivery to {destination}")
        turn = self._records.again(job_id, State.DELIVERING, "sent anew")
        self._records.sending(job_id, turn, Sending(destination, State.DELIVERING))
        return self.put(Work(DELIVER, job_id, turn, destination, priority=job.priority))

    def step(self) -> Work | None:
        """Runs the most urgent piece of work; None when nothing is left."""
        if not self.queue:
            return None
        work = min(self.queue, key=lambda waiting: waiting.priority)
        self.queue.remove(work)
        for following in self.run(work):
            self.put(following)
        return work

    def drain(self) -> list[Work]:
        """Runs all that is there and all that follows."""
        done = []
        while (work := self.step()) is not None:
            done.append(work)
        return done


class ListDestination:
    """`Destination` that keeps what it is sent; it can be down, refuse a class, or break off after some."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kept: list[Dataset] = []
        self.down = False
        self.refuses: set[str] = set()
        self.breaks_after: int | None = None

    def send(self, datasets: Iterable[Dataset]) -> Iterator[Receipt]:
        if self.down:
            raise TryAgain(f"{self.name} cannot be reached")
        for number, ds in enumerate(datasets):
            if number == self.breaks_after:
                raise TryAgain(f"{self.name} hung up")
            refused = str(ds.SOPClassUID) in self.refuses
            if not refused:
                self.kept.append(ds)
            yield Receipt(str(ds.SOPInstanceUID), accepted=not refused, status="0x0122" if refused else "0x0000")


class SetConfirmation:
    """`Confirmation` that says what a list destination has; it can be silent, or have lost some."""

    def __init__(self, destination: ListDestination) -> None:
        self._destination = destination
        self.silent = False
        self.lost: set[str] = set()

    def kept(self, datasets: Sequence[Dataset], transaction: str) -> frozenset[str]:
        if self.silent:
            raise TryAgain("no answer yet")
        present = {str(ds.SOPInstanceUID) for ds in self._destination.kept} - self.lost
        return frozenset(str(ds.SOPInstanceUID) for ds in datasets) & present
