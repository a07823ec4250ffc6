"""The stages of a job: select, analyse, deliver, confirm; each small, repeatable, and the only place that turns errors
into states.

A stage may be cut anywhere and run again, here or on another host. So each first looks where the job stands, writes
beside and renames, and gives the work that follows; whoever runs it enqueues that.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pydicom import dcmread
from pydicom.dataset import Dataset

from spineps_pacs.domain.audit import READ, TRANSFERRED, Audit, AuditEvent, unheard
from spineps_pacs.domain.errors import Cancelled, NotForUs, SpinepsPacsError, TryAgain, Unusable
from spineps_pacs.domain.job import STUDY, Job, Sending, State, Verdict
from spineps_pacs.domain.ports import Confirmation, Datasets, Destination, Phases, Produce, Receipt, Records
from spineps_pacs.domain.series import Series, fingerprint
from spineps_pacs.workflow.hands import Hands
from spineps_pacs.workflow.work import (
    ANALYSE,
    CONFIRM,
    DELIVER,
    LAST,
    REJECTION,
    SELECT,
    SHADOW,
    Retries,
    Work,
    kind_of,
    recalled,
)

SENT = (State.DELIVERED, State.CONFIRMED)
LOOK_EVERY_S = 1.0
FORWARD = "source"
EXTRAS = ("1.2.840.10008.5.1.4.1.1.66.7",)
"""Label maps: each has a binary twin that every archive takes, so that a refusal of it costs nothing."""

Log = Callable[[str, Work, BaseException | None], None]


class Rules(Protocol):
    """Which results go where."""

    def destinations(self, series: Series, job: Job) -> Sequence[str]:
        """The names of the destinations that take results of this series."""
        ...

    def kinds(self, destination: str, present: Sequence[str]) -> Sequence[str]:
        """Of the kinds of result that are present, those that the destination takes."""
        ...


@dataclass(frozen=True)
class Parts:
    """What the stages are given: storage, and the functions of the other rooms."""

    inbox: Datasets
    outbox: Datasets
    records: Records
    judge: Callable[[Series, str], Verdict]
    produce: Produce
    rules: Rules
    destinations: Mapping[str, Destination]
    confirmations: Mapping[str, Confirmation] = field(default_factory=dict)
    shadow: Callable[[Series, Job, Phases], None] | None = None
    audit: Audit = unheard


@dataclass(frozen=True)
class Patience:
    """How often a stage is tried: analyses, deliveries, and a worker's deaths over one job; how many are in hand."""

    analysis: Retries = field(default_factory=lambda: Retries(attempts=3))
    delivery: Retries = field(default_factory=Retries)
    deaths: int = 3
    at_once: int = 1
    """Analyses in hand at the same moment."""


