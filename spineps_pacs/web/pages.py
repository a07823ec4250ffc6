"""The pages: each takes what the board knows and fills one template; a live part answers 204 when nothing changed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from spineps_pacs.domain.audit import Audit, unheard
from spineps_pacs.domain.job import Job, State
from spineps_pacs.web import charts, words
from spineps_pacs.web.board import Board, Detail, DriftRow, Wanted
from spineps_pacs.web.guard import Access, csrf

HERE = Path(__file__).parent
LIVE = {"now": "now_part.html", "series": "series_part.html", "one": "one_part.html", "trouble": "trouble_part.html",
        "health": "health_part.html"}  # fmt: skip
WORDS = ("short", "successor", "moment", "span", "size", "percent", "mark", "unit")
TROUBLED = (State.FAILED, State.DEAD_LETTER)
MOST_TROUBLES = 500


def load_templates() -> Environment:
    """The templates, with our words as filters; everything is escaped."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters |= {name: getattr(words, name) for name in WORDS}
    made.globals |= {"line_chart": charts.line_chart, "State": State}
    return made


@dataclass
class Desk:
    """What every handler needs: the board, who may look, whether patients are shown, the time, who is told of deeds."""

    board: Board
    access: Access = field(default_factory=Access)
    show_patient: bool = False
    clock: Callable[[], float] = time.time
    audit: Audit = unheard
    templates: Environment = field(default_factory=load_templates)

    def fill(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """A whole page."""
        _, token = csrf(request, self.access)
        common = {"request": request, "csrf": token, "now": self.clock(), "path": request.url.path}
        common |= {"show_patient": self.show_patient, "login": bool(self.access.token)}
        return HTMLResponse(self.templates.get_template(template).render(**common, **values), status)

    def live(self, request: Request, part: str, values: dict[str, Any]) -> Response:
        """A part that renews itself; nothing is sent while it is as the browser has it."""
        content = self.part(request, part, values)
        seen = content.partition('data-seen="')[2].partition('"')[0]
        return Response(status_code=204) if request.query_params.get("seen") == seen else HTMLResponse(content)

    def part(self, request: Request, part: str, values: dict[str, Any]) -> str:
        """The live part as HTML, wrapped so that the browser asks for it again."""
        _, token = csrf(request, self.access)
        template = self.templates.get_template(LIVE[part])
        inner = template.render(csrf=token, now=self.clock(), show_patient=self.show_patient, **values)
        seen = hashlib.sha256(inner.encode()).hexdigest()[:16]
        query = urlencode([(k, v) for k, v in request.query_params.multi_items() if k != "seen"] + [("seen", seen)])
        path = request.url.path.removeprefix("/parts")
        address = f"/parts{'/now' if path in ('/', '/now') else path}?{query}"
        return self.templates.get_template("live.html").render(inner=inner, seen=seen, address=address)


class Pages:
    """Handlers of the pages and of their live parts."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def now(self, request: Request) -> Response:
        """What is on its way."""
        return self._page(request, "now", self._now())

    def series(self, request: Request) -> Response:
        """The list, filtered."""
        return self._page(request, "series", self._series(request))

    def one(self, request: Request) -> Response:
        """One series: verdict, timeline, deliveries, models, flags."""
        detail = self._detail(request)
        return self._missing(request) if detail is None else self._page(request, "one", self._one(detail))

    def result(self, request: Request) -> Response:
        """Pictures, levels and measurements."""
        detail = self._detail(request)
        if detail is None or detail.report is None:
            return self._missing(request)
        board, job_id = self._desk.board, detail.job.id
        values: dict[str, Any] = {"detail": detail, "report": detail.report, "pictures": board.pictures(job_id)}
        values |= {"objects": board.objects(job_id), "numbers": by_subject(detail.report)}
        return self._desk.fill(request, "result.html", **values)

    def trouble(self, request: Request) -> Response:
        """Failed and dead letters, by reason."""
        return self._page(request, "trouble", self._trouble())

    def health(self, request: Request) -> Response:
        """Disk, peers, models, queue."""
        return self._page(request, "health", self._health())

    def drift(self, request: Request) -> Response:
        """Each scanner over the weeks."""
        return self._desk.fill(request, "drift.html", scanners=by_scanner(self._desk.board.drift()))

    def part(self, request: Request) -> Response:
        """The live part of a page."""
        if "job" in request.path_params:
            detail = self._detail(request)
            return self._missing(request) if detail is None else self._desk.live(request, "one", self._one(detail))
        name = request.path_params["name"]
        makers = {"now": self._now, "trouble": self._trouble, "health": self._health}
        if name != "series" and name not in makers:
            return self._missing(request)
        values = self._series(request) if name == "series" else makers[name]()
        return self._desk.live(request, name, values)

    def file(self, request: Request) -> Response:
        """A picture or table of a result."""
        found = self._desk.board.file(request.path_params["job"], request.path_params["name"])
        return self._missing(request) if found is None else FileResponse(found)

    def object(self, request: Request) -> Response:
        """A result object, where patients are shown."""
        job, name = request.path_params["job"], request.path_params["name"]
        found = self._desk.board.object(job, name) if self._desk.show_patient else None
        return self._missing(request) if found is None else FileResponse(found, media_type="application/dicom")

    def _page(self, request: Request, part: str, values: dict[str, Any]) -> Response:
        live = self._desk.part(request, part, values)
        return self._desk.fill(request, f"{part}.html", live=live, **values)

    def _missing(self, request: Request) -> Response:
        return self._desk.fill(request, "missing.html", 404)

    def _detail(self, request: Request) -> Detail | None:
        return self._desk.board.job(request.path_params["job"])

    def _now(self) -> dict[str, Any]:
        board = self._desk.board
        counts = board.counts()
        usual = board.eta_s()
        rows = [(job, left_s(job, usual)) for job in board.active()]
        return {
            "rows": rows,
            "arriving": board.arriving(),
            "counts": [(state, counts[state]) for state in State if counts.get(state)],
        }

    def _series(self, request: Request) -> dict[str, Any]:
        wanted = read_wanted(request)
        listing = self._desk.board.jobs(wanted)
        pages = max(1, -(-listing.total // wanted.size))
        query = {k: v for k, v in request.query_params.items() if k not in ("page", "seen")}
        steps = {step: "?" + urlencode(query | {"page": wanted.page + step}) for step in (-1, 1)}
        return {"listing": listing, "wanted": wanted, "pages": pages, "query": query, "steps": steps,
                "sources": self._desk.board.sources()}  # fmt: skip

    def _one(self, detail: Detail) -> dict[str, Any]:
        return {"detail": detail, "job": detail.job, "report": detail.report, "advice": words.advice(detail.job.reason),
                "choices": self._desk.board.choices()}  # fmt: skip

    def _trouble(self) -> dict[str, Any]:
        board = self._desk.board
        listings = [board.jobs(Wanted(state=state, size=MOST_TROUBLES)) for state in TROUBLED]
        return {
            "groups": words.grouped(job for listing in listings for job in listing.jobs),
            "total": sum(listing.total for listing in listings),
            "choices": board.choices(),
        }

    def _health(self) -> dict[str, Any]:
        return {"health": self._desk.board.health()}


def read_wanted(request: Request) -> Wanted:
    """The filter of an address; what makes no sense filters nothing."""
    asked = request.query_params
    page = asked.get("page", "1")
    state = asked.get("state", "")
    return Wanted(
        state=State(state) if state in set(State) else None,
        source=asked.get("source", "")[:64],
        reason=asked.get("reason", "")[:200],
        since=words.seconds_of(asked.get("since", "")),
        until=words.seconds_of(asked.get("until", ""), end=True),
        page=max(1, int(page)) if page.isdecimal() and len(page) < 7 else 1,
    )


def left_s(job: Job, usual: float | None) -> float | None:
    """How long an analysis will still take, by what they usually take; None where that cannot be said."""
    if usual is None or job.state is not State.ANALYSING:
        return None
    return max(0.0, usual * (1 - job.progress))


def by_subject(report: Any) -> list[tuple[str, list[Any]]]:
    """Measurements of a report, gathered by what was measured."""
    found: dict[str, list[Any]] = {}
    for number in report.get("measurements", ()):
        name = number["subject_name"] or "spine"
        found.setdefault(f"{name} to {number['other_name']}" if number["other_name"] else name, []).append(number)
    return list(found.items())


def by_scanner(rows: Any) -> list[tuple[str, list[DriftRow]]]:
    """Drift rows by scanner, weeks ascending."""
    found: dict[str, list[DriftRow]] = {}
    for row in sorted(rows, key=lambda row: (row.source, row.week)):
        found.setdefault(row.source, []).append(row)
    return list(found.items())
