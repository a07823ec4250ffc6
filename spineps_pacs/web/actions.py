"""The buttons: retry, cancel and re-run, for one series or many; and the login."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from spineps_pacs.domain.audit import (
    CANCELLED,
    EXECUTE,
    LOGIN,
    LOGOUT,
    PROCEDURE,
    RERUN,
    RETRIED,
    UPDATE,
    USER_AUTHENTICATION,
    AuditEvent,
    Code,
)
from spineps_pacs.domain.bell import Bell
from spineps_pacs.domain.errors import SpinepsPacsError
from spineps_pacs.web.board import Board
from spineps_pacs.web.guard import FIELD, HEADER, SESSION, SESSION_S, same_person, session_cookie, shows_token, visitor
from spineps_pacs.web.pages import Desk

NAMES = ("retry", "cancel", "rerun")
PRESSED = dict(zip(NAMES, (RETRIED, CANCELLED, RERUN), strict=True))
TOLD_EVERY_S = 1.0
MOST = 500


def doing(board: Board, name: str, models: Sequence[str] | None = None) -> Callable[[str], None]:
    """The action of a button; `models` matters to a re-run only."""
    if name == "rerun":
        return lambda job: board.rerun(job, models)
    return {"retry": board.retry, "cancel": board.cancel}[name]


def audited(desk: Desk, request: Request, name: str, act: Callable[[str], None]) -> Callable[[str], None]:
    """The same, told to the audit trail before it is done; what is refused then is told as well."""
    who, address = visitor(request, desk.access)

    def done(job: str) -> None:
        detail = desk.board.job(job)
        study = "" if detail is None or detail.erased else detail.job.study_uid
        event = AuditEvent(PROCEDURE, UPDATE, who, PRESSED[name], address=address, study_uid=study)
        desk.audit(event)
        try:
            act(job)
        except SpinepsPacsError:
            desk.audit(replace(event, succeeded=False))
            raise

    return done


def do_all(act: Callable[[str], None], jobs: Iterable[str]) -> list[tuple[str, str]]:
    """Does it to each; gives the jobs to which it could not be done, with the reason."""
    refused = []
    for job in jobs:
        try:
            act(job)
        except SpinepsPacsError as reason:
            refused.append((job, str(reason)))
    return refused


def chosen_models(form: FormData) -> tuple[str, ...] | None:
    """What a page's lists of models say: names, () for the node's own; None where the page has no such list."""
    asked = [str(name) for name in form.getlist("models")]
    return tuple(name for name in asked if name) if asked else None


class Actions:
    """Handlers of what is posted."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._guesses = Bell(TOLD_EVERY_S)

    async def act(self, request: Request) -> Response:
        """A button of a page: `jobs` names one or more."""
        form = await request.form()
        if not same_person(request, self._desk.access, str(form.get(FIELD) or request.headers.get(HEADER, ""))):
            return PlainTextResponse("This form is too old or not ours; load the page again.", 403)
        name, jobs = str(request.path_params["name"]), [str(job) for job in form.getlist("jobs")][:MOST]
        if name not in NAMES or not jobs:
            return PlainTextResponse("Choose at least one series, then press the button again.", 400)
        act = audited(self._desk, request, name, doing(self._desk.board, name, chosen_models(form)))
        refused = await run_in_threadpool(do_all, act, jobs)
        values: dict[str, Any] = {"name": name, "done": len(jobs) - len(refused), "refused": refused}
        if request.headers.get("hx-request"):
            return self._desk.fill(request, "done_part.html", **values)
        return self._desk.fill(request, "done.html", **values)

    async def login(self, request: Request) -> Response:
        """Shows the form, or takes the token."""
        if request.method == "GET":
            return self._desk.fill(request, "login.html", wrong=False, next=local(request.query_params.get("next")))
        form = await request.form()
        access = self._desk.access
        if not same_person(request, access, str(form.get(FIELD, ""))):
            return PlainTextResponse("This form is too old or not ours; load the page again.", 403)
        genuine = shows_token(access, str(form.get("token", "")))
        untold = await run_in_threadpool(self._tell, request, LOGIN, genuine)
        if untold is not None:
            return untold
        if not genuine:
            return self._desk.fill(request, "login.html", 403, wrong=True, next=local(str(form.get("next", "/"))))
        answer = RedirectResponse(local(str(form.get("next", "/"))), 303)
        cookie = session_cookie(access, self._desk.clock())
        secure = request.url.scheme == "https"
        answer.set_cookie(SESSION, cookie, SESSION_S, httponly=True, samesite="strict", secure=secure)
        return answer

    async def logout(self, request: Request) -> Response:
        """Forgets the browser."""
        form = await request.form()
        if not same_person(request, self._desk.access, str(form.get(FIELD, ""))):
            return PlainTextResponse("This form is too old or not ours; load the page again.", 403)
        await run_in_threadpool(self._tell, request, LOGOUT, True)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(SESSION)
        return answer

    def _tell(self, request: Request, kind: Code, succeeded: bool) -> Response | None:
        """Tells the audit trail of a login; the answer where that cannot be. One who guesses is told once a second."""
        who, address = visitor(request, self._desk.access)
        if not succeeded and not self._guesses.rings(address):
            return None
        event = AuditEvent(USER_AUTHENTICATION, EXECUTE, who, kind, succeeded=succeeded, address=address)
        try:
            self._desk.audit(event)
        except SpinepsPacsError as reason:
            return PlainTextResponse(f"{reason}\n", 503)
        return None


def local(address: str | None) -> str:
    """An address on this site; anything else leads to the first page."""
    fine = bool(address) and str(address).startswith("/") and not str(address).startswith(("//", "/\\"))
    return str(address) if fine else "/"
