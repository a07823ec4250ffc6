"""A scanner and a PACS on loopback, over true sockets."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from spineps_pacs.delivery.dimse import contexts_for
from spineps_pacs.delivery.peer import keep_answers


def send(
    datasets: Iterable[Dataset], port: int, calling: str = "MR1", called: str = "SPINEPS", **tls: Any
) -> list[int]:
    """Sends as a scanner would; gives the status of each image, -1 where no answer came."""
    due = list(datasets)
    ae = AE(calling)
    ae.dimse_timeout = 5.0  # a receiver that died is noticed no sooner
    association = ae.associate("127.0.0.1", port, contexts=contexts_for(due), ae_title=called, **tls)
    if not association.is_established:
        hang_up(association)
        return [-2 if association.is_rejected else -1] * len(due)
    keep_answers(association)
    statuses = [_store(association, ds) for ds in due]
    hang_up(association)
    return statuses


def hang_up(association: Association) -> None:
    """Ends an association, also one that the other side has cut."""
    if association.is_established:
        association.release()
    if association.dul.socket is not None:
        association.dul.socket.close()


def _store(association: Association, ds: Dataset) -> int:
    if not association.is_established:
        return -1
    return int(association.send_c_store(ds).get("Status", -1))


def echo(port: int, calling: str = "MR1", called: str = "SPINEPS", **tls: Any) -> int:
    """C-ECHO; its status, or -1 where there was no association."""
    association = AE(calling).associate(
        "127.0.0.1", port, contexts=[build_context(Verification)], ae_title=called, **tls
    )
    if not association.is_established:
        hang_up(association)
        return -1
    status = int(association.send_c_echo().get("Status", -1))
    hang_up(association)
    return status


class FakePacs:
    """Keeps what it is sent; it can answer any status, and hang up before or after it keeps."""

    def __init__(self, classes: Sequence[str] = ()) -> None:
        self.kept: list[Dataset] = []
        self.arrivals: queue.Queue[Dataset] = queue.Queue()
        self.answer: Callable[[Dataset], int] = lambda _: 0x0000
        self.hangs_up = False
        self._lock = threading.Lock()
        self._ae = AE("PACS")
        self._ae.supported_contexts = [build_context(c) for c in classes] or AllStoragePresentationContexts
        self._ae.add_supported_context(Verification)
        handlers = [(evt.EVT_C_STORE, self._store)]
        self._server = self._ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = int(self._server.server_address[1])

    def _store(self, event: Any) -> int:
        ds = event.dataset
        ds.file_meta = event.file_meta
        status = self.answer(ds)
        if status == 0x0000:
            with self._lock:
                self.kept.append(ds)
            self.arrivals.put(ds)
        if self.hangs_up:
            event.assoc.abort()
        return status

    def wait_for(self, count: int, timeout_s: float = 60.0) -> list[Dataset]:
        """The next so many objects, as they come."""
        return [self.arrivals.get(timeout=timeout_s) for _ in range(count)]

    def uids(self) -> list[str]:
        """SOP Instance UIDs in the order of arrival, repeats included."""
        return [str(ds.SOPInstanceUID) for ds in self.kept]

    def close(self) -> None:
        """Hangs up."""
        self._ae.shutdown()
