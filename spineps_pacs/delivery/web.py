"""What all HTTP peers have in common: a session with credentials, time limits, and errors that become reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

from spineps_pacs.delivery.peer import TlsFiles
from spineps_pacs.domain.errors import TryAgain

NONSENSE = (ValueError, KeyError, TypeError, AttributeError)
"""What an answer raises that is not as the standard has it."""


class Session(requests.Session):
    """A session whose every request has a time limit, and that never follows the environment to a proxy."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self.trust_env = False
        self._timeout_s = timeout_s

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Any request, bounded."""
        kwargs.setdefault("timeout", self._timeout_s)
        return super().request(*args, **kwargs)


@dataclass(frozen=True)
class WebPeer:
    """An HTTP peer: address, who we are to it, and how long it may take."""

    url: str
    user: str = ""
    password: str = ""
    token: str = ""
    timeout_s: float = 30.0
    tls: TlsFiles | None = None

    def session(self) -> Session:
        """A session with our credentials; with our certificate, and the site's own authority, where they are named."""
        session = Session(self.timeout_s)
        if self.user:
            session.auth = (self.user, self.password)
        if self.token:
            session.headers["Authorization"] = f"Bearer {self.token}"
        if self.tls is not None:
            self.tls.context()  # a file that cannot be used is named now, and not taken for a peer that is down
            session.cert = (str(self.tls.certificate), str(self.tls.key))
            session.verify = str(self.tls.authority) if self.tls.authority else True
        return session


def unreachable(name: str, error: Exception) -> TryAgain:
    """What went wrong with a peer, without its address or what was sent."""
    response = getattr(error, "response", None)
    if response is not None:
        return TryAgain(f"{name} answers {response.status_code}")
    if isinstance(error, NONSENSE) and not isinstance(error, requests.RequestException):
        return TryAgain(f"{name} answers what cannot be understood: {type(error).__name__}")
    return TryAgain(f"{name} cannot be reached: {type(error).__name__}")
