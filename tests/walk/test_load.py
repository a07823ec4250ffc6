"""Load: many associations at once while an analysis runs, and noise on the port; none lost, memory bounded."""

from __future__ import annotations

import logging
import os
import random
import resource
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from samples import MR, series_of, slice_of, stand_in, uid

from spineps_pacs.delivery.peer import keep_answers
from spineps_pacs.domain.job import State
from spineps_pacs.domain.series import fingerprint
from walk.crash_parts import told_to_end
from walk.node import Back, Front, Ground, eventually
from walk.peers import echo, hang_up
from walk.test_crash import received, running

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning"),
]
"""The library leaves a socket to the garbage collector when the peer was the first to hang up, and warns of UIDs."""
ASSOCIATIONS = 32


@dataclass
class Sender:
    """One modality on an association of its own; notes each status and how long the answer took."""

    name: str
    images: int
    statuses: list[int] = field(default_factory=list)
    slowest_s: float = 0.0

    def send(self, port: int) -> None:
        """All images, one after the other."""
        ae = AE(self.name)
        ae.dimse_timeout = ae.acse_timeout = ae.network_timeout = 300.0
        association = self._called(ae, port)
        for index in range(self.images):
            began = time.monotonic()
            self.statuses.append(int(association.send_c_store(self._image(index)).get("Status", -1)))
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        hang_up(association)

    def _called(self, ae: AE, port: int) -> Association:
        """As a modality does, it calls again while the port has no room for one more."""
        pause = threading.Event()
        while True:
            association = ae.associate("127.0.0.1", port, contexts=[build_context(MR)], ae_title="SPINEPS")
            if association.is_established:
                keep_answers(association)
                return association
            hang_up(association)
            pause.wait(0.2)

    def _image(self, index: int) -> Dataset:
        return slice_of(self.name, index, slices=self.images)


@dataclass(frozen=True)
class Busy:
    """Analysis that computes until it is told to end."""

    folder: Path

    def __call__(self, series: Any, watch: Any) -> Any:
        (self.folder / "begun").touch()
        field_of_view = np.ones((64, 64), np.float32)
        while not (self.folder / "enough").exists():
            field_of_view = np.tanh(field_of_view @ field_of_view)
        return stand_in(series, watch)


def analyse(folder: Path) -> None:
    """A worker, in a process beside the receiver, as in a true node."""
    back = Back(folder, {}, Busy(folder))
    told_to_end().wait()
    back.close(grace_s=10)
    os._exit(0)


def load(folder: Path, images: int) -> str:
    """So many associations at once, each with a series of its own, while one is analysed; what a reader should know."""
    received(Ground(folder), "first")
    senders = [Sender(f"MR{number}", images) for number in range(ASSOCIATIONS)]
    with running(analyse, folder):
        assert eventually((folder / "begun").exists)
        front = Front(folder)
        threads = [threading.Thread(target=sender.send, args=(front.port,)) for sender in senders]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        assert [job.state for job in front.records.find()] == [State.ANALYSING]
        (folder / "enough").touch()
    assert len(front.jobs()) == ASSOCIATIONS + 1
    for sender in senders:
        assert sender.statuses == [0] * images, sender.name
        assert len(front.inbox.names(fingerprint([uid(sender.name, "series")]))) == images
    front.close()
    sent, slowest = ASSOCIATIONS * images, max(sender.slowest_s for sender in senders)
    return f"{sent} images over {ASSOCIATIONS} associations, {sent / seconds:.0f}/s, slowest answer {slowest:.2f} s"


