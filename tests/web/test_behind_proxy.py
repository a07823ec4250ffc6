"""Behind a reverse proxy: who called is what the socket says, and only the named proxy is believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from spineps_pacs.intake.serving import Serving
from spineps_pacs.web.guard import Access
from spineps_pacs.web.pages import Desk
from spineps_pacs.web.site import site
from web.board_twin import TwinBoard

TOKEN = "a-long-secret"


@contextmanager
def served(access: Access) -> Iterator[str]:
    """The site on a port of this machine, over a real socket: whoever calls, calls from 127.0.0.1."""
    serving = Serving(site(Desk(TwinBoard(), access)), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{serving.start()}"
    finally:
        serving.stop()


@pytest.mark.parametrize("named", ["192.0.2.9", "192.0.2.9, 127.0.0.1"])
def test_nobody_becomes_the_proxy_by_saying_so(named: str) -> None:
    """A process of this machine that forwards itself from the proxy's address stays outside without the token."""
    said = {"x-forwarded-for": named, "x-forwarded-user": "root", "forwarded": f"for={named}"}
    with served(Access(TOKEN, proxy="192.0.2.9")) as address:
        assert requests.get(f"{address}/api/jobs", headers=said, timeout=10).status_code == 401
        shown = said | {"authorization": f"Bearer {TOKEN}"}
        assert requests.get(f"{address}/api/jobs", headers=shown, timeout=10).status_code == 200


def test_a_proxy_that_says_whom_it_forwards_is_still_the_proxy() -> None:
    """Its X-Forwarded-For names the browser; whom it logged in gets in, and without a name nobody does."""
    said = {"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https"}
    with served(Access(proxy="127.0.0.1")) as address:
        named = requests.get(f"{address}/api/jobs", headers=said | {"x-forwarded-user": "mtra"}, timeout=10)
        assert named.status_code == 200
        assert requests.get(f"{address}/api/jobs", headers=said, timeout=10).status_code == 401


@pytest.mark.parametrize(("proxy", "secure"), [("127.0.0.1", True), ("192.0.2.9", False), ("", False)])
def test_cookies_are_secure_where_the_proxy_speaks_tls(proxy: str, secure: bool) -> None:
    """The named proxy says that the browser came by HTTPS; what anybody else says of it changes nothing."""
    with served(Access(TOKEN, proxy=proxy)) as address:
        answer = requests.get(f"{address}/login", headers={"x-forwarded-proto": "https"}, timeout=10)
        assert answer.status_code == 200
        assert ("; Secure" in answer.headers["set-cookie"]) is secure
