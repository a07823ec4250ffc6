"""What `check` looks at in TLS files: readable, a pair, not over, and the authority that signs the others."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from spineps_pacs.cli.check_line import Line
from spineps_pacs.settings import Settings, Tls

SOON_DAYS = 14.0


def files(current: Settings, now: float) -> Iterator[Line]:
    """Those of the DICOM port and of every destination, and every secret that is named."""
    wanted = [("TLS of the DICOM port", current.dicom.tls)]
    wanted += [(f"TLS of destination {d.name}", d.tls) for d in current.destination]
    for name, tls in wanted:
        if tls is not None:
            yield _tls(name, tls, now)
    for name, path in _secrets(current):
        if path is not None:
            yield _readable(name, path) or Line(name, True, f"{path} can be read")


def _secrets(current: Settings) -> Iterator[tuple[str, Path | None]]:
    yield "token of the pages", current.web.token_file
    yield "token of STOW-RS", current.stow.token_file
    yield "password for Orthanc", current.orthanc.password_file
    for peer in current.pacs:
        yield f"password for PACS {peer.name}", peer.password_file
    for d in current.destination:
        yield f"password for destination {d.name}", d.password_file
        yield f"token for destination {d.name}", d.token_file


def _readable(name: str, path: Path) -> Line | None:
    """A line where the file cannot be read."""
    try:
        path.read_bytes()
    except OSError as error:
        advice = "Name the right file, and let the user that runs the node read it (chown, chmod 0400)."
        return Line(name, False, f"{path} cannot be read: {error.strerror}", advice)
    return None


def _tls(name: str, tls: Tls, now: float) -> Line:
    """The first thing that is wrong with one set of files, or for how long the certificate is still good."""
    for path in (tls.key, tls.certificate, tls.authority):
        if path is not None and (fault := _readable(name, path)):
            return fault
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
        if tls.authority is not None:
            ssl.create_default_context(cafile=str(tls.authority))
    except ssl.SSLError as error:
        advice = "Certificate and key must be PEM files that belong together, the key without a password."
        return Line(name, False, f"{tls.certificate} and {tls.key} do not work: {error.reason}", advice)
    return _dates(name, tls.certificate, now)


def _dates(name: str, certificate: Path, now: float) -> Line:
    seen = ssl._ssl._test_decode_cert(str(certificate))  # type: ignore[attr-defined]
    start, end = (ssl.cert_time_to_seconds(seen[key]) for key in ("notBefore", "notAfter"))
    left = (end - now) / 86400
    until = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d")
    if now < start:
        return Line(name, False, f"{certificate} is not valid yet", "Look at the clock, or have it issued anew.")
    if left < 0:
        return Line(name, False, f"the certificate {certificate} expired on {until}", "Have a new one issued.")
    if left < SOON_DAYS:
        return Line(name, False, f"the certificate {certificate} expires on {until}, in {left:.0f} days", "Renew it.")
    return Line(name, True, f"{certificate} is good until {until}")