class Stages:
    """Runs one piece of work and gives what follows."""

    def __init__(self, parts: Parts, patience: Patience, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._records = parts.records
        self._patience = patience
        self._log = log
        self._clock = clock
        self._analysing: dict[str, Work] = {}
        self._hands = Hands(patience.at_once)
        self._ending = False

    def put_down(self) -> None:
        """This worker ends on purpose: what it analyses begins anew elsewhere, and does not count as its death."""
        self._ending = True
        for work in list(self._analysing.values()):
            with contextlib.suppress(Cancelled):
                self._records.move(work.job_id, work.turn, State.WAITING, "its worker was stopped", attempts=0)

    def run(self, work: Work) -> tuple[Work, ...]:
        """Never raises for a reason of the job: whatever went wrong is in the records afterwards."""
        stages = {SELECT: self.select, ANALYSE: self.analyse, DELIVER: self.deliver, CONFIRM: self.confirm}
        try:
            return (stages | {SHADOW: self.shadow})[work.stage](work)
        except Cancelled as reason:
            self._log(str(reason), work, None)
        except SpinepsPacsError as reason:
            self._fail(work, str(reason), None)
        except Exception as error:  # noqa: BLE001  a bug in one job must not stop the others
            self._fail(work, f"a fault of ours: {type(error).__name__}", error)
        return ()

    def select(self, work: Work) -> tuple[Work, ...]:
        """Is it ours? Every rule on headers; the verdict is kept either way."""
        job = self._job(work)
        if job.state is State.ARRIVING:
            series = self._series(job, pixels=False)
            try:
                verdict = self._parts.judge(series, job.source)
            except NotForUs as reason:
                verdict = Verdict(taken=False, reason=str(reason))
            state = State.WAITING if verdict.taken else State.SKIPPED
            job = self._records.move(job.id, work.turn, state, verdict.reason, verdict=verdict)
        return (Work(ANALYSE, job.id, work.turn, priority=work.priority),) if job.state is not State.SKIPPED else ()

    def analyse(self, work: Work) -> tuple[Work, ...]:
        """Series to results in the outbox; said "later" by a busy device, it is tried again."""
        job = self._job(work)
        if job.state in (State.WAITING, State.ANALYSING):
            try:
                with self._hands.taken(lambda: self._wanted(work), alone=job.attempts > 0):
                    job = self._in_hand(work)
            except TryAgain as reason:
                return self._analyse_later(work, str(reason))
        if job.state is State.ANALYSED and not job.sendings:
            job = self._records.move(job.id, work.turn, State.DELIVERED, "no destination takes its results")
        deliveries = [
            Work(DELIVER, job.id, work.turn, sending.destination, priority=work.priority)
            for sending in job.sendings
            if sending.state not in SENT
        ]
        shadows = [Work(SHADOW, job.id, work.turn, priority=LAST)] if self._parts.shadow and job.results else []
        return (*deliveries, *shadows)

    def shadow(self, work: Work) -> tuple[Work, ...]:
        """The second model set on the same slices; it sends nothing, and whatever it meets, the job goes on.

        Alone: should it kill its worker, no analysis dies with it.
        """
        if self._parts.shadow is not None:
            with self._hands.taken(lambda: self._wanted(work), alone=True):
                job = self._wanted(work)
                self._parts.shadow(self._series(job), job, self._watch(work))
        return ()

    def deliver(self, work: Work) -> tuple[Work, ...]:
        """Results to one destination; what it accepted is never sent again."""
        job = self._job(work)
        sending = _sending_of(job, work.destination)
        if sending.state not in SENT:
            self._say(work, State.DELIVERING, sending.reason)
            try:
                self._send(job, work)
                # before the state: told twice after a crash, but never left out
                self._parts.audit(AuditEvent(TRANSFERRED, READ, work.destination, study_uid=job.study_uid))
            except TryAgain as reason:
                return self._deliver_later(work, str(reason))
            self._say(work, State.DELIVERED)
        # the count of attempts goes on, so that what is sent once more is confirmed once more
        return (replace(work, stage=CONFIRM, delay_s=0.0),)

    def confirm(self, work: Work) -> tuple[Work, ...]:
        """Does the destination keep what it accepted? What it does not is sent once more."""
        job = self._job(work)
        confirmation = self._parts.confirmations.get(work.destination)
        if _sending_of(job, work.destination).state is State.CONFIRMED:
            return ()
        if recalled(job):  # an archive may hide the note together with what it rejects
            self._say(work, State.CONFIRMED, "recalled")
            return ()
        if confirmation is not None:
            accepted = self._accepted(job, work.destination)
            sent = [ds for ds in self._results(job, work.destination) if str(ds.SOPInstanceUID) in accepted]
            try:
                kept = confirmation.kept(sent, f"{work.job_id}:{work.turn}:{work.destination}")
            except TryAgain as reason:
                return self._confirm_later(work, str(reason))
            lost = [str(ds.SOPInstanceUID) for ds in sent if str(ds.SOPInstanceUID) not in kept]
            if lost:
                return self._send_again(work, lost)
        self._say(work, State.CONFIRMED)
        return ()

    def _wanted(self, work: Work) -> Job:
        """The job, unless it was ended, or this worker is; it is then revived elsewhere."""
        if self._ending:
            raise Cancelled("its worker was stopped before it began")
        return self._job(work)

    def _in_hand(self, work: Work) -> Job:
        job = self._wanted(work)
        self._analysing[work.id] = work
        try:
            return self._analyse(job, work)
        finally:
            self._analysing.pop(work.id, None)

    def _analyse(self, job: Job, work: Work) -> Job:
        if job.attempts >= self._patience.deaths:
            raise Unusable(f"set aside: its worker died {job.attempts} times over it")
        job = self._records.move(job.id, work.turn, State.ANALYSING, attempts=job.attempts + 1)
        series = self._series(job)
        results = self._parts.produce(series, self._watch(work))
        names = tuple(outbox_name(result.kind, result.sop_instance_uid) for result in results)
        for name, result in zip(names, results, strict=True):
            self._parts.outbox.add(job.id, name, result.content)
        sendings = tuple(Sending(name) for name in self._parts.rules.destinations(series, job))
        try:
            return self._records.move(
                job.id, work.turn, State.ANALYSED, results=names, sendings=sendings, attempts=0, progress=1.0
            )
        except Cancelled:
            return self._job(work)  # a worker thought dead was faster; its results stand

    def _watch(self, work: Work) -> Phases:
        """Tells progress, and stops the analysis within a second of its cancellation."""
        looked, told = self._clock(), ""

        def watch(phase: str, done: int, total: int) -> None:
            nonlocal looked, told
            if phase == told and self._clock() - looked < LOOK_EVERY_S:
                return
            looked, told = self._clock(), phase
            self._job(work)
            if work.stage == ANALYSE:
                self._records.progress(work.job_id, phase, done / max(total, 1))

        return watch

    def _send(self, job: Job, work: Work) -> None:
        name = work.destination
        destination = self._parts.destinations.get(name)
        if destination is None:
            raise TryAgain(f"no destination is called {name} any more")
        accepted = self._accepted(job, name)
        due = [ds for ds in self._results(job, name) if str(ds.SOPInstanceUID) not in accepted]
        open_, refused = {str(ds.SOPInstanceUID) for ds in due}, ""
        for receipt in destination.send(due) if due else ():
            self._records.receipt(job.id, name, receipt)
            open_.discard(receipt.sop_instance_uid)
            accepted |= {receipt.sop_instance_uid} if receipt.accepted else set()
            refused = refused if receipt.accepted else refused or receipt.status
            self._still_ours(work, open_)
        missing = [ds for ds in due if str(ds.SOPInstanceUID) not in accepted and ds.SOPClassUID not in EXTRAS]
        if missing:
            raise TryAgain(f"{len(missing)} of {len(due)} objects were not accepted: {refused or 'no answer came'}")

    def _still_ours(self, work: Work, open_: set[str]) -> None:
        """Raises Cancelled when a person ended the job, or when another worker, who thinks us dead, sends what is open.

        So a host that was paused in the middle of a delivery and wakes up sends nothing a second time.
        """
        job = self._job(work)
        if open_ & self._accepted(job, work.destination) or _sending_of(job, work.destination).state in SENT:
            raise Cancelled(f"another worker took the delivery of job {job.id} over")

    def _accepted(self, job: Job, destination: str) -> set[str]:
        return {r.sop_instance_uid for r in self._records.receipts(job.id, destination) if r.accepted}

    def _results(self, job: Job, destination: str) -> list[Dataset]:
        if recalled(job):
            return [self._stored(job, name) for name in job.results if kind_of(name) == REJECTION]
        present = [*{kind_of(name): None for name in job.results}, *([] if job.source == STUDY else [FORWARD])]
        kinds = self._parts.rules.kinds(destination, present)
        datasets = [self._stored(job, name) for name in job.results if kind_of(name) in kinds]
        return datasets + (list(self._series(job).datasets) if FORWARD in kinds else [])

    def _stored(self, job: Job, name: str) -> Dataset:
        return dcmread(self._parts.outbox.path(job.id, name))

    def _send_again(self, work: Work, lost: Sequence[str]) -> tuple[Work, ...]:
        for uid in lost:
            self._records.receipt(work.job_id, work.destination, Receipt(uid, accepted=False, status="not kept"))
        reason = f"the destination does not keep {len(lost)} objects that it accepted"
        if work.attempt + 1 >= self._patience.delivery.attempts:
            self._say(work, State.DEAD_LETTER, reason, work.attempt + 1)
            return ()
        self._say(work, State.DELIVERING, reason)
        delay = self._patience.delivery.delay(work)
        again = Work(DELIVER, work.job_id, work.turn, work.destination, work.attempt + 1, delay, work.priority)
        return (again,)

    def _analyse_later(self, work: Work, reason: str) -> tuple[Work, ...]:
        if work.attempt + 1 >= self._patience.analysis.attempts:
            raise Unusable(f"given up after {work.attempt + 1} attempts: {reason}")
        self._records.move(work.job_id, work.turn, State.WAITING, reason, attempts=0)
        return (work.later(self._patience.analysis.delay(work)),)

    def _deliver_later(self, work: Work, reason: str) -> tuple[Work, ...]:
        if work.attempt + 1 >= self._patience.delivery.attempts:
            self._say(work, State.DEAD_LETTER, reason, work.attempt + 1)
            return ()
        self._say(work, State.DELIVERING, reason, work.attempt + 1)
        return (work.later(self._patience.delivery.delay(work)),)

    def _confirm_later(self, work: Work, reason: str) -> tuple[Work, ...]:
        if work.attempt + 1 >= self._patience.delivery.attempts:
            self._say(work, State.DEAD_LETTER, f"not confirmed: {reason}", work.attempt + 1)
            return ()
        self._say(work, State.DELIVERED, f"not yet confirmed: {reason}", work.attempt + 1)
        return (work.later(self._patience.delivery.delay(work)),)

    def _say(self, work: Work, state: State, reason: str = "", attempts: int | None = None) -> None:
        known = _sending_of(self._job(work), work.destination)
        attempts = known.attempts if attempts is None else attempts
        self._records.sending(work.job_id, work.turn, Sending(work.destination, state, attempts, reason))

    def _fail(self, work: Work, reason: str, error: Exception | None) -> None:
        self._log(reason, work, error)
        if work.stage == SHADOW:
            return
        try:
            if work.destination:
                self._say(work, State.DEAD_LETTER, reason)
            else:
                self._records.move(work.job_id, work.turn, State.FAILED, reason)
        except Cancelled as moved_on:
            self._log(str(moved_on), work, None)

    def _job(self, work: Work) -> Job:
        job = self._records.known(work.job_id)
        if job is None:
            raise Cancelled(f"job {work.job_id} is not known any more")
        if self._records.turn(job.id) != work.turn or job.state in (State.CANCELLED, State.SUPERSEDED):
            raise Cancelled(f"job {job.id} is {job.state}, or was started anew")
        return job

    def _series(self, job: Job, pixels: bool = True) -> Series:
        series = self._parts.inbox.load(fingerprint([job.series_uid]), pixels)
        if series.fingerprint != job.fingerprint:
            raise Cancelled(f"job {job.id} waits for its successor: more slices arrived")
        return series


def outbox_name(kind: str, sop_instance_uid: str) -> str:
    """The name under which a result lies in the outbox."""
    return f"{kind}.{fingerprint([sop_instance_uid])}.dcm"


def _sending_of(job: Job, destination: str) -> Sending:
    return next((s for s in job.sendings if s.destination == destination), Sending(destination))
