"""Storage commitment both ways: our own asking against our own answering, over true sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from contract.conftest import Clock
from pynetdicom import evt
from samples import content_of, series_of, uid

from spineps_pacs.delivery.commitment import CommitmentConfirmation
from spineps_pacs.delivery.peer import Peer
from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.domain.series import fingerprint
from spineps_pacs.intake.commitment import CallBack, Commitment
from spineps_pacs.intake.dimse import DicomPort, Limits, Port
from spineps_pacs.intake.gate import GuestList
from spineps_pacs.storage.datasets import DatasetFolder
from spineps_pacs.storage.marks import Marks
from spineps_pacs.workflow.loops import Loop
from walk.peers import FakePacs

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")
"""The library leaves a socket to the garbage collector when the peer was the first to hang up."""


@dataclass
class Archive:
    """A node with an inbox that answers requests of commitment."""

    folder: Path
    ae_title: str
    peers: dict[str, str] = field(default_factory=dict)
    faults: list[BaseException] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.inbox, self.notes = DatasetFolder(self.folder / "inbox"), Marks(self.folder / "marks")
        calls = CallBack(self.ae_title, lambda: self.peers, timeout_s=5.0)
        self.commitment = Commitment(self.holds, self.notes, calls, self.tell, self.clock)
        limits = Limits(GuestList(open_house=True))
        self.dicom = DicomPort(self, Port(self.ae_title), lambda: limits, lambda: True, self.tell)  # type: ignore[arg-type]
        self.port = self.dicom.open(self.inbox.staging, more=self.commitment.handlers())

    def holds(self, instance: str) -> bool:
        return self.inbox.holds(fingerprint([instance]) + ".dcm")

    def keep(self, *indices: int) -> None:
        for index in indices:
            ds = series_of("a")[index]
            self.inbox.add("key", fingerprint([ds.SOPInstanceUID]) + ".dcm", content_of(ds))

    def tell(self, text: str, **_: object) -> None:
        self.told.append(text)

    def fault(self, _name: str, error: BaseException) -> None:
        self.faults.append(error)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    node = Archive(tmp_path / "archive", "ARCHIVE")
    yield node
    node.dicom.close()
    assert node.faults == []


def asking(archive: Archive, notes: Marks, wait_s: float) -> CommitmentConfirmation:
    peer = Peer("127.0.0.1", archive.port, "ARCHIVE", "SPINEPS", timeout_s=5.0)
    return CommitmentConfirmation(peer, notes, wait_s)


def test_the_report_comes_on_the_same_association(archive: Archive, tmp_path: Path) -> None:
    """Four of six are safe, and only those are confirmed; a repeat of the question is answered alike."""
    archive.keep(0, 1, 2, 3)
    loop = Loop("commitment", 0.05, archive.commitment.step, archive.fault)
    loop.start()
    confirmation = asking(archive, Marks(tmp_path / "ours"), 20.0)
    for _ in range(2):
        kept = confirmation.kept(series_of("a"), "job:0:pacs")
        assert kept == {uid("a", "slice", index) for index in range(4)}
    loop.stop()
    assert archive.notes.keys("commitment") == []


def test_the_report_comes_on_a_call_of_its_own(archive: Archive, tmp_path: Path) -> None:
    """We have hung up; the archive calls our port, which leaves a note; asked again, we know."""
    archive.keep(0, 1, 2, 3, 4, 5)
    ours = Archive(tmp_path / "ours", "SPINEPS")
    confirmation = asking(archive, ours.notes, 0.0)
    with pytest.raises(TryAgain, match="has not reported"):
        confirmation.kept(series_of("a"), "job:0:pacs")
    assert archive.commitment.step() == 0
    archive.clock.now += 1
    archive.peers["SPINEPS"] = f"127.0.0.1:{ours.port}"
    assert archive.commitment.step() == 1
    assert len(confirmation.kept(series_of("a"), "job:0:pacs")) == 6
    ours.dicom.close()


def test_who_is_not_to_be_found_is_not_called_for_ever(archive: Archive, tmp_path: Path) -> None:
    """The pauses between calls double, up to ten minutes; after three days the request is forgotten."""
    with pytest.raises(TryAgain):
        asking(archive, Marks(tmp_path / "ours"), 0.0).kept(series_of("a"), "t")
    began, told = archive.clock.now, []
    while archive.notes.keys("commitment"):
        before = len(archive.told)
        archive.commitment.step()
        told += [archive.clock.now - began] * (len(archive.told) - before)
        archive.clock.now += 1 if archive.clock.now - began < 70 else 600
    assert told[:8] == [0, 1, 3, 7, 15, 31, 63, 670]
    assert archive.clock.now - began > 3 * 86400


def test_one_peer_that_cannot_be_called_keeps_no_other_waiting(archive: Archive, tmp_path: Path) -> None:
    """One has no port in its address, one too long a name: others hear all the same, and these are called seldom."""
    ours = Archive(tmp_path / "ours", "SPINEPS")
    note = {"transaction": "1.2.3", "instances": [], "at": archive.clock.now}
    for number, peer in enumerate(("WORDS", "A-NAME-OF-MORE-THAN-SIXTEEN")):
        archive.notes.put(f"0{number}", "commitment", json.dumps(note | {"peer": peer}))
    archive.peers |= {"WORDS": "127.0.0.1:dicom", "A-NAME-OF-MORE-THAN-SIXTEEN": "h:104"}
    archive.notes.put("ff", "commitment", json.dumps(note | {"peer": "SPINEPS"}))
    archive.peers["SPINEPS"] = f"127.0.0.1:{ours.port}"
    assert archive.commitment.step() == 1
    assert archive.notes.keys("commitment") == ["00", "01"]
    assert archive.told.count("a storage commitment could not be reported yet") == 2
    ours.dicom.close()


def test_a_request_survives_a_restart(archive: Archive, tmp_path: Path) -> None:
    """It is a note before it is answered; another process reports on it."""
    ours = Archive(tmp_path / "ours", "SPINEPS")
    with pytest.raises(TryAgain):
        asking(archive, ours.notes, 0.0).kept(series_of("a"), "t")
    calls = CallBack("ARCHIVE", lambda: {"SPINEPS": f"127.0.0.1:{ours.port}"}, timeout_s=5.0)
    again = Commitment(archive.holds, Marks(tmp_path / "archive" / "marks"), calls, archive.tell)
    assert again.step() == 1
    assert asking(archive, ours.notes, 0.0).kept(series_of("a"), "t") == frozenset()
    ours.dicom.close()


def test_a_peer_without_commitment_says_so(tmp_path: Path) -> None:
    """The reason names the peer."""
    pacs = FakePacs()
    confirmation = CommitmentConfirmation(Peer("127.0.0.1", pacs.port, "PACS", "SPINEPS", 5.0), Marks(tmp_path), 1.0)
    with pytest.raises(TryAgain, match="PACS"):
        confirmation.kept(series_of("a"), "t")
    pacs.close()


def test_an_unknown_action_is_refused(archive: Archive) -> None:
    """Only the request of PS3.4 J.3.2 is known."""

    class Event:
        action_type = 7

    handler: Any = dict(archive.commitment.handlers())[evt.EVT_N_ACTION]
    assert handler(Event()) == (0x0123, None)
