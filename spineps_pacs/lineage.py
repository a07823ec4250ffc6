"""Which results take the place of which: a job's predecessors, and the recall of what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from spineps_pacs.domain.errors import Cancelled, Unusable
from spineps_pacs.domain.job import Job, State
from spineps_pacs.domain.ports import Datasets, Records, Result
from spineps_pacs.domain.series import Series
from spineps_pacs.workflow.stages import outbox_name
from spineps_pacs.workflow.work import kind_of, recalled

if TYPE_CHECKING:
    from spineps_pacs.encode.identity import Prior
    from spineps_pacs.encode.options import Options
    from spineps_pacs.workflow.chain import DbosChain

NAMED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")


def analysed_now(records: Records, series: Series) -> Job:
    """The job for which these slices are analysed."""
    running = records.find(series_uid=series.series_uid, state=State.ANALYSING)
    job = next((job for job in running if job.fingerprint == series.fingerprint), None)
    if job is None:
        raise Cancelled("no job of these slices is being analysed any more")
    return job


def predecessors(records: Records, outbox: Datasets, job: Job) -> tuple[Prior, ...]:
    """The report that a new one replaces: the last of this series that was superseded after somebody had taken it."""
    older = [one for one in records.find(series_uid=job.series_uid, state=State.SUPERSEDED) if one.id != job.id]
    for one in sorted(older, key=lambda known: known.changed, reverse=True):
        prior = _report_of(records, outbox, one)
        if prior is not None:
            return (prior,)
    return ()


def accepted(records: Records, job: Job) -> dict[str, frozenset[str]]:
    """Who received what: each destination with the SOP Instance UIDs that it accepted."""
    names = [sending.destination for sending in job.sendings]
    return {
        name: frozenset(receipt.sop_instance_uid for receipt in records.receipts(job.id, name) if receipt.accepted)
        for name in names
    }


@dataclass(frozen=True)
class Recall:
    """A note that takes back what was sent: who received how many objects, and the works that deliver the note."""

    received: Mapping[str, int]
    works: tuple[str, ...]


class Recaller:
    """Takes results back by a rejection note (IHE IOCM) to everybody who accepted any of them."""

    def __init__(self, records: Records, outbox: Datasets, queue: DbosChain, options: Options) -> None:
        self._records = records
        self._outbox = outbox
        self._queue = queue
        self._options = options

    def recall(self, job_id: str, reason: str) -> Recall:
        """Once for each job; raises Unusable where there is nothing to take back."""
        job = self._records.known(job_id)
        if job is None:
            raise Unusable(f"no job has the id {job_id}")
        if recalled(job):
            raise Unusable(f"job {job_id} was recalled before; `jobs show` tells how its note stands")
        received = {name: uids for name, uids in accepted(self._records, job).items() if uids}
        sent = [result for result in self._results(job) if any(result.sop_instance_uid in u for u in received.values())]
        note = self._note(job, sent, reason) if sent else ""
        works = self._queue.recall(job_id, note, list(received) if sent else [], reason)
        return Recall({name: len(uids) for name, uids in received.items()}, tuple(works))

    def _results(self, job: Job) -> list[Result]:
        found = []
        for name in job.results:
            path = self._outbox.path(job.id, name)
            named = _named(path)
            if named is not None:
                found.append(Result(kind_of(name), named[2], named[3], path.read_bytes()))
        return found

    def _note(self, job: Job, sent: list[Result], reason: str) -> str:
        from spineps_pacs.encode.rejection import rejection

        note = rejection(sent, self._options, datetime.now(UTC), reason)
        name = outbox_name(note.kind, note.sop_instance_uid)
        self._outbox.add(job.id, name, note.content)
        return name


def _report_of(records: Records, outbox: Datasets, job: Job) -> Prior | None:
    from spineps_pacs.encode.identity import Prior

    sent = frozenset().union(*accepted(records, job).values())
    for name in job.results:
        found = _named(outbox.path(job.id, name)) if kind_of(name) == "report" else None
        if found is not None and found[3] in sent:
            return Prior(*found)
    return None


def _named(path: Path) -> tuple[str, str, str, str] | None:
    """The UIDs by which an object is referred to; nothing when it was erased."""
    try:
        header = dcmread(path, specific_tags=list(NAMED))
    except (OSError, InvalidDicomError):
        return None
    study, series, sop_class, instance = (str(header.get(keyword, "")) for keyword in NAMED)
    return study, series, sop_class, instance
