"""The audit trail: what a node does is told as the standard has it, to a file and to a server that may be down."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import requests
from certificates import Authority
from samples import series_of, uid
from walk.node import eventually
from walk.peers import echo, send
from walk.test_fetch import free_port

from spineps_pacs import app, logs, settings
from spineps_pacs.auditing import AuditTrail
from spineps_pacs.cli.main import run
from spineps_pacs.domain.audit import CREATE, TRANSFERRED, AuditEvent
from spineps_pacs.domain.errors import TryAgain

EVENT = AuditEvent(TRANSFERRED, CREATE, "MR1", address="192.0.2.1", study_uid="1.2.3")
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")


class Collector:
    """A syslog server over TLS (RFC 5425) on loopback."""

    def __init__(self, authority: Authority, port: int) -> None:
        pair = authority.issue("collector")
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(pair.certificate, pair.key)
        self._socket = socket.create_server(("127.0.0.1", port))
        self.frames: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            with plain, contextlib.suppress(OSError):
                self._read(self._context.wrap_socket(plain, server_side=True))

    def _read(self, connection: ssl.SSLSocket) -> None:
        with connection:
            content = b""
            while chunk := connection.recv(65536):
                content += chunk
            self.frames += list(_frames(content))
            connection.unwrap()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


def _frames(content: bytes) -> Iterator[str]:
    while content:
        length, _, rest = content.partition(b" ")
        yield rest[: int(length)].decode()
        content = rest[int(length) :]


def test_messages_reach_a_server_in_order_and_once(tmp_path: Path) -> None:
    """While it is down they wait on disk, also for the next process; then each arrives as RFC 5424 has it, once."""
    authority, port = Authority(tmp_path / "tls"), free_port()
    wanted = settings.Audit(syslog_host="localhost", syslog_port=port, syslog_authority=authority.certificate)
    times = iter(range(1_700_000_000, 1_800_000_000))
    AuditTrail(wanted, "SPINEPS", tmp_path, lambda: float(next(times)))(EVENT)
    trail = AuditTrail(wanted, "SPINEPS", tmp_path, lambda: float(next(times)))
    trail(AuditEvent(TRANSFERRED, CREATE, "MR2"))
    with pytest.raises(TryAgain, match="takes nothing"):
        trail.step()
    collector = Collector(authority, port)
    assert trail.step() == 2
    assert trail.step() == 0
    assert eventually(lambda: len(collector.frames) == 2)
    collector.close()
    head, _, message = collector.frames[0].partition("\ufeff")
    assert re.fullmatch(r"<85>1 2023-11-14T22:13:20\.000Z \S+ SPINEPS \d+ DICOM\+RFC3881 - ", head)
    assert ET.fromstring(message).find("ActiveParticipant").get("UserID") == "MR1"  # type: ignore[union-attr]  # noqa: S314
    assert "MR2" in collector.frames[1]


def test_a_server_that_the_authority_does_not_know_gets_nothing(tmp_path: Path) -> None:
    """Its certificate is a stranger's: what waits, waits."""
    port = free_port()
    collector = Collector(Authority(tmp_path / "other", "stranger"), port)
    authority = Authority(tmp_path / "tls")
    wanted = settings.Audit(syslog_host="localhost", syslog_port=port, syslog_authority=authority.certificate)
    trail = AuditTrail(wanted, "SPINEPS", tmp_path)
    trail(EVENT)
    with pytest.raises(TryAgain):
        trail.step()
    collector.close()
    assert len(list((tmp_path / "audit").iterdir())) == 1
    assert collector.frames == []


def test_the_node_tells_what_it_does(tmp_path: Path) -> None:
    """Start, end, a stranger, a series that came in, a button, who looked a hash up; the file is its owner's alone."""
    port = free_port()
    (tmp_path / "token").write_text("secret")
    config = tmp_path / "node.toml"
    config.write_text(f"""
[node]
data_folder = "data"
min_free_gb = 0.0
[dicom]
port = {port}
callers = [{{ ae_title = "MR1" }}]
[web]
port = 0
token_file = "token"
[audit]
file = "audit.log"
""")
    current = settings.load(config)
    half = app.front(lambda: current)
    half.start()
    assert echo(port, "STRANGER") == -1
    assert send(series_of("a"), port) == [0] * 6
    file = tmp_path / "audit.log"
    assert eventually(lambda: "110104" in file.read_text())
    pages, bearer = f"http://127.0.0.1:{half.addresses['web']}/api/jobs", {"Authorization": "Bearer secret"}
    assert eventually(lambda: len(requests.get(pages, headers=bearer, timeout=10).json()["jobs"]) == 1)
    (job,) = requests.get(pages, headers=bearer, timeout=10).json()["jobs"]
    assert requests.post(f"{pages}/{job['id']}/cancel", headers=bearer, timeout=10).status_code == 202
    half.stop()
    salt = logs.site_salt(tmp_path / "data" / "salt")
    assert run(["jobs", "reveal", logs.hashed(salt, uid("a", "series")), "--config", str(config)]) == 0
    assert run(["jobs", "reveal", "0123456789abcdef", "--config", str(config)]) == 1
    told = [ET.fromstring(line) for line in file.read_text().splitlines()]  # noqa: S314  our own
    codes = [message.find("EventIdentification/EventID").get("csd-code") for message in told]  # type: ignore[union-attr]
    assert codes == ["110100", "110113", "110104", "110111", "110100", "110103"]
    kind = told[3].find("EventIdentification/EventTypeCode")
    assert (kind.get("csd-code"), kind.get("codeSystemName")) == ("JOB_CANCEL", "99SPINEPS")  # type: ignore[union-attr]
    arrived = told[2]
    assert arrived.find("ActiveParticipant").attrib["UserID"] == "MR1"  # type: ignore[union-attr]
    assert arrived.find("ActiveParticipant").attrib["NetworkAccessPointID"] == "127.0.0.1"  # type: ignore[union-attr]
    assert arrived.find("ParticipantObjectIdentification").attrib["ParticipantObjectID"] == uid("a", "study")  # type: ignore[union-attr]
    assert "PAT-" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
