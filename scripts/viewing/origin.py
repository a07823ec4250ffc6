"""One origin for the browser: OHIF's files, its configuration, and Orthanc's DICOMweb behind the same address."""

from __future__ import annotations

import mimetypes
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from scripts.viewing.ohif import app_config

PROXIED = ("/dicom-web", "/wado")
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"})


class _Handler(BaseHTTPRequestHandler):
    """Answers from the viewer's folder, or passes the request on to Orthanc."""

    protocol_version = "HTTP/1.1"

    def __init__(self, dist: Path, orthanc: str, *args: Any, **kwargs: Any) -> None:
        self._dist, self._orthanc = dist, orthanc
        super().__init__(*args, **kwargs)

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True  # the browser has cancelled its own prefetch

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith(PROXIED):
            self._forward()
        elif path == "/app-config.js":
            self._answer(200, app_config().encode(), "text/javascript")
        else:
            self._file(path)

    do_POST = do_GET  # noqa: N815  the library's name

    def _file(self, path: str) -> None:
        wanted = (self._dist / path.lstrip("/")).resolve()
        if not wanted.is_relative_to(self._dist.resolve()) or not wanted.is_file():
            wanted = self._dist / "index.html"
        kind = "application/wasm" if wanted.suffix == ".wasm" else mimetypes.guess_type(wanted.name)[0]
        self._answer(200, wanted.read_bytes(), kind or "application/octet-stream")

    def _forward(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        request = urllib.request.Request(self._orthanc + self.path, data=body, headers=headers, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                self._answer(answer.status, answer.read(), answer.headers.get("Content-Type", ""))
        except urllib.error.HTTPError as error:
            self._answer(error.code, error.read(), error.headers.get("Content-Type", ""))

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """Says nothing: addresses hold UIDs."""


@contextmanager
def serving(dist: Path, orthanc: str, port: int = 0) -> Iterator[str]:
    """The origin for as long as the block lasts; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, dist, orthanc))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
