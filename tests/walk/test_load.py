"""Load: many associations at once while an analysis runs, and noise on the port; none lost, memory bounded."""

from __future__ import annotations

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

from spineps_pacs.domain.job import State
from spineps_pacs.domain.series import fingerprint
from walk.node import Back, Front, eventually
from walk.peers import echo, hang_up

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
                return association
            hang_up(association)
            pause.wait(0.2)

    def _image(self, index: int) -> Dataset:
        return slice_of(self.name, index, slices=self.images)


@dataclass
class Busy:
    """Analysis that computes until it is told to end, as the true one does in a process beside the receiver."""

    begun: threading.Event = field(default_factory=threading.Event)
    end: threading.Event = field(default_factory=threading.Event)

    def __call__(self, series: Any, watch: Any) -> Any:
        self.begun.set()
        field_of_view = np.ones((64, 64), np.float32)
        while not self.end.is_set():
            field_of_view = np.tanh(field_of_view @ field_of_view)
        return stand_in(series, watch)


def load(folder: Path, images: int) -> list[Sender]:
    """So many associations at once, each with a series of its own, while one series is analysed."""
    front, busy = Front(folder), Busy()
    back = Back(folder, {}, busy)
    first = Sender("FIRST", 3)
    first.send(front.port)
    front.jobs()
    assert busy.begun.wait(60)
    senders = [Sender(f"MR{number}", images) for number in range(ASSOCIATIONS)]
    threads = [threading.Thread(target=sender.send, args=(front.port,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(front.jobs()) == ASSOCIATIONS + 1
    for sender in senders:
        assert sender.statuses == [0] * images, sender.name
        assert len(front.inbox.names(fingerprint([uid(sender.name, "series")]))) == images
    busy.end.set()
    back.close(grace_s=10)
    front.close()
    return senders


def told(senders: list[Sender], seconds: float) -> str:
    """What a reader of the log wants to know."""
    images, slowest = sum(len(s.statuses) for s in senders), max(s.slowest_s for s in senders)
    return f"{images} images over {len(senders)} associations, {images / seconds:.0f}/s, slowest answer {slowest:.2f} s"


def test_32_associations_lose_nothing(tmp_path: Path) -> None:
    """Short form: each sends six images, and every one of them is safe when it was answered."""
    began = time.monotonic()
    print(told(load(tmp_path, 6), time.monotonic() - began))  # noqa: T201  figures for -s


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_twenty_thousand_images_lose_nothing(tmp_path: Path) -> None:
    """Long form: 20,000 images."""
    began = time.monotonic()
    print(told(load(tmp_path, 20_000 // ASSOCIATIONS), time.monotonic() - began))  # noqa: T201  figures for -s


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


@pytest.mark.parametrize("seed", range(2))
def test_noise_leaves_the_port_open(front: Front, seed: int) -> None:
    """Short form: true conversations with bytes changed, lengths that lie, early ends; the port answers afterwards."""
    assert listen_to(front, 40, seed) < 200 << 20
    assert still_sound(front)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(2, 7))
def test_ten_thousand_noisy_callers(front: Front, seed: int) -> None:
    """Long form, 2,000 for each seed: memory stays bounded."""
    assert listen_to(front, 2_000, seed) < 300 << 20
    assert still_sound(front)
