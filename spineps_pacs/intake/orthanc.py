"""Series handed over by Orthanc's plugin: their ids by HTTP on loopback, their images by Orthanc's REST.

What was handed over is a note until all of its images are in the inbox; a restart goes on with what is noted.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import requests
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from spineps_pacs.domain.errors import SpinepsPacsError, TryAgain, Unusable
from spineps_pacs.domain.job import Job
from spineps_pacs.domain.ports import Chain, Records
from spineps_pacs.intake.dimse import Log
from spineps_pacs.intake.reception import Arrival, Source

ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
HANDED, SERIES, URGENT = "handed", "series", "urgent"
OURS_ALONE = {"SEG", "SR", "PR", "KO", "RTSTRUCT", "OT", "DOC"}
CHUNK = 1 << 20


class Door(Protocol):
    """Where images enter, and where one may say that all of a series is there."""

    def arrived(self, path: Path, source: Source) -> Arrival: ...

    def complete(self, series_uid: str) -> None: ...


class Notes(Protocol):
    """Notes by key and kind."""

    def put(self, key: str, kind: str, text: str) -> None: ...

    def get(self, key: str, kind: str) -> str | None: ...

    def forget(self, key: str, *kinds: str) -> None: ...

    def keys(self, kind: str) -> list[str]: ...


@dataclass(frozen=True)
class OrthancPeer:
    """Orthanc's REST, with a session that is bounded in time."""

    url: str
    session: Callable[[], requests.Session]


class OrthancIntake:
    """Pulls the series that were handed over; `step` pulls all that are noted."""

    def __init__(self, door: Door, notes: Notes, peer: OrthancPeer, staging: Path, log: Log) -> None:
        self._door = door
        self._notes = notes
        self._peer = peer
        self._staging = staging
        self._log = log

    def hand_over(self, orthanc_id: str, now: bool = False) -> None:
        """Notes the id of a series; on disk when this returns."""
        self._notes.put(orthanc_id, HANDED, URGENT if now else "")

    def series_of(self, orthanc_id: str) -> str | None:
        """The SeriesInstanceUID behind an id of Orthanc, once it was pulled."""
        return self._notes.get(orthanc_id, SERIES)

    def step(self) -> int:
        """Pulls what was handed over; gives how many series. One that fails stays noted."""
        pulled = 0
        for orthanc_id in self._notes.keys(HANDED):
            try:
                self._pull(orthanc_id)
            except (TryAgain, requests.RequestException, OSError, ValueError) as error:
                self._log("a series cannot be pulled from Orthanc yet", reason=type(error).__name__)
                continue
            self._notes.forget(orthanc_id, HANDED)
            pulled += 1
        return pulled

    def _pull(self, orthanc_id: str) -> None:
        wish = self._notes.get(orthanc_id, HANDED)
        with self._peer.session() as session:
            answer = session.get(f"{self._peer.url}/series/{orthanc_id}")
            if answer.status_code == requests.codes.not_found:
                return
            answer.raise_for_status()
            found = answer.json()
            tags = found.get("MainDicomTags", {})
            if tags.get("Modality") in OURS_ALONE and wish != URGENT:
                return
            for instance in found["Instances"]:
                self._fetch(session, str(instance), Source("orthanc", 1 if wish == URGENT else 100))
        self._notes.put(orthanc_id, SERIES, str(tags["SeriesInstanceUID"]))
        self._door.complete(str(tags["SeriesInstanceUID"]))

    def _fetch(self, session: requests.Session, instance: str, source: Source) -> None:
        if not ORTHANC_ID.fullmatch(instance):
            raise ValueError("an instance without a proper id")
        path = self._staging / f"{uuid.uuid4().hex}.part"
        try:
            with session.get(f"{self._peer.url}/instances/{instance}/file", stream=True) as answer:
                answer.raise_for_status()
                with path.open("wb") as file:
                    for chunk in answer.iter_content(CHUNK):
                        file.write(chunk)
            self._door.arrived(path, source)
        except Unusable as reason:
            self._log("an image from Orthanc was left", reason=str(reason))
        finally:
            path.unlink(missing_ok=True)


def orthanc_app(intake: OrthancIntake, records: Records, chain: Chain) -> Starlette:
    """What the plugin calls: hand a series over, ask what became of it, list all jobs."""
    desk = _Desk(intake, records, chain)
    return Starlette(
        routes=[
            Route("/orthanc/series", desk.take, methods=["POST"]),
            Route("/orthanc/series/{id}", desk.show, methods=["GET"]),
            Route("/orthanc/jobs", desk.all, methods=["GET"]),
        ]
    )


class _Desk:
    def __init__(self, intake: OrthancIntake, records: Records, chain: Chain) -> None:
        self._intake = intake
        self._records = records
        self._chain = chain

    async def take(self, request: Request) -> JSONResponse:
        try:
            wish = await request.json()
            orthanc_id = str(wish["id"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": 'a JSON object with "id" is wanted'}, 400)
        if not ORTHANC_ID.fullmatch(orthanc_id):
            return JSONResponse({"error": "that is no id of an Orthanc series"}, 404)
        return await run_in_threadpool(self._take, orthanc_id, bool(wish.get("now")))

    def _take(self, orthanc_id: str, now: bool) -> JSONResponse:
        job = self._job(orthanc_id)
        if now and job is not None and job.ended:
            with contextlib.suppress(SpinepsPacsError):  # its images are gone from here; Orthanc has them
                return JSONResponse({"work": self._chain.rerun(job.id)}, 202)
        self._intake.hand_over(orthanc_id, now)
        return JSONResponse({"id": orthanc_id}, 202)

    async def show(self, request: Request) -> JSONResponse:
        orthanc_id = str(request.path_params["id"])
        if not ORTHANC_ID.fullmatch(orthanc_id):
            return JSONResponse({"error": "that is no id of an Orthanc series"}, 404)
        job = await run_in_threadpool(self._job, orthanc_id)
        return JSONResponse({"error": "not seen yet"}, 404) if job is None else JSONResponse(_told(job))

    async def all(self, _request: Request) -> JSONResponse:
        jobs = await run_in_threadpool(lambda: self._records.find(limit=500))
        return JSONResponse([_told(job) for job in jobs])

    def _job(self, orthanc_id: str) -> Job | None:
        series_uid = self._intake.series_of(orthanc_id)
        found = self._records.find(series_uid=series_uid, limit=1) if series_uid else []
        return found[0] if found else None


def _told(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "series": job.series_uid,
        "state": str(job.state),
        "phase": job.phase,
        "progress": job.progress,
        "reason": job.reason,
        "verdict": None if job.verdict is None else asdict(job.verdict),
        "results": list(job.results),
    }
