"""Who may see the pages: loopback, token, or a proxy that logs people in; and the headers that every answer carries."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

SESSION, NONCE, FIELD, HEADER = "spineps_session", "spineps_csrf", "csrf", "x-csrf-token"
SESSION_S = 12 * 3600
NOBODY = "operator"
"""The name in the audit trail of whoever has the token, or sits at this machine: tokens have no names."""
OPEN = ("/static/", "/healthz", "/readyz", "/login")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class Access:
    """Who may look: on loopback everybody on this machine, unless a token or a proxy is named."""

    token: str = ""
    proxy: str = ""
    proxy_header: str = "X-Forwarded-User"
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def anyone(self) -> bool:
        """True when nothing is asked for."""
        return not self.token and not self.proxy


def signed(key: bytes, text: str) -> str:
    """A signature that only this process can make."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def session_cookie(access: Access, now: float) -> str:
    """What a browser keeps after it showed the token; worthless once token or process changed."""
    until = str(int(now + SESSION_S))
    return f"{until}.{signed(access.key, access.token + until)}"


def session_holds(access: Access, cookie: str, now: float) -> bool:
    """Whether the cookie is ours and not over."""
    until, _, signature = cookie.partition(".")
    genuine = hmac.compare_digest(signature.encode(), signed(access.key, access.token + until).encode())
    return genuine and until.isdigit() and int(until) > now


def shows_token(access: Access, given: str) -> bool:
    """Compares in constant time."""
    return bool(access.token) and hmac.compare_digest(given.encode(), access.token.encode())


def bearer(request: Request) -> str:
    """The token of an Authorization header."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def by_proxy(request: Request, access: Access) -> bool:
    """Whether the trusted proxy itself calls; what anybody else says of whom they forward is not believed."""
    return bool(access.proxy) and request.client is not None and request.client.host == access.proxy


def visitor(request: Request, access: Access) -> tuple[str, str]:
    """Who asks, as far as it is known: the name that a trusted proxy gives, and the address."""
    client = request.client.host if request.client else ""
    named = request.headers.get(access.proxy_header, "") if by_proxy(request, access) else ""
    return "".join(c for c in named if c.isprintable())[:128] or NOBODY, client


def may_enter(request: Request, access: Access, now: float) -> bool:
    """Whether this request comes from somebody who may look."""
    if access.anyone:
        return is_local(request.url.hostname or "")
    if by_proxy(request, access) and request.headers.get(access.proxy_header):
        return True
    if shows_token(access, bearer(request)):
        return True
    return bool(access.token) and session_holds(access, request.cookies.get(SESSION, ""), now)


def is_local(name: str) -> bool:
    """Whether a browser called us by a name of this machine; a foreign name that leads here is somebody's trick."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def csrf(request: Request, access: Access) -> tuple[str, str]:
    """The browser's nonce, made when it has none, and the token that a form must carry beside it."""
    nonce = request.cookies.get(NONCE) or request.scope.setdefault("csrf_nonce", secrets.token_hex(16))
    return nonce, signed(access.key, f"csrf {nonce}")


def same_person(request: Request, access: Access, given: str) -> bool:
    """Whether a POST comes from a page of ours: the token fits the nonce, and the origin is our own."""
    if shows_token(access, bearer(request)):
        return True
    origin = request.headers.get("origin", "")
    if origin and origin.split("://")[-1] != request.headers.get("host", "") and not access.proxy:
        return False
    nonce = request.cookies.get(NONCE, "")
    return bool(nonce) and hmac.compare_digest(given.encode(), signed(access.key, f"csrf {nonce}").encode())


class Guard:
    """Stands before the application: lets in who may look, and adds the headers to every answer."""

    def __init__(self, app: Any, access: Access, clock: Callable[[], float] = time.time) -> None:
        self._app = app
        self._access = access
        self._clock = clock

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if by_proxy(request, self._access) and request.headers.get("x-forwarded-proto") == "https":
            scope = {**scope, "scheme": "https"}  # so that cookies are Secure
            request = Request(scope)

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers(request)]
            await send(message)

        answer = self._refusal(request)
        await (answer or self._app)(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if request.url.path.startswith(OPEN) or may_enter(request, self._access, self._clock()):
            return None
        if self._access.anyone:
            return PlainTextResponse("This page is for browsers on this machine.", 403)
        if request.url.path.startswith(("/api", "/metrics")) or not self._access.token:
            return JSONResponse({"error": "log in first, or show a token"}, 401, {"WWW-Authenticate": "Bearer"})
        if request.headers.get("hx-request"):
            return Response(status_code=401, headers={"HX-Redirect": "/login"})
        return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)

    def _headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        added = dict(HEADERS.items())
        if not request.url.path.startswith("/static/"):
            added["cache-control"] = "no-store"
        nonce = request.scope.get("csrf_nonce")
        if nonce:
            secure = "; Secure" if request.url.scheme == "https" else ""
            added["set-cookie"] = f"{NONCE}={nonce}; Path=/; HttpOnly; SameSite=Strict{secure}"
        return [(name.encode(), value.encode()) for name, value in added.items()]
