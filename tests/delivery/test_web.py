"""HTTP peers that answer what no standard has: the delivery waits, with a reason that quotes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from samples import series_of

from spineps_pacs.delivery.confirm import QidoConfirmation
from spineps_pacs.delivery.orthanc import OrthancConfirmation, OrthancDestination
from spineps_pacs.delivery.stow import StowDestination
from spineps_pacs.delivery.web import WebPeer
from spineps_pacs.domain.errors import TryAgain

ODD = [
    b"",
    b"DOE^JANE",
    b"[]",
    b"[3]",
    b"null",
    b'{"00081198": 3}',
    b'[{"00080018": 3}]',
    b'{"00081198": {"vr": "SQ"}}',
]


class Odd(BaseHTTPRequestHandler):
    """Answers every request with 200 and what the server was given."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        content: bytes = self.server.content  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815  the library's names

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        """Nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


def outcome(ask: Callable[[], object]) -> object:
    """What a call gives; the reason where it is put off."""
    try:
        return ask()
    except TryAgain as reason:
        return str(reason)


@pytest.mark.parametrize("content", ODD)
def test_nonsense_is_a_reason_to_wait(server: ThreadingHTTPServer, content: bytes) -> None:
    """Or no acceptance; never a fault of ours, never a confirmation, and what was answered is not quoted."""
    server.content = content  # type: ignore[attr-defined]
    peer, image = WebPeer(f"http://127.0.0.1:{server.server_address[1]}", timeout_s=10.0), series_of("a", 1)
    orthanc, stow = OrthancDestination("pacs", peer), StowDestination("pacs", peer)
    accepted = outcome(lambda: [receipt.accepted for receipt in orthanc.send(image)])
    kept = [
        outcome(lambda ask=ask: ask("pacs", peer).kept(image, "t")) for ask in (QidoConfirmation, OrthancConfirmation)
    ]
    said = [accepted, *kept, outcome(lambda: list(stow.send(image)))]
    assert accepted == [False] or isinstance(accepted, str)
    assert all(found == frozenset() or isinstance(found, str) for found in kept)
    assert "DOE" not in str(said)
