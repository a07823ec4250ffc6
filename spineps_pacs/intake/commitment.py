"""Storage Commitment on our DICOM port (PS3.4 annex J): we commit to what is safe in the inbox, and take reports.

A request becomes a note before it is answered; the report goes out on the same association, or on a call of our own.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from spineps_pacs.domain.series import fingerprint
from spineps_pacs.intake.dimse import Handlers, Log

REQUESTED, COMMITTED = "commitment", "committed"
ALL_SAFE, SOME_MISSING = 1, 2  # PS3.4 J.3.3, event types
NO_SUCH_INSTANCE = 0x0112
UNKNOWN_ACTION = 0x0123
FIRST_PAUSE_S, LONGEST_PAUSE_S, GIVEN_UP_S = 1.0, 600.0, 3 * 86400.0
"""Between calls to a peer that does not hear its report; after three days it has asked anew, or never will hear."""


class Notes(Protocol):
    """Notes by key and kind."""

    def put(self, key: str, kind: str, text: str) -> None: ...

    def get(self, key: str, kind: str) -> str | None: ...

    def forget(self, key: str, *kinds: str) -> None: ...

    def keys(self, kind: str) -> list[str]: ...


@dataclass(frozen=True)
class CallBack:
    """Who we are, and where peers hear us that have hung up: AE title to host:port."""

    ae_title: str
    peers: Callable[[], Mapping[str, str]]
    timeout_s: float = 30.0


class Commitment:
    """Answers N-ACTION and takes N-EVENT-REPORT; `step` reports what is noted."""

    def __init__(
        self,
        holds: Callable[[str], bool],
        notes: Notes,
        call_back: CallBack,
        log: Log,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._holds = holds
        self._notes = notes
        self._call_back = call_back
        self._log = log
        self._clock = clock
        self._open: dict[str, Association] = {}
        self._later: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def handlers(self) -> Handlers:
        """What the DICOM port hands to us."""
        return [(evt.EVT_N_ACTION, self._requested), (evt.EVT_N_EVENT_REPORT, self._reported)]

    def step(self) -> int:
        """Reports on every request that is noted and due; gives how many were heard."""
        return sum(self._report(key) for key in self._notes.keys(REQUESTED) if self._is_due(key))

    def _is_due(self, key: str) -> bool:
        """Always at first; a peer that could not be told is called after pauses that double."""
        return key in self._open or self._clock() >= self._later.get(key, (0.0, 0.0))[0]

    def _requested(self, event: Any) -> tuple[int, None]:
        if event.action_type != 1:
            return UNKNOWN_ACTION, None
        wanted = event.action_information
        uid = str(wanted.TransactionUID)
        pairs = [
            (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            for item in wanted.ReferencedSOPSequence
        ]
        peer = str(event.assoc.requestor.ae_title).strip()
        note = {"transaction": uid, "peer": peer, "instances": pairs, "at": self._clock()}
        with self._lock:
            self._open[fingerprint([uid])] = event.assoc
        self._notes.put(fingerprint([uid]), REQUESTED, json.dumps(note))
        return 0x0000, None

    def _reported(self, event: Any) -> tuple[int, None]:
        information = event.event_information
        safe = [str(item.ReferencedSOPInstanceUID) for item in information.get("ReferencedSOPSequence") or []]
        self._notes.put(fingerprint([str(information.TransactionUID)]), COMMITTED, json.dumps(safe))
        return 0x0000, None

    def _report(self, key: str) -> bool:
        note = json.loads(self._notes.get(key, REQUESTED) or "{}")
        if not note:
            return False
        report, kind = self._judged(note["transaction"], note["instances"])
        with self._lock:
            association = self._open.pop(key, None)
        heard = _send(association, report, kind) or self._called(str(note["peer"]), report, kind)
        if heard or self._clock() - float(note.get("at", self._clock())) > GIVEN_UP_S:
            self._notes.forget(key, REQUESTED)
            self._later.pop(key, None)
        else:
            _, pause = self._later.get(key, (0.0, FIRST_PAUSE_S / 2))
            pause = min(2 * pause, LONGEST_PAUSE_S)
            self._later[key] = (self._clock() + pause, pause)
            self._log("a storage commitment could not be reported yet", peer=str(note["peer"]), seconds=pause)
        return heard

    def _judged(self, uid: str, instances: Sequence[tuple[str, str]]) -> tuple[Dataset, int]:
        report, safe, missing = Dataset(), [], []
        for sop_class, instance in instances:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
            if self._holds(instance):
                safe.append(item)
            else:
                item.FailureReason = NO_SUCH_INSTANCE
                missing.append(item)
        report.TransactionUID = uid
        if safe:
            report.ReferencedSOPSequence = safe
        if missing:
            report.FailedSOPSequence = missing
        return report, SOME_MISSING if missing else ALL_SAFE

    def _called(self, peer: str, report: Dataset, kind: int) -> bool:
        """False also for a peer whose name or address cannot be used; the others are told all the same."""
        try:
            return self._call(peer, report, kind)
        except (ValueError, RuntimeError, OSError) as error:
            self._log("a peer cannot be called", peer=peer, reason=type(error).__name__)
            return False

    def _call(self, peer: str, report: Dataset, kind: int) -> bool:
        host, _, port = self._call_back.peers().get(peer, "").rpartition(":")
        if not host:
            return False
        ae = AE(self._call_back.ae_title)
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = self._call_back.timeout_s
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        contexts = [build_context(StorageCommitmentPushModel)]
        association = ae.associate(host, int(port), contexts=contexts, ae_title=peer, ext_neg=[role])
        try:
            return _send(association, report, kind)
        finally:
            if association.is_established:
                association.release()


def _send(association: Association | None, report: Dataset, kind: int) -> bool:
    """True when the peer heard the report."""
    if association is None or not association.is_established:
        return False
    try:
        status, _ = association.send_n_event_report(
            report, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
    except (RuntimeError, ValueError):
        return False
    return bool(status.get("Status", -1) == 0)
