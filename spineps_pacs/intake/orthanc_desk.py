"""What Orthanc's plugin asks of the node: run a series, say what became of it, list all jobs; HTTP on loopback."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from spineps_pacs.domain.errors import ModelError, Unusable
from spineps_pacs.domain.job import Job, State
from spineps_pacs.domain.ports import Chain, Records
from spineps_pacs.intake.orthanc import NORMAL, ORTHANC_ID, Notes, OrthancIntake

WISHED, URGENT, LAST = "wished", 1, 1000
KEYS = {"id", "now", "models", "priority"}
LOOPBACK = ["127.0.0.1", "localhost"]
"""Names under which we answer: a page in some browser of this machine cannot come by another one."""


@dataclass(frozen=True)
class Wish:
    """How a series shall be run: at once, with models in the place of the node's own, ahead of others or behind."""

    orthanc_id: str
    now: bool = False
    models: tuple[str, ...] | None = None
    priority: int = NORMAL


@dataclass(frozen=True)
class Back:
    """What stands behind the desk; `check` raises ModelError when models of these names cannot be taken."""

    intake: OrthancIntake
    notes: Notes
    records: Records
    chain: Chain
    check: Callable[[Sequence[str]], object]


class OrthancDesk:
    """Answers the plugin; `step` pulls what was handed over and grants what was wished of it."""

    def __init__(self, back: Back) -> None:
        self._back = back

    def app(self) -> Starlette:
        """The routes that the plugin calls."""
        return Starlette(
            routes=[
                Route("/orthanc/series", self._take, methods=["POST"]),
                Route("/orthanc/series/{id}", self._show, methods=["GET"]),
                Route("/orthanc/jobs", self._all, methods=["GET"]),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)],
        )

    def step(self) -> int:
        """Pulls the series that were handed over; one that was wished with other models gets them once it is a job."""
        pulled = self._back.intake.step()
        for orthanc_id in self._back.notes.keys(WISHED):
            job = self._job(orthanc_id)
            if job is not None:
                note = json.loads(self._back.notes.get(orthanc_id, WISHED) or "{}")
                with contextlib.suppress(Unusable):  # erased meanwhile, or the model is gone: the page of the job tells
                    self._back.chain.rerun(job.id, note["models"], note["priority"])
                self._back.notes.forget(orthanc_id, WISHED)
        return pulled

    async def _take(self, request: Request) -> JSONResponse:
        if request.headers.get("content-type") != "application/json":  # which no form of a foreign page can send
            return JSONResponse({"error": "application/json is wanted"}, 415)
        try:
            wish = wish_of(await request.json())
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        if not ORTHANC_ID.fullmatch(wish.orthanc_id):
            return JSONResponse({"error": "that is no id of an Orthanc series"}, 404)
        return await run_in_threadpool(self._grant, wish)

    def _grant(self, wish: Wish) -> JSONResponse:
        try:
            self._back.check(wish.models or ())
        except ModelError as error:
            return JSONResponse({"error": str(error)}, 400)
        job = self._job(wish.orthanc_id)
        if wish.now and job is not None and self._begins_anew(job, wish):
            try:
                return JSONResponse({"work": self._back.chain.rerun(job.id, wish.models, wish.priority)}, 202)
            except Unusable as error:
                return JSONResponse({"error": str(error)}, 409)
        if wish.models is not None:
            note = {"models": wish.models, "priority": wish.priority}
            self._back.notes.put(wish.orthanc_id, WISHED, json.dumps(note))
        self._back.intake.hand_over(wish.orthanc_id, wish.now, wish.priority)
        return JSONResponse({"id": wish.orthanc_id}, 202)

    def _begins_anew(self, job: Job, wish: Wish) -> bool:
        """A job at its end, or one that is wished with other models; one that was erased is pulled once more."""
        wanted = wish.models is not None or job.ended or job.state is State.DELIVERED
        return wanted and not self._back.records.erased(job.id)

    async def _show(self, request: Request) -> JSONResponse:
        orthanc_id = str(request.path_params["id"])
        if not ORTHANC_ID.fullmatch(orthanc_id):
            return JSONResponse({"error": "that is no id of an Orthanc series"}, 404)
        job = await run_in_threadpool(self._job, orthanc_id)
        return JSONResponse({"error": "not seen yet"}, 404) if job is None else JSONResponse(_told(job))

    async def _all(self, _request: Request) -> JSONResponse:
        jobs = await run_in_threadpool(lambda: self._back.records.find(limit=500))
        return JSONResponse([_told(job) for job in jobs])

    def _job(self, orthanc_id: str) -> Job | None:
        series_uid = self._back.intake.series_of(orthanc_id)
        found = self._back.records.find(series_uid=series_uid, limit=10) if series_uid else []
        return next((job for job in found if job.state is not State.SUPERSEDED), found[0] if found else None)


def wish_of(asked: Any) -> Wish:
    """The wish in a request's JSON; ValueError says what is wrong with it."""
    if not isinstance(asked, dict) or not isinstance(asked.get("id"), str):
        raise ValueError('a JSON object with "id" is wanted')
    if unknown := sorted(set(asked) - KEYS):
        raise ValueError(f"{unknown[0]!r} is not known; a series is run with models and priority")
    now, models = asked.get("now") is True, asked.get("models")
    if models is not None and not (isinstance(models, list) and all(isinstance(name, str) for name in models)):
        raise ValueError('"models" is a list of names')
    priority = asked.get("priority", URGENT if now else NORMAL)
    if type(priority) is not int or not URGENT <= priority <= LAST:
        raise ValueError(f'"priority" is a number from {URGENT}, served first, to {LAST}')
    return Wish(asked["id"], now, None if models is None else tuple(models), priority)


def _told(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "series": job.series_uid,
        "state": str(job.state),
        "phase": job.phase,
        "progress": job.progress,
        "reason": job.reason,
        "priority": job.priority,
        "models": list(job.models),
        "verdict": None if job.verdict is None else asdict(job.verdict),
        "results": list(job.results),
    }
