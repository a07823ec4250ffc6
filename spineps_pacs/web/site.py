"""The application: every address of the operator's page and of the interface, behind the guard."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from spineps_pacs.web.actions import Actions
from spineps_pacs.web.api import Api
from spineps_pacs.web.guard import Guard
from spineps_pacs.web.pages import HERE, Desk, Pages


def site(desk: Desk) -> Any:
    """The whole site as one ASGI application."""
    inner = Starlette(
        routes=[*_pages(Pages(desk)), *_actions(Actions(desk)), *_api(Api(desk)), _static()],
        exception_handlers={404: _not_found, 405: _not_allowed},
    )
    return Guard(inner, desk.access, desk.clock)


def _pages(pages: Pages) -> list[Route]:
    return [
        Route("/", pages.now),
        Route("/series", pages.series),
        Route("/series/{job}", pages.one),
        Route("/series/{job}/result", pages.result),
        Route("/series/{job}/file/{name}", pages.file),
        Route("/series/{job}/object/{name}", pages.object),
        Route("/trouble", pages.trouble),
        Route("/health", pages.health),
        Route("/drift", pages.drift),
        Route("/parts/series/{job}", pages.part),
        Route("/parts/{name}", pages.part),
    ]


def _actions(actions: Actions) -> list[Route]:
    return [
        Route("/do/{name}", actions.act, methods=["POST"]),
        Route("/login", actions.login, methods=["GET", "POST"]),
        Route("/logout", actions.logout, methods=["POST"]),
    ]


def _api(api: Api) -> list[Route]:
    return [
        Route("/api/openapi.json", api.description),
        Route("/api/status", api.status),
        Route("/api/jobs", api.jobs),
        Route("/api/jobs/{job}", api.job),
        Route("/api/jobs/{job}/report", api.report),
        *(
            Route(f"/api/jobs/{{job}}/{name}", _named(api, name), methods=["POST"])
            for name in ("retry", "cancel", "rerun")
        ),
        Route("/api/health", api.health),
        Route("/api/models", api.models),
        Route("/api/drift", api.drift),
        Route("/healthz", api.healthz),
        Route("/readyz", api.readyz),
        Route("/metrics", api.metrics),
    ]


def _named(api: Api, name: str) -> Any:
    async def act(request: Request) -> Response:
        request.path_params["name"] = name
        return await api.act(request)

    return act


def _static() -> Mount:
    return Mount("/static", StaticFiles(directory=HERE / "static"), name="static")


async def _not_found(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"error": "there is nothing at this address"}, 404)


async def _not_allowed(request: Request, error: Exception) -> Response:
    headers = getattr(error, "headers", None)
    return JSONResponse({"error": f"{request.method} is not possible here"}, 405, headers)
