"""Images in by C-STORE: the only file that knows the DIMSE status codes of reception.

Bytes go to disk as they come, undecoded; Success is answered when they are synced, renamed and synced again.
"""

from __future__ import annotations

import contextlib
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from spineps_pacs.domain import refusals
from spineps_pacs.domain.audit import EXECUTE, NODE_AUTHENTICATION, SECURITY, Audit, AuditEvent, unheard
from spineps_pacs.domain.bell import Bell
from spineps_pacs.domain.errors import SpinepsPacsError, TryAgain, Unusable
from spineps_pacs.domain.refusals import Refusals
from spineps_pacs.intake.gate import GuardedServer, GuestList, Watch, drop_half, let_go
from spineps_pacs.intake.reception import Arrival, Source

SUCCESS, NO_ROOM, MISMATCH, CANNOT_READ, FAULT = 0x0000, 0xA700, 0xA900, 0xC000, 0xC001  # PS3.4 annex B.2.3
DEFLATED = "1.2.840.10008.1.2.1.99"
TOLD_EVERY_S = 60.0


class Door(Protocol):
    """Where images enter."""

    def arrived(self, path: Path, source: Source, study_uid: str | None = None) -> Arrival: ...

    def released(self, keys: Sequence[str]) -> None: ...


@dataclass(frozen=True)
class Port:
    """The DICOM port: names, address, and how much it takes."""

    ae_title: str = "SPINEPS"
    host: str = "127.0.0.1"
    port: int = 0
    max_associations: int = 32
    max_pdu: int = 131072
    idle_timeout_s: float = 60.0
    sop_classes: tuple[str, ...] = ()
    transfer_syntaxes: tuple[str, ...] = ()

    def contexts(self, commitment: bool) -> list[PresentationContext]:
        """The table of what is accepted."""
        classes = self.sop_classes or tuple(str(cx.abstract_syntax) for cx in AllStoragePresentationContexts)
        syntaxes = list(self.transfer_syntaxes or (s for s in ALL_TRANSFER_SYNTAXES if s != DEFLATED))
        services = [Verification, *([StorageCommitmentPushModel] if commitment else [])]
        return [build_context(c, syntaxes) for c in classes] + [build_context(str(service)) for service in services]


@dataclass(frozen=True)
class Limits:
    """What may change while the port is open."""

    guests: GuestList
    max_dataset_bytes: int = 4 << 30
    max_images_per_second: float = 0.0


Handlers = list[tuple[Any, Callable[[Any], Any]]]
Log = Callable[..., None]