def test_32_associations_lose_nothing(tmp_path: Path) -> None:
    """Short form: each sends six images, and every one of them is safe when it was answered."""
    print(load(tmp_path, 6))  # noqa: T201  figures for -s


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_twenty_thousand_images_lose_nothing(tmp_path: Path) -> None:
    """Long form: 20,000 images."""
    print(load(tmp_path, 20_000 // ASSOCIATIONS))  # noqa: T201  figures for -s


def recorded(images: list[Dataset]) -> list[bytes]:
    """The PDUs of a true sender: request, and every piece of data that follows."""
    pieces: list[bytes] = []

    def keep(event: Any) -> None:
        pieces.append(bytes(event.data))

    from pynetdicom import evt

    server = AE("X")
    server.add_supported_context(MR)
    listening = server.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000)])
    ae = AE("MR1")
    association = ae.associate(
        "127.0.0.1", listening.server_address[1], contexts=[build_context(MR)], evt_handlers=[(evt.EVT_DATA_SENT, keep)]
    )
    for ds in images:
        association.send_c_store(ds)
    hang_up(association)
    listening.shutdown()
    return pieces


def noise(pieces: list[bytes], dice: random.Random) -> bytes:
    """A true conversation with bytes changed, lengths that lie, an early end, or nothing true at all."""
    match dice.randrange(4):
        case 0:
            return struct.pack(">BBL", dice.randrange(1, 8), 0, dice.randrange(1, 400)) + dice.randbytes(200)
        case 1:
            whole = b"".join(pieces[: dice.randrange(1, len(pieces) + 1)])
            return whole[: dice.randrange(1, len(whole))]
        case 2:
            whole = bytearray(b"".join(pieces))
            for _ in range(dice.randrange(1, 20)):
                whole[dice.randrange(len(whole))] = dice.randrange(256)
            return bytes(whole)
        case _:
            whole = bytearray(b"".join(pieces))
            at = dice.randrange(len(whole) - 4)
            whole[at : at + 4] = struct.pack(">L", dice.randrange(2**32))
            return bytes(whole)


@pytest.fixture
def unlogged(caplog: pytest.LogCaptureFixture) -> None:
    """What pytest keeps of the library's log holds each conversation with its bytes, and would be taken for a leak."""
    caplog.set_level(logging.CRITICAL + 1, logger="pynetdicom")


def listen_to(front: Front, conversations: int, seed: int) -> int:
    """So many noisy callers; gives how much memory the process took besides, in bytes."""
    pieces, dice = recorded(series_of("a", 2)), random.Random(seed)  # noqa: S311
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(conversations):
        with socket.create_connection(("127.0.0.1", front.port), timeout=30) as caller:
            try:
                caller.sendall(noise(pieces, dice))
            except OSError:
                continue  # it was hung up on, as it should be
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def still_sound(front: Front) -> bool:
    """The port answers, and each series is a job that waits, or one that says that it cannot be read."""
    assert eventually(lambda: echo(front.port) == 0)
    jobs = front.jobs()
    return all(job.state is State.ARRIVING or "cannot be read" in job.reason for job in jobs)


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("seed", range(2))
def test_noise_leaves_the_port_open(front: Front, seed: int) -> None:
    """Short form: true conversations with bytes changed, lengths that lie, early ends; the port answers afterwards."""
    before = threading.active_count()
    assert listen_to(front, 40, seed) < 200 << 20
    assert still_sound(front)
    assert eventually(lambda: threading.active_count() <= before), "callers that hung up are still waited for"


def test_who_hangs_up_at_once_keeps_no_one_out(front: Front) -> None:
    """As probes of a load balancer do: more than there may be associations, and a scanner is heard after them."""
    before = threading.active_count()
    for _ in range(80):
        socket.create_connection(("127.0.0.1", front.port), timeout=30).close()
        assert eventually(lambda: threading.active_count() <= before + 8), "callers that hung up are still waited for"
    assert echo(front.port) == 0


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("seed", range(2, 7))
def test_ten_thousand_noisy_callers(front: Front, seed: int) -> None:
    """Long form, 2,000 for each seed: memory stays bounded."""
    more = listen_to(front, 2_000, seed)
    print(f"2000 noisy callers, {more >> 20} MB more than before")  # noqa: T201  figures for -s
    assert more < 300 << 20
    assert still_sound(front)
