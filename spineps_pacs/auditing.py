"""The audit trail: messages as PS3.15 A.5 has them, into a file, and to a syslog server over TLS.

What goes to the server is first a file beside the inbox; a server that is down loses nothing and keeps nobody waiting.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from spineps_pacs import settings
from spineps_pacs.domain.audit import AuditEvent
from spineps_pacs.domain.errors import SettingsError, TryAgain
from spineps_pacs.logs import audit_message

SPOOL = "audit"
PRIORITY = 10 * 8 + 5
"""RFC 5424: facility 10 (security and authorisation), severity 5 (notice), as PS3.15 A.6.2 asks."""
MESSAGE_ID = "DICOM+RFC3881"
TIMEOUT_S = 10.0
MOST = 500


class AuditTrail:
    """Called with an event, it is on disk when the call returns; `step` sends what waits for the server."""

    def __init__(
        self, wanted: settings.Audit, source: str, data_folder: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = wanted.file
        self._server = None if not wanted.syslog_host else _Server(wanted)
        self._source = source
        self._spool = data_folder / SPOOL
        self._clock = clock
        if self._server is not None:
            self._spool.mkdir(parents=True, exist_ok=True)

    def __call__(self, event: AuditEvent) -> None:
        """One occurrence; TryAgain when it cannot be written, and then nothing may be done that it would tell of."""
        now = self._clock()
        message = audit_message(event, self._source, datetime.fromtimestamp(now, UTC))
        try:
            if self._file is not None:
                _append(self._file, message)
            if self._server is not None:
                line = syslog_line(message, self._source, datetime.fromtimestamp(now, UTC))
                _put(self._spool, f"{now:020.6f}-{uuid.uuid4().hex[:8]}", line)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise TryAgain(f"the audit trail cannot be written, so nothing is done: {reason}") from error

    def step(self) -> int:
        """Sends what waits, in order; gives how many. Raises TryAgain while the server takes nothing."""
        waiting = sorted(path for path in self._spool.glob("*") if not path.name.startswith("."))[:MOST]
        if self._server is None or not waiting:
            return 0
        with self._server.connection() as connection:
            for path in waiting:
                line = path.read_bytes()
                connection.sendall(f"{len(line)} ".encode() + line)  # RFC 5425: each message after its length
            connection.unwrap()  # the server has read all that was sent, or this raises
        for path in waiting:
            path.unlink(missing_ok=True)
        return len(waiting)


@dataclass(frozen=True)
class _Server:
    wanted: settings.Audit

    def connection(self) -> ssl.SSLSocket:
        """Open, its certificate vouched for by the named authority."""
        try:
            context = ssl.create_default_context(cafile=self.wanted.syslog_authority)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"audit.syslog_authority cannot be used: {error}") from error
        address = (self.wanted.syslog_host, self.wanted.syslog_port)
        try:
            with contextlib.ExitStack() as undone:
                plain = undone.enter_context(socket.create_connection(address, timeout=TIMEOUT_S))
                connection = context.wrap_socket(plain, server_hostname=self.wanted.syslog_host)
                undone.pop_all()
                return connection
        except OSError as error:
            raise TryAgain(f"the audit server takes nothing: {type(error).__name__}") from error


def syslog_line(message: str, source: str, at: datetime) -> str:
    """The message as RFC 5424 has it; the byte order mark says that it is UTF-8."""
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    host, name = socket.gethostname() or "-", source.replace(" ", "_") or "-"
    return f"<{PRIORITY}>1 {stamp} {host} {name} {os.getpid()} {MESSAGE_ID} - \ufeff{message}"


def _put(spool: Path, name: str, line: str) -> None:
    """A message that waits, whole and on disk."""
    beside = spool / f".{name}"
    _append(beside, line, end="")
    beside.replace(spool / name)
    handle = os.open(spool, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _append(file: Path, message: str, end: str = "\n") -> None:
    """One line, whole, whoever else writes; the file is its owner's alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, (message + end).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
