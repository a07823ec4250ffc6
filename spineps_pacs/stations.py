"""Joins the stations of a study: once its series are analysed, one more report beside theirs, as a job of its own.

Nothing is remembered: which studies are due, and whether their report was made, follows from records and data folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydicom import dcmread

from spineps_pacs.app import Shared, trouble
from spineps_pacs.desk import STATION, STUDY_LEVELS, write_page
from spineps_pacs.domain.anatomy import VERTEBRAE
from spineps_pacs.domain.attributes import text, whole
from spineps_pacs.domain.errors import Cancelled
from spineps_pacs.domain.job import STUDY, Job, Sending, State
from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.series import fingerprint
from spineps_pacs.domain.study import JoinedLevel, JoinedLevels, Station
from spineps_pacs.intake.reception import job_id
from spineps_pacs.intake.study import complete, stations
from spineps_pacs.lineage import predecessors
from spineps_pacs.opinions import PAGES
from spineps_pacs.producing import encode_options
from spineps_pacs.settings import Live
from spineps_pacs.storage.studies import Studies
from spineps_pacs.workflow.chain import DbosChain
from spineps_pacs.workflow.stages import outbox_name
from spineps_pacs.workflow.work import kind_of, recalled

_NOTHING = "no two of the {} stations share a frame of reference; levels can only be joined within one"


@dataclass(frozen=True)
class _Stop:
    """One station: its job, what is kept of it, and where its report lies."""

    job: Job
    station: Station
    path: Path

    @property
    def report(self) -> Result:
        """Its report, read."""
        return Result("report", "", "", self.path.read_bytes())

    @property
    def top(self) -> float:
        """How far up it reaches, mm."""
        return max((body.centre[2] for body in self.station.bodies), default=float("-inf"))


class StudyReports:
    """Makes the reports of studies that are complete; `step` is one round."""

    def __init__(self, live: Live, common: Shared, queue: DbosChain, clock: Callable[[], float] = time.time) -> None:
        self._live = live
        self._common = common
        self._queue = queue
        self._clock = clock
        self._studies = Studies(common.database)

    def step(self) -> list[str]:
        """Joins whatever is due; gives the ids of the jobs that it made."""
        wanted = self._live().study
        made: list[str] = []
        for jobs in self._studies.several() if wanted.join_stations else ():
            try:
                made += self._join(jobs) if self._due(jobs, wanted.quiet_s) else ()
            except Exception as error:  # noqa: BLE001  one study must not hold the others up; it is tried again
                trouble("study", error)
        return made

    def _due(self, jobs: Sequence[Job], quiet_s: float) -> bool:
        """Images are asked only while a study is not quiet yet."""
        now = self._clock()
        return complete(jobs, now, quiet_s) or complete(jobs, now, quiet_s, self._expected(jobs))

    def _expected(self, jobs: Sequence[Job]) -> int | None:
        """How many series the study has, where its images say so."""
        for job in jobs:
            key = fingerprint([job.series_uid])
            for name in self._common.inbox.names(key)[:1]:
                header = dcmread(
                    self._common.inbox.path(key, name),
                    stop_before_pixels=True,
                    specific_tags=["NumberOfStudyRelatedSeries"],
                )
                return whole(header, "NumberOfStudyRelatedSeries")
        return None

    def _join(self, jobs: Sequence[Job]) -> Iterator[str]:
        stops = sorted(self._stops(stations(jobs)), key=lambda stop: (-stop.top, stop.job.id))
        frames = sorted({stop.station.frame for stop in stops} - {""})
        groups = [group for frame in frames if len(group := [s for s in stops if s.station.frame == frame]) > 1]
        if len(stops) > 1 and not groups:
            yield from self._refused(stops)
        for group in groups:
            job = self._job(group, group[0].station.frame)
            if not self._made(job):
                self._supersede(job)
                yield self._make(job, group)

    def _stops(self, jobs: Sequence[Job]) -> Iterator[_Stop]:
        """The stations of which everything is there that joining needs."""
        for job in jobs:
            file = self._common.folder / PAGES / job.id / STATION
            report = next((name for name in job.results if kind_of(name) == "report"), None)
            if report is not None and file.is_file() and not recalled(job):
                station = Station.from_json(file.read_text(encoding="utf-8"))
                yield _Stop(job, station, self._common.outbox.path(job.id, report))

    def _job(self, stops: Sequence[_Stop], frame: str) -> Job:
        """The job of a study's report: the same for the same stations, wherever and whenever it is made."""
        from spineps_pacs.encode.identity import uid

        study, ids = stops[0].job.study_uid, fingerprint([stop.job.id for stop in stops])
        series = uid(self._live().results.uid_root, "study", study, frame)
        created = max(stop.job.created for stop in stops)
        return Job(
            job_id(series, ids, STUDY),
            series,
            study,
            ids,
            State.ANALYSED,
            STUDY,
            created=created,
            changed=self._clock(),
        )

    def _made(self, job: Job) -> bool:
        """True when nothing is left to do; the page is the last that is written."""
        page = self._common.folder / PAGES / job.id / STUDY_LEVELS
        return self._common.records.known(job.id) is not None and (
            page.is_file() or self._common.records.erased(job.id)
        )

    def _make(self, job: Job, stops: Sequence[_Stop]) -> str:
        """Report, job and page, in this order: after a crash in between all is made again, with the same bytes."""
        from spineps_pacs.analysis.study import join
        from spineps_pacs.encode.identity import Origin
        from spineps_pacs.encode.study_report import study_report
        from spineps_pacs.encode.verify_study import verify_study

        joined = join([stop.station for stop in stops])
        origin = Origin(
            datetime.fromtimestamp(job.created, UTC),
            predecessors=predecessors(self._common.records, self._common.outbox, job),
        )
        demonstration = any(stop.station.demonstration for stop in stops)
        reports = [stop.report for stop in stops]
        result = study_report(reports, joined, origin, encode_options(self._live()), demonstration=demonstration)
        verify_study(result, joined, reports)
        name = outbox_name("report", result.sop_instance_uid)
        self._common.outbox.add(job.id, name, result.content)
        sendings = tuple(Sending(destination) for destination in self._destinations(stops))
        state = State.ANALYSED if sendings else State.DELIVERED
        new = self._common.records.add(replace(job, state=state, results=(name,), sendings=sendings, progress=1.0))
        write_page(self._common.folder, job.id, {STUDY_LEVELS: json.dumps(_page(joined, stops)).encode()})
        if new:
            self._queue.revive(replace(job, state=state, sendings=sendings))
        return job.id

    def _destinations(self, stops: Sequence[_Stop]) -> list[str]:
        """Wherever results of a station go, as far as it still exists."""
        known = {destination.name for destination in self._live().destination}
        return sorted({sending.destination for stop in stops for sending in stop.job.sendings} & known)

    def _refused(self, stops: Sequence[_Stop]) -> Iterator[str]:
        """Said once, as a skipped job."""
        job = self._job(stops, "")
        if self._common.records.add(replace(job, state=State.SKIPPED, reason=_NOTHING.format(len(stops)))):
            yield job.id

    def _supersede(self, job: Job) -> None:
        """An earlier report of the study saw other results of its stations."""
        records = self._common.records
        for old in records.find(series_uid=job.series_uid):
            if old.id != job.id and old.state is not State.SUPERSEDED:
                with suppress(Cancelled):  # another worker was faster
                    turn = records.again(old.id, old.state, "a station changed")
                    records.move(old.id, turn, State.SUPERSEDED, f"a station changed: see job {job.id}")
                self._queue.cancel(old.id)


def _page(joined: JoinedLevels, stops: Sequence[_Stop]) -> dict[str, Any]:
    """The study's numbers as plain values; no UID, no patient."""
    return {
        "stations": [{"job": stop.job.id, "series": _series_of(stop.report)} for stop in stops],
        "levels": [_level(level) for level in joined.levels],
        "margin": joined.margin,
        "flags": list(joined.flags),
    }


def _series_of(report: Result) -> str:
    from spineps_pacs.encode.on_results import header_of

    return text(header_of(report), "SeriesDescription")


def _level(joined: JoinedLevel) -> dict[str, Any]:
    return {
        "label": _name(joined.level),
        "confidence": joined.confidence,
        "agreed": joined.agreed,
        "seen": [
            {
                "station": seen.station + 1,
                "instance": seen.body.instance,
                "label": _name(seen.level),
                "confidence": seen.body.confidence,
            }
            for seen in joined.seen
        ],
    }


def _name(level: int | None) -> str:
    return VERTEBRAE[level].name if level is not None else ""
