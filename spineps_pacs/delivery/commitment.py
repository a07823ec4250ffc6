"""Storage Commitment as SCU (PS3.4 annex J): the peer is asked to commit, and reports now or on a call of its own.

A report that comes on a call of its own reaches our DICOM port, in another process, which leaves it as a note.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from spineps_pacs.delivery.peer import Peer
from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.domain.series import fingerprint

REQUEST = 1  # PS3.4 J.3.2, action type
REPORT = "committed"


class Notes(Protocol):
    """Where reports of commitment are left."""

    def get(self, key: str, kind: str) -> str | None: ...

    def forget(self, key: str, *kinds: str) -> None: ...


class CommitmentConfirmation:
    """`Confirmation` by Storage Commitment."""

    def __init__(self, peer: Peer, notes: Notes, wait_s: float = 10.0) -> None:
        self._peer = peer
        self._notes = notes
        self._wait_s = wait_s

    def kept(self, datasets: Sequence[Dataset], transaction: str) -> frozenset[str]:
        """What the peer commits to keep; raises TryAgain while it has not reported."""
        uid = transaction_uid(transaction)
        reported = self._reported(uid)
        if reported is None:
            reported = self._ask(datasets, uid) or self._reported(uid)
        if reported is None:
            raise TryAgain(f"{self._peer.called_ae} has not reported on its storage commitment yet")
        self._notes.forget(fingerprint([uid]), REPORT)
        return reported & {str(ds.SOPInstanceUID) for ds in datasets}

    def _reported(self, uid: str) -> frozenset[str] | None:
        note = self._notes.get(fingerprint([uid]), REPORT)
        return None if note is None else frozenset(json.loads(note))

    def _ask(self, datasets: Sequence[Dataset], uid: str) -> frozenset[str] | None:
        answers: list[frozenset[str]] = []
        heard = threading.Event()

        def report(event: Any) -> tuple[int, None]:
            information = event.event_information
            if str(information.get("TransactionUID", "")) == uid:
                answers.append(committed(information))
                heard.set()
            return 0x0000, None

        context = build_context(StorageCommitmentPushModel)
        with self._peer.association([context], evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)]) as association:
            status, _ = association.send_n_action(
                request_of(datasets, uid), REQUEST, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            if status.get("Status", -1) != 0:
                raise TryAgain(f"{self._peer.called_ae} refuses the storage commitment")
            heard.wait(self._wait_s)
        return answers[0] if answers else None


def transaction_uid(transaction: str) -> str:
    """A UID that the transaction decides."""
    number = int.from_bytes(hashlib.sha256(transaction.encode()).digest()[:16], "big")
    return f"2.25.{number}"


def request_of(datasets: Sequence[Dataset], uid: str) -> Dataset:
    """The action information (PS3.4 table J.3-1)."""
    request = Dataset()
    request.TransactionUID = uid
    request.ReferencedSOPSequence = [_reference(ds) for ds in datasets]
    return request


def committed(information: Dataset) -> frozenset[str]:
    """The instances that a report says are safe."""
    items = information.get("ReferencedSOPSequence") or []
    return frozenset(str(item.ReferencedSOPInstanceUID) for item in items)


def _reference(ds: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return item
