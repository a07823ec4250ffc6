"""The REST interface under /api, as openapi.json describes it, and what monitors ask: health, readiness, metrics."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from spineps_pacs.domain.errors import SpinepsPacsError
from spineps_pacs.domain.job import Job, State
from spineps_pacs.web import words
from spineps_pacs.web.actions import audited, doing
from spineps_pacs.web.board import Wanted
from spineps_pacs.web.guard import HEADER, csrf, same_person
from spineps_pacs.web.metrics import exposition
from spineps_pacs.web.pages import HERE, Desk

DESCRIPTION = HERE / "openapi.json"
LARGEST = 500
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Api:
    """Handlers that answer JSON."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def description(self, _request: Request) -> Response:
        """The OpenAPI description of all this."""
        return FileResponse(DESCRIPTION, media_type="application/json")

    def status(self, request: Request) -> Response:
        """How many series are in which state; and the token that a POST from this browser needs."""
        counts = self._desk.board.counts()
        _, token = csrf(request, self._desk.access)
        return JSONResponse({"states": {s.value: counts.get(s, 0) for s in State}, "csrf": token})

    def jobs(self, request: Request) -> Response:
        """Jobs by filter."""
        wanted = _wanted(request)
        if isinstance(wanted, str):
            return JSONResponse({"error": wanted}, 400)
        found = self._desk.board.jobs(wanted)
        return JSONResponse({"total": found.total, "page": wanted.page, "jobs": [plain(job) for job in found.jobs]})

    def job(self, request: Request) -> Response:
        """One job with verdict, timeline and receipts."""
        detail = self._desk.board.job(request.path_params["job"])
        if detail is None:
            return _unknown()
        receipts = {name: [asdict(r) for r in given] for name, given in detail.receipts.items()}
        more = {"timeline": [asdict(e) for e in detail.timeline], "receipts": receipts, "erased": detail.erased}
        return JSONResponse(plain(detail.job) | more)

    def report(self, request: Request) -> Response:
        """report.json of a job."""
        detail = self._desk.board.job(request.path_params["job"])
        return _unknown() if detail is None or detail.report is None else JSONResponse(dict(detail.report))

    def health(self, _request: Request) -> Response:
        """Disk, peers, models."""
        health = self._desk.board.health()
        return JSONResponse(asdict(health) | {"good": health.good})

    def models(self, _request: Request) -> Response:
        """Which models a re-run may take."""
        return JSONResponse({kind: list(names) for kind, names in self._desk.board.choices().items()})

    def drift(self, _request: Request) -> Response:
        """Each scanner in each week."""
        rows = [asdict(row) | {"reasons": dict(row.reasons)} for row in self._desk.board.drift()]
        return JSONResponse({"rows": rows})

    async def act(self, request: Request) -> Response:
        """Retry, cancel or re-run one job."""
        if not same_person(request, self._desk.access, request.headers.get(HEADER, "")):
            return JSONResponse({"error": f"show the token as Bearer, or send {HEADER}"}, 403)
        try:
            models = await wished_models(request)
        except ValueError:
            return JSONResponse({"error": 'the body is empty, or JSON as {"models": ["a name"]}'}, 400)
        job, name = request.path_params["job"], request.path_params["name"]
        act = audited(self._desk, request, name, doing(self._desk.board, name, models))
        if await run_in_threadpool(self._desk.board.job, job) is None:
            return _unknown()
        try:
            await run_in_threadpool(act, job)
        except SpinepsPacsError as reason:
            return JSONResponse({"error": str(reason)}, 409)
        after = await run_in_threadpool(self._desk.board.job, job)
        return _unknown() if after is None else JSONResponse(plain(after.job), 202)

    def healthz(self, _request: Request) -> Response:
        """The process answers."""
        return JSONResponse({"status": "ok"})

    def readyz(self, _request: Request) -> Response:
        """The node can take series."""
        ready = self._desk.board.ready()
        return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    def metrics(self, _request: Request) -> Response:
        """For Prometheus."""
        content = exposition(self._desk.board, self._desk.clock)
        return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")


async def wished_models(request: Request) -> tuple[str, ...] | None:
    """The models that the body of a re-run names, () for the node's own; None without a body; raises ValueError."""
    body = await request.body()
    if request.path_params["name"] != "rerun" or not body:
        return None
    wish = json.loads(body)
    names = wish["models"] if isinstance(wish, dict) and set(wish) == {"models"} else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("models is a list of names")
    return tuple(names)


def plain(job: Job) -> dict[str, Any]:
    """A job as JSON takes it."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(job)))
    return found


def _unknown() -> Response:
    return JSONResponse({"error": "no job has that id, or it has no report"}, 404)


def _wanted(request: Request) -> Wanted | str:
    """The filter, or a sentence that says what is wrong with it."""
    asked = request.query_params
    state = asked.get("state")
    if state is not None and state not in set(State):
        return f"state is one of {', '.join(State)}"
    numbers = {}
    for name, usual, most in (("page", 1, 1_000_000), ("size", 50, LARGEST)):
        text = asked.get(name, str(usual))
        if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= most):
            return f"{name} is a number from 1 to {most}"
        numbers[name] = int(text)
    for name in ("since", "until"):
        if name in asked and not _is_day(asked[name]):
            return f"{name} is a day, as 2026-03-01"
    return Wanted(
        State(state) if state else None,
        asked.get("source", ""),
        asked.get("reason", ""),
        words.seconds_of(asked.get("since", "")),
        words.seconds_of(asked.get("until", ""), end=True),
        **numbers,
    )


def _is_day(text: str) -> bool:
    """Whether it is a date as RFC 3339 writes one, and not before the epoch."""
    return bool(_DAY.fullmatch(text)) and (text == "1970-01-01" or words.seconds_of(text) > 0)
