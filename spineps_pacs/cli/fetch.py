"""`spineps-pacs fetch`: series out of a named PACS into the node, by accession number, study or days."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from spineps_pacs.domain.audit import EXECUTE, QUERIED, AuditEvent
from spineps_pacs.domain.errors import TryAgain, Unusable
from spineps_pacs.domain.job import State

if TYPE_CHECKING:
    from spineps_pacs.app import Shared
    from spineps_pacs.intake.query import Archive, Found, Query
    from spineps_pacs.intake.reception import Reception

Config = Annotated[Path | None, Parameter(name=["--config", "-c"], help="The configuration file of the node.")]
Day = Annotated[str, Parameter(help="A day of study dates, as 2026-03-01.")]
POLL_S = 0.5


@dataclass(frozen=True)
class Outcome:
    """What became of one series: how many images came, or why not."""

    series_uid: str
    images: int = 0
    reason: str = ""


def fetch(
    config: Config = None,
    *,
    pacs: Annotated[str, Parameter(help="Name of the PACS in the configuration, where it names several.")] = "",
    accession: Annotated[tuple[str, ...], Parameter(help="Accession numbers.")] = (),
    study: Annotated[tuple[str, ...], Parameter(help="StudyInstanceUIDs.")] = (),
    series: Annotated[str, Parameter(help="Only this SeriesInstanceUID.")] = "",
    since: Day = "",
    until: Day = "",
    description: Annotated[str, Parameter(help="Only series whose description contains this.")] = "",
    again: Annotated[bool, Parameter(help="Also what the node has already.", negative="")] = False,
    wait: Annotated[float, Parameter(help="Minutes to wait until all that was fetched has come to its end.")] = 0.0,
) -> int:
    """Fetch MR series from a PACS; the running node analyses them as if a scanner had sent them.

    By C-MOVE the PACS sends to the node's DICOM port, by DICOMweb the images come through this command. What the node
    has already is left out, so a fetch that was cut goes on where it was.
    """
    from spineps_pacs import app, outlets
    from spineps_pacs.cli.node import opened
    from spineps_pacs.intake.query import Query
    from spineps_pacs.intake.reception import Source

    current = opened(config)()
    chosen = outlets.named_pacs(current, pacs)
    words = {"series_uid": series, "since": since, "until": until, "description": description}
    asked = [Query(accession=one, **words) for one in accession] + [Query(study_uid=one, **words) for one in study]
    common = app.shared(current)
    queue = app.chain(common, current)
    try:
        door = app.main_door(lambda: current, common, queue)
        source = Source(chosen.name)
        archive = outlets.archive(chosen, current, common.inbox.staging, lambda path: door.arrived(path, source))
        common.audit(AuditEvent(QUERIED, EXECUTE, getpass.getuser(), address=chosen.host or chosen.url))
        fetched = list(_fetched(archive, asked or [Query(**words)], None if again else common, door))
        ended = _wait(common, [one.series_uid for one in fetched if not one.reason], 60 * wait)
    finally:
        queue.close()
        common.database.dispose()
    failed = [one for one in fetched if one.reason]
    print(f"{len(fetched) - len(failed)} series fetched, {len(failed)} not")
    return 0 if ended and not failed else 1


def _fetched(archive: Archive, asked: list[Query], common: Shared | None, door: Reception) -> Iterator[Outcome]:
    """Each series that fits, one after the other; a failure is told, and the next one follows."""
    for query in asked:
        for found in archive.find(query):
            if common is not None and _known(common, found):
                print(f"{found.series_uid}  the node has it")
                continue
            outcome = _one(archive, found, door)
            print(f"{outcome.series_uid}  {outcome.reason or f'{outcome.images} images'}")
            yield outcome


def _one(archive: Archive, found: Found, door: Reception) -> Outcome:
    try:
        images = archive.fetch(found)
    except (TryAgain, Unusable) as error:
        return Outcome(found.series_uid, reason=str(error))
    door.complete(found.series_uid)
    return Outcome(found.series_uid, images)


def _known(common: Shared, found: Found) -> bool:
    """True when the node has made a job of this series, and its images were not erased since."""
    jobs = common.records.find(series_uid=found.series_uid)
    return any(not common.records.erased(job.id) for job in jobs)


def _wait(common: Shared, series: list[str], patience_s: float) -> bool:
    """True when every series has come to a good end in time; without patience nobody waits."""
    if not patience_s:
        return True
    deadline = time.monotonic() + patience_s
    open_series = dict.fromkeys(series)
    good = True
    while open_series and time.monotonic() < deadline:
        for uid in list(open_series):
            job = next(iter(common.records.find(series_uid=uid)), None)
            if job is not None and (job.ended or job.state is State.DELIVERED):
                print(f"{uid}  {job.state}  {job.reason}".rstrip())
                good = good and job.state in (State.DELIVERED, State.CONFIRMED, State.SKIPPED)
                del open_series[uid]
        time.sleep(POLL_S)
    return good and not open_series
