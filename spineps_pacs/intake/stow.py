"""Images in by STOW-RS (PS3.18 10.5): the parts of a request stream to disk and enter by the same door."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spineps_pacs.domain.errors import SpinepsPacsError, TryAgain
from spineps_pacs.intake.dimse import Door
from spineps_pacs.intake.multipart import Parts
from spineps_pacs.intake.reception import Arrival, Source

NO_ROOM, CANNOT_READ, FAULT = 0xA700, 0xC000, 0x0110
DICOM_JSON = "application/dicom+json"
SOURCE = Source("stow")


@dataclass(frozen=True)
class StowLimits:
    """Who may store, and how much at once; an empty token lets everybody in (loopback only)."""

    token: str = ""
    max_body_bytes: int = 4 << 30


@dataclass
class _Outcome:
    """What became of the parts of one request."""

    stored: list[Arrival] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)


def stow_app(door: Door, staging: Path, room: Callable[[], bool], limits: Callable[[], StowLimits]) -> Starlette:
    """The application: POST /studies, POST /studies/{study}."""
    service = _Stow(door, staging, room, limits)
    paths = ("/studies", "/studies/{study}")
    return Starlette(routes=[Route(path, service.store, methods=["POST"]) for path in paths])


class _Stow:
    def __init__(self, door: Door, staging: Path, room: Callable[[], bool], limits: Callable[[], StowLimits]) -> None:
        self._door = door
        self._staging = staging
        self._room = room
        self._limits = limits

    async def store(self, request: Request) -> Response:
        """One request with any number of instances."""
        limits = self._limits()
        if limits.token and not _knows(request.headers.get("authorization", ""), limits.token):
            return JSONResponse({"error": "a token is needed"}, 401, {"WWW-Authenticate": "Bearer"})
        kind, options = parse_options_header(request.headers.get("content-type"))
        if kind != b"multipart/related" or b"boundary" not in options:
            return JSONResponse({"error": "multipart/related with application/dicom parts is wanted"}, 415)
        if not self._room():
            return JSONResponse({"error": "the disk is full; try again later"}, 503, {"Retry-After": "300"})
        parts = Parts(options[b"boundary"], self._staging)
        try:
            refusal = await _receive(request, parts, limits.max_body_bytes)
            if refusal is not None:
                return refusal
            outcome = await run_in_threadpool(self._take, parts.files, request.path_params.get("study"))
        finally:
            parts.tidy()
        return _answer(outcome)

    def _take(self, files: list[Path], study: str | None) -> _Outcome:
        outcome = _Outcome()
        for path in files:
            try:
                arrival = self._door.arrived(path, SOURCE, study)
            except TryAgain:
                outcome.failed.append(NO_ROOM)
            except SpinepsPacsError:
                outcome.failed.append(CANNOT_READ)
            except OSError:
                outcome.failed.append(FAULT)
            else:
                outcome.stored.append(arrival)
        self._door.released(sorted({arrival.key for arrival in outcome.stored}))
        return outcome


async def _receive(request: Request, parts: Parts, most: int) -> Response | None:
    """Writes the body to disk; gives the refusal of one that is too long, cut or not multipart, or has no room."""
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > most:
                return JSONResponse({"error": f"more than {most} bytes"}, 413)
            await run_in_threadpool(parts.write, chunk)
        await run_in_threadpool(parts.finish)
    except (ValueError, ClientDisconnect):
        return JSONResponse({"error": "the body is not multipart, or was cut"}, 400)
    except OSError:
        return JSONResponse({"error": "the disk takes nothing now; try again later"}, 503, {"Retry-After": "300"})
    return None


def _knows(header: str, token: str) -> bool:
    return hmac.compare_digest(header.encode(), f"Bearer {token}".encode())


def _answer(outcome: _Outcome) -> Response:
    """PS3.18 10.5.3: 200 all stored, 202 some, 409 none (503 when for want of room)."""
    body: dict[str, Any] = {}
    if outcome.stored:
        items = [_item(a.sop_class_uid, a.sop_instance_uid) for a in outcome.stored]
        body["00081199"] = {"vr": "SQ", "Value": items}
    if outcome.failed:
        items = [{"00081197": {"vr": "US", "Value": [reason]}} for reason in outcome.failed]
        body["00081198"] = {"vr": "SQ", "Value": items}
    if not outcome.stored:
        return JSONResponse(body, 503 if NO_ROOM in outcome.failed else 409, media_type=DICOM_JSON)
    return JSONResponse(body, 202 if outcome.failed else 200, media_type=DICOM_JSON)


def _item(sop_class: str, instance: str) -> dict[str, Any]:
    return {"00081150": {"vr": "UI", "Value": [sop_class]}, "00081155": {"vr": "UI", "Value": [instance]}}
