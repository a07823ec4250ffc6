"""A web application on a port of this process: started, asked for its port, stopped."""

from __future__ import annotations

import socket
import threading
from typing import Any

import structlog
import uvicorn

from spineps_pacs.domain.errors import SettingsError


class Serving:
    """Runs an ASGI application in a thread of its own."""

    def __init__(self, app: Any, host: str, port: int) -> None:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise SettingsError(f"port {port} of {host} cannot be opened: {error.strerror}") from error
        self.port = int(self._socket.getsockname()[1])
        self._server = uvicorn.Server(_config(app))
        self._thread = threading.Thread(target=self._run, name=f"web-{self.port}", daemon=True)

    def start(self) -> int:
        """Begins to answer; gives the port."""
        self._thread.start()
        return self.port

    def stop(self) -> None:
        """Answers what was asked, and ends."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(10.0)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


def _config(app: Any) -> uvicorn.Config:
    """Who called is what the socket says; whether a proxy is believed is the application's decision."""
    quiet: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off"}
    return uvicorn.Config(_told(app), proxy_headers=False, timeout_graceful_shutdown=5, **quiet)


def _told(app: Any) -> Any:
    """The application; a fault of ours is logged by its place alone, since its text may quote what was sent."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            structlog.get_logger("spineps_pacs").error("a request could not be answered", exc_info=error)
            raise

    return served
