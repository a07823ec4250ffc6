"""Which results take the place of which: a job's predecessors, and the recall of what was sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from spineps_pacs.domain.errors import Cancelled
from spineps_pacs.domain.job import Job, State
from spineps_pacs.domain.ports import Datasets, Records
from spineps_pacs.domain.series import Series
from spineps_pacs.workflow.stages import kind_of

if TYPE_CHECKING:
    from spineps_pacs.encode.identity import Prior

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
