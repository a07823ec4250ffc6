"""Who may call, and how much one caller may take: the server beneath the DICOM port.

A stranger's address is turned away before it is heard, a stranger's AE title by a rejection. A TLS handshake runs in
the caller's own thread, so that one who says nothing keeps nobody waiting. A PDU may not be longer than was agreed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetdicom import evt
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from spineps_pacs.domain.errors import SettingsError

PDU_SLACK = 4096
"""Association requests may be longer than data PDUs: 128 contexts with their syntaxes, and some room."""
ASSOCIATE_LIMIT = 256 * 1024
HANDSHAKE_S = 10.0
CALLING_REFUSED, CALLED_REFUSED = (0x01, 0x01, 0x03), (0x01, 0x01, 0x07)  # PS3.8 9.3.4


@dataclass(frozen=True)
class Caller:
    """A sender that may call: AE title, the address or network it must come from ("" for any), its priority."""

    ae_title: str
    address: str = ""
    priority: int = 100

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_network(self.address or "0.0.0.0/0", strict=False)
        except ValueError as error:
            raise SettingsError(f"caller {self.ae_title!r}: {self.address!r} is no address or network") from error

    def lives_at(self, address: str) -> bool:
        """True when the address is one of its own."""
        if not self.address:
            return True
        given = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(given, "ipv4_mapped", None) or given
        return mapped in ipaddress.ip_network(self.address, strict=False)


@dataclass(frozen=True)
class GuestList:
    """Who may call. `open_house` (a port that hears only this machine) lets everybody in while the list is empty."""

    callers: tuple[Caller, ...] = ()
    open_house: bool = False
    called_ae: str = ""

    def knows_address(self, address: str) -> bool:
        """True when somebody on the list may call from there."""
        if not self.callers:
            return self.open_house
        return any(caller.lives_at(address) for caller in self.callers)

    def find(self, calling_ae: str, address: str) -> Caller | None:
        """The caller of that name and address, or None for a stranger."""
        if not self.callers and self.open_house:
            return Caller(calling_ae)
        fitting = (c for c in self.callers if c.ae_title == calling_ae and c.lives_at(address))
        return next(fitting, None)


def _bounded(read: Callable[[int], bytearray], most: int) -> Callable[[int], bytearray]:
    """The same reading, which refuses a PDU that is longer than was agreed."""

    def recv(nr_bytes: int) -> bytearray:
        if nr_bytes > most:
            raise OSError(f"a PDU of {nr_bytes} bytes was announced; at most {most} are taken")
        return read(nr_bytes)

    return recv


class _Acse(ACSE):  # type: ignore[misc]
    """Rejects strangers before anything is negotiated."""

    def __init__(self, association: Association, guests: GuestList) -> None:
        super().__init__(association)
        self._guests = guests

    def _negotiate_as_acceptor(self) -> None:
        request = self.requestor.primitive
        calling, called = str(request.calling_ae_title).strip(), str(request.called_ae_title).strip()
        refusal: tuple[int, int, int] | None = None
        if self._guests.find(calling, self.requestor.address_info.address) is None:
            refusal = CALLING_REFUSED
        elif self._guests.called_ae and called != self._guests.called_ae:
            refusal = CALLED_REFUSED
        if refusal is None:
            super()._negotiate_as_acceptor()
            return
        self.requestor.ae_title = calling
        self.send_reject(*refusal)
        evt.trigger(self.assoc, evt.EVT_REJECTED, {})
        self.assoc.kill()


class _Handler(RequestHandler):  # type: ignore[misc]
    """Opens one association, behind the handshake and the guest list."""

    def handle(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(HANDSHAKE_S)
            try:
                self.request.do_handshake()
            except (OSError, ssl.SSLError):
                self.request.close()
                self.server.refused("", str(self.client_address[0]))
                return
        self.request.settimeout(self.server.ae.network_timeout)
        super().handle()

    def _create_association(self) -> Association:
        association = super()._create_association()
        most = max(ASSOCIATE_LIMIT, int(association.acceptor.maximum_length or 0) + PDU_SLACK)
        association.dul.socket.recv = _bounded(association.dul.socket.recv, most)
        association.acse = _Acse(association, self.server.guests())
        for thread in (association, association.dul):
            thread.run = _survived(thread.run, association, self.server.log)
        return association


def _survived(run: Callable[[], None], association: Association, log: Callable[..., None]) -> Callable[[], None]:
    """The same, but what a caller says out of turn, or a disk that is full, ends its connection, and costs one line."""

    def survived() -> None:
        try:
            run()
        except Exception as error:  # noqa: BLE001  the library's state machine raises many kinds
            log("a connection ends by a fault", reason=type(error).__name__)
            drop_half(association)
            association.is_aborted, association.is_established = True, False
            association._kill = association.dul._kill_thread = True
            if association.dul.socket is not None:
                association.dul.socket.close()

    return survived


def drop_half(association: Association) -> None:
    """The connection ended in the middle of a dataset: its half is removed, also one that a full disk did not take."""
    file = getattr(association.dimse.message, "_data_set_file", None)
    if file is None or file.closed:
        return
    with contextlib.suppress(OSError):
        file.close()
    Path(file.name).unlink(missing_ok=True)


def let_go(association: Association) -> None:
    """A caller that hung up before it asked for anything is not waited for: its thread would stay for the idle time."""
    answers = association.dul.to_user_queue
    if association.requestor.primitive is None and answers.empty():
        answers.put(None)


@dataclass(frozen=True)
class Watch:
    """Who may call, how many at once; who hears of what went wrong, and of who was turned away (name, address)."""

    guests: Callable[[], GuestList]
    most: int
    log: Callable[..., None]
    refused: Callable[[str, str], None]


class GuardedServer(ThreadedAssociationServer):  # type: ignore[misc]
    """pynetdicom's server with a guest list that may change while it runs."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        self.guests, self.log, self.refused = watch.guests, watch.log, watch.refused
        self._most = watch.most
        self._opening, self._counting = 0, threading.Lock()
        super().__init__(*args, request_handler=_Handler, **kwargs)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accepts without the handshake, which the caller's own thread does."""
        client, address = self.socket.accept()
        if self.ssl_context:
            client = self.ssl_context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  the signature is the library's
        """False for an address that nobody on the list has, and when far too many call at once."""
        if not self.guests().knows_address(str(client_address[0])):
            self.refused("", str(client_address[0]))
            return False
        return len(self.active_associations) + self._opening < 2 * self._most

    def process_request(self, request: Any, client_address: Any) -> None:
        """Counts the connections that are no association yet: a flood of them has a thread each."""
        with self._counting:
            self._opening += 1
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread was to be had, so nobody else counts it back
            self._opened()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Opens one association in a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._opened()

    def _opened(self) -> None:
        with self._counting:
            self._opening -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A connection that could not be served costs one line, not the port."""
        self.log("a connection could not be served", reason=type(sys.exc_info()[1]).__name__)


def tls_context(certificate: str, key: str, authority: str, require_client: bool) -> ssl.SSLContext:
    """For being called: our certificate, and whose signature a caller's must bear."""
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority or None)
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"the TLS files of the DICOM port cannot be used: {error}") from error
    if require_client:
        if not authority:
            raise SettingsError("dicom.tls: client certificates are required, but no authority is named")
        context.verify_mode = ssl.CERT_REQUIRED
    return context
