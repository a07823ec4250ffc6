"""HTTP peers that speak TLS: the site's own authority vouches for them, and they see our certificate."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from certificates import Authority, Pair
from samples import series_of

from spineps_pacs import outlets, settings
from spineps_pacs.domain.errors import SettingsError, TryAgain
from spineps_pacs.intake.query import Query

Ask = Callable[[settings.Tls | None], object]


class Accepting(BaseHTTPRequestHandler):
    """Takes every instance, finds no study, and keeps in mind what was asked of it."""

    def _answer(self, content: object) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        said = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_GET(self) -> None:
        self._answer([])

    def do_POST(self) -> None:
        self._answer({"Status": "Success"} if self.path.endswith("/instances") else {})

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        """Nothing."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
def server(authority: Authority) -> Iterator[ThreadingHTTPServer]:
    """It lets in who shows a certificate of the authority."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), Accepting)
    made.daemon_threads, made.asked = True, []  # type: ignore[attr-defined]
    own = authority.issue("pacs")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.load_cert_chain(own.certificate, own.key)
    context.verify_mode = ssl.CERT_REQUIRED
    made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


def sending(kind: str, url: str) -> Ask:
    """Sends one image to a destination of the settings; gives what was accepted."""

    def ask(tls: settings.Tls | None) -> object:
        said = settings.Destination.model_validate({"name": "pacs", "kind": kind, "url": url, "tls": tls})
        return [receipt.accepted for receipt in outlets.destination(said, settings.Settings()).send(series_of("a", 1))]

    return ask


def fetching(url: str, staging: Path) -> Ask:
    """Asks a PACS of the settings for its series."""

    def ask(tls: settings.Tls | None) -> object:
        said = settings.Pacs.model_validate({"name": "pacs", "kind": "dicomweb", "url": url, "tls": tls})
        archive = outlets.archive(said, settings.Settings(), staging, lambda _: None)
        return list(archive.find(Query(accession="1")))

    return ask


def with_files(pair: Pair, trusted: Authority) -> settings.Tls:
    return settings.Tls(certificate=pair.certificate, key=pair.key, authority=trusted.certificate)


@pytest.mark.parametrize("kind", ["orthanc", "stow", "dicomweb"])
def test_tls_of_a_web_peer_is_used(
    server: ThreadingHTTPServer, authority: Authority, tmp_path: Path, kind: str
) -> None:
    """With the authority and a certificate of it all is well; a stranger, on either side, hears and learns nothing."""
    other, url = Authority(tmp_path / "other", "stranger"), f"https://127.0.0.1:{server.server_address[1]}"
    ask = fetching(url, tmp_path) if kind == "dicomweb" else sending(kind, url)
    node, stranger = authority.issue("node"), other.issue("node")
    for tls in (None, with_files(node, other), with_files(stranger, authority)):
        with pytest.raises(TryAgain, match="pacs cannot be reached"):
            ask(tls)
    assert server.asked == []  # type: ignore[attr-defined]
    assert ask(with_files(node, authority)) == ([] if kind == "dicomweb" else [True])
    assert server.asked  # type: ignore[attr-defined]


def test_what_cannot_be_used_is_said_by_name(authority: Authority, tmp_path: Path) -> None:
    """A key that is not there, and an address without TLS, which would send in the open what was to be protected."""
    node = authority.issue("node")
    missing = with_files(Pair(node.certificate, tmp_path / "none.key"), authority)
    with pytest.raises(SettingsError, match="TLS files of a destination cannot be used"):
        sending("orthanc", "https://127.0.0.1:1")(missing)
    with pytest.raises(SettingsError, match="'pacs' has tls, but its url does not begin with https"):
        sending("orthanc", "http://127.0.0.1:1")(with_files(node, authority))