class DicomPort:
    """The C-STORE SCP. `room` tells whether the disk takes more; `limits` is asked anew for each association."""

    def __init__(
        self,
        door: Door,
        port: Port,
        limits: Callable[[], Limits],
        room: Callable[[], bool],
        log: Log,
        *,
        audit: Audit = unheard,
        refused: Refusals | None = None,
    ) -> None:
        self._door = door
        self._port = port
        self._limits = limits
        self._room = room
        self._log = log
        self._audit = audit
        self._refused = refused or Refusals()
        self._pace = Pace()
        self._bell = Bell(TOLD_EVERY_S)
        self._server: GuardedServer | None = None
        self._tempdir: str | None = None

    def open(self, staging: Path, tls: ssl.SSLContext | None = None, more: Handlers | None = None) -> int:
        """Begins to listen; datasets grow in `staging`. Gives the port's number."""
        _config.STORE_RECV_CHUNKED_DATASET = True  # bytes go straight to a file, so that memory stays bounded
        self._tempdir, tempfile.tempdir = tempfile.tempdir, str(staging)  # where the library opens that file
        ae = AE(self._port.ae_title)
        ae.maximum_associations = self._port.max_associations
        ae.maximum_pdu_size = self._port.max_pdu
        ae.network_timeout = ae.dimse_timeout = ae.acse_timeout = self._port.idle_timeout_s
        handlers = [
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_RELEASED, self._released),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_ABORTED, self._aborted),
            (evt.EVT_DATA_RECV, self._count),
            (evt.EVT_CONN_CLOSE, _hung_up),
            *(more or []),
        ]
        self._server = ae.make_server(
            (self._port.host, self._port.port),
            contexts=self._port.contexts(commitment=bool(more)),
            ssl_context=tls,
            evt_handlers=handlers,
            server_class=GuardedServer,
            watch=Watch(lambda: self._limits().guests, self._port.max_associations, self._log, self._turned_away),
        )
        ae._servers.append(self._server)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="dicom-port", daemon=True).start()
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Hangs up on everybody and stops listening."""
        if self._server is not None:
            for association in self._server.active_associations:
                association.abort()
            self._server.shutdown()
            self._server = None
            tempfile.tempdir = self._tempdir

    def _store(self, event: Any) -> int:
        path, caller = Path(event.dataset_path), self._caller(event.assoc)
        event.assoc.received_bytes = 0
        try:
            if not self._room():
                self._refused(refusals.NO_ROOM)
                self._log("disk full: an image was refused", source=caller.name)
                return NO_ROOM
            self._pace.wait(event.assoc.requestor.address_info.address, self._limits().max_images_per_second)
            arrival = self._door.arrived(path, caller)
        except Unusable as reason:
            self._refused(refusals.UNREADABLE)
            self._log("an image was refused", source=caller.name, reason=str(reason))
            return CANNOT_READ
        except TryAgain as reason:
            self._refused(refusals.NO_ROOM)
            self._log("an image was refused", source=caller.name, reason=str(reason))
            return NO_ROOM
        except (OSError, SpinepsPacsError) as error:
            self._refused(refusals.FAULT)
            self._log("an image was refused", source=caller.name, reason=type(error).__name__)
            return FAULT
        finally:
            path.unlink(missing_ok=True)
        _series(event.assoc).add(arrival.key)
        return SUCCESS if arrival.sop_class_uid == event.request.AffectedSOPClassUID else MISMATCH

    def _caller(self, association: Association) -> Source:
        name = str(association.requestor.ae_title).strip()
        address = str(association.requestor.address_info.address)
        caller = self._limits().guests.find(name, address)
        return Source(name, address=address) if caller is None else Source(name, caller.priority, address)

    def _released(self, event: Any) -> None:
        keys = sorted(_series(event.assoc))
        if keys:
            self._door.released(keys)

    def _rejected(self, event: Any) -> None:
        requestor = event.assoc.requestor
        self._turned_away(str(requestor.ae_title).strip(), str(requestor.address_info.address))

    def _turned_away(self, name: str, address: str) -> None:
        """A stranger's name, address or certificate; told once a minute, so that one who tries on fills no disk."""
        self._refused(refusals.STRANGER)
        if not self._bell.rings(f"{address} {name}"):
            return
        self._log("a caller was turned away", source=name, address=address)
        who = name or address
        try:
            self._audit(AuditEvent(SECURITY, EXECUTE, who, NODE_AUTHENTICATION, succeeded=False, address=address))
        except TryAgain as reason:
            self._log("a message of the audit trail was lost", reason=str(reason))

    def _aborted(self, event: Any) -> None:
        self._log("an association was aborted", source=str(event.assoc.requestor.ae_title).strip())

    def _count(self, event: Any) -> None:
        """Ends an association whose dataset grows beyond all measure."""
        event.assoc.received_bytes = getattr(event.assoc, "received_bytes", 0) + len(event.data)
        if event.assoc.received_bytes > self._limits().max_dataset_bytes:
            event.assoc.received_bytes = 0
            self._refused(refusals.TOO_LARGE)
            self._log("an image was larger than allowed; its association ends")
            with contextlib.suppress(OSError):
                event.assoc.dul.socket.close()


class Pace:
    """Slows a sender down to so many images a second; it loses nothing, it waits."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def wait(self, address: str, per_second: float) -> None:
        """Returns when the next image of that address may be taken."""
        if per_second <= 0:
            return
        with self._lock:
            now = self._clock()
            due = max(now, self._next.get(address, now))
            self._next[address] = due + 1.0 / per_second
        if due > now:
            self._sleep(due - now)


def _hung_up(event: Any) -> None:
    drop_half(event.assoc)
    let_go(event.assoc)


def _series(association: Any) -> set[str]:
    """The series that this association has brought."""
    if not hasattr(association, "brought"):
        association.brought = set()
    brought: set[str] = association.brought
    return brought
