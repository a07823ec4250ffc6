"""The DICOM port: who gets in, what is answered, and that it stays up whatever a peer does."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from certificates import Authority, Pair
from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.presentation import build_context
from samples import MR, series_of, slice_of
from walk.node import eventually
from walk.peers import echo, hang_up, send

from spineps_pacs.domain.audit import SECURITY, AuditEvent
from spineps_pacs.domain.errors import SettingsError, TryAgain, Unusable
from spineps_pacs.domain.refusals import NO_ROOM, STRANGER, TOO_LARGE, Refusals
from spineps_pacs.intake.dimse import DicomPort, Limits, Pace, Port
from spineps_pacs.intake.gate import Caller, GuestList, tls_context
from spineps_pacs.intake.reception import Arrival, Source

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")
"""The library leaves a socket to the garbage collector when the peer was the first to hang up."""

OPEN = GuestList(open_house=True)


@dataclass
class Hall:
    """A door that keeps what enters; it can refuse."""

    folder: Path
    arrived_from: list[tuple[str, int]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    ended: list[list[str]] = field(default_factory=list)
    refusal: Exception | None = None

    def arrived(self, path: Path, source: Source, study_uid: str | None = None) -> Arrival:
        if self.refusal is not None:
            raise self.refusal
        ds = dcmread(path)
        self.arrived_from.append((source.name, source.priority))
        self.images.append(str(ds.SOPInstanceUID))
        path.replace(self.folder / f"{len(self.images)}.dcm")
        return Arrival("key", str(ds.SOPClassUID), str(ds.SOPInstanceUID), True)

    def released(self, keys: list[str]) -> None:
        self.ended.append(list(keys))


@dataclass
class House:
    """An open port and what stands behind it."""

    hall: Hall
    limits: Limits
    room: bool = True
    port: int = 0
    told: list[str] = field(default_factory=list)
    heard: list[AuditEvent] = field(default_factory=list)
    refused: Refusals = field(default_factory=Refusals)

    def tell(self, text: str, **_: object) -> None:
        self.told.append(text)


Open = Callable[..., House]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    ports: list[DicomPort] = []
    before = tempfile.gettempdir()

    def open_port(
        guests: GuestList = OPEN, port: Port | None = None, tls: ssl.SSLContext | None = None, **limits: float
    ) -> House:
        staging, kept = tmp_path / "staging", tmp_path / "kept"
        staging.mkdir()
        kept.mkdir()
        house = House(Hall(kept), Limits(guests, **limits))  # type: ignore[arg-type]
        dicom = DicomPort(
            house.hall,
            port or Port(),
            lambda: house.limits,
            lambda: house.room,
            lambda text, **_: house.told.append(text),
            audit=house.heard.append,
            refused=house.refused,
        )
        house.port = dicom.open(staging, tls)
        ports.append(dicom)
        return house

    yield open_port
    for dicom in ports:
        dicom.close()
    assert tempfile.gettempdir() == before


def test_images_enter_as_they_were_sent(opened: Open, tmp_path: Path) -> None:
    """Every image, with its sender's name; bytes of the data set untouched; the end of the association is told."""
    house = opened()
    images = series_of("a")
    assert send(images, house.port) == [0] * 6
    assert house.hall.images == [ds.SOPInstanceUID for ds in images]
    assert house.hall.arrived_from == [("MR1", 100)] * 6
    assert eventually(lambda: house.hall.ended == [["key"]])
    assert dcmread(tmp_path / "kept" / "3.dcm") == images[2]
    assert list((tmp_path / "staging").iterdir()) == []


def test_echo(opened: Open) -> None:
    """C-ECHO answers Success."""
    assert echo(opened().port) == 0


@pytest.mark.parametrize(
    ("caller", "statuses"),
    [("MR1", 0), ("mr1", -2), ("STRANGER", -2)],
)
def test_only_names_on_the_list_get_in(opened: Open, caller: str, statuses: int) -> None:
    """Another AE title is rejected, and told to the log."""
    house = opened(GuestList((Caller("MR1", "127.0.0.0/8", 7),)))
    assert send(series_of("a", 1), house.port, caller) == [statuses]
    assert house.hall.arrived_from == ([("MR1", 7)] if statuses == 0 else [])
    assert ("a caller was turned away" in house.told) is (statuses != 0)


def test_only_addresses_on_the_list_get_in(opened: Open) -> None:
    """A right name from a wrong address is not even heard; the log and the audit trail hear of it, once a minute."""
    house = opened(GuestList((Caller("MR1", "192.0.2.0/24"),)))
    for _ in range(3):
        assert send(series_of("a", 1), house.port, "MR1") == [-1]
    assert house.hall.images == []
    assert house.told.count("a caller was turned away") == 1
    assert house.refused.counts()[STRANGER] == 3
    assert [(e.event, e.user, e.address, e.succeeded) for e in house.heard] == [
        (SECURITY, "127.0.0.1", "127.0.0.1", False)
    ]


def test_an_empty_list_lets_nobody_in(opened: Open) -> None:
    """Beyond loopback, closed is the default."""
    house = opened(GuestList())
    assert send(series_of("a", 1), house.port) == [-1]


def test_the_list_may_change_while_the_port_is_open(opened: Open) -> None:
    """A new caller gets in without a restart."""
    house = opened(GuestList((Caller("MR1"),)))
    assert echo(house.port, "MR2") == -1
    house.limits = Limits(GuestList((Caller("MR1"), Caller("MR2"))))
    assert echo(house.port, "MR2") == 0


def test_the_called_name_may_matter(opened: Open) -> None:
    """Where it is asked for, another called AE title is rejected."""
    house = opened(GuestList(open_house=True, called_ae="SPINEPS"))
    assert echo(house.port, called="OTHER") == -1
    assert echo(house.port, called="SPINEPS") == 0


def test_an_address_that_is_none_is_refused_at_once() -> None:
    """A typo in the configuration is a sentence."""
    with pytest.raises(SettingsError, match=r"caller 'MR1': '10\.1\.2' is no address"):
        Caller("MR1", "10.1.2")


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Unusable("the image has no value in SOPInstanceUID"), 0xC000),
        (TryAgain("the data folder takes nothing more"), 0xA700),
        (OSError(5, "Input/output error"), 0xC001),
    ],
)
def test_no_success_for_what_is_not_safe(opened: Open, refusal: Exception, status: int) -> None:
    """Each reason has its status; the next image is taken again."""
    house = opened()
    house.hall.refusal = refusal
    assert send(series_of("a", 1), house.port) == [status]
    house.hall.refusal = None
    assert send(series_of("a", 1), house.port) == [0]


def test_a_full_disk_is_said_before_it_is_full(opened: Open, tmp_path: Path) -> None:
    """Below the watermark every image is answered 0xA700, and nothing is left behind."""
    house = opened()
    house.room = False
    assert send(series_of("a", 2), house.port) == [0xA700] * 2
    assert "disk full: an image was refused" in house.told
    assert house.refused.counts()[NO_ROOM] == 2
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_class_that_is_not_in_the_table_is_refused(opened: Open) -> None:
    """At the association, so that the sender knows; MR is in it."""
    house = opened(port=Port(sop_classes=(MR,)))
    ae = AE("MR1")
    wanted = [build_context(MR), build_context("1.2.840.10008.5.1.4.1.1.2")]
    association = ae.associate("127.0.0.1", house.port, contexts=wanted)
    accepted = [cx.abstract_syntax for cx in association.accepted_contexts]
    hang_up(association)
    assert accepted == [MR]


def test_no_more_associations_than_allowed(opened: Open) -> None:
    """The third of two is turned away, and may come when one has gone."""
    house = opened(port=Port(max_associations=2))
    ae = AE("MR1")
    ae.requested_contexts = [build_context(MR)]
    first, second, third = (ae.associate("127.0.0.1", house.port) for _ in range(3))
    assert (first.is_established, second.is_established, third.is_established) == (True, True, False)
    hang_up(first)
    hang_up(third)
    assert eventually(lambda: echo(house.port) == 0)
    hang_up(second)


def test_a_connection_without_a_thread_is_not_counted_for_ever(opened: Open) -> None:
    """The machine had no thread to give, more often than connections are let in at once: the port hears as before."""
    house = opened(port=Port(max_associations=2))
    usual = threading.stack_size(1 << 46)  # more than any machine can give
    try:
        for number in range(1, 6):
            with socket.create_connection(("127.0.0.1", house.port), timeout=10) as caller:
                assert caller.recv(1) == b""
            assert eventually(lambda wanted=number: len(house.told) == wanted)  # type: ignore[misc]
    finally:
        threading.stack_size(usual)
    assert set(house.told) == {"a connection could not be served"}
    assert echo(house.port) == 0


def test_a_dataset_without_end_ends_its_association(opened: Open, tmp_path: Path) -> None:
    """An image larger than allowed costs its sender the association, not the node its disk."""
    house = opened(max_dataset_bytes=200_000)
    big = slice_of("a", 0, Rows=600, Columns=600, PixelData=b"\0" * 720_000)
    assert send([big], house.port) == [-1]
    assert house.hall.images == []
    assert house.refused.counts()[TOO_LARGE] == 1
    assert send(series_of("b", 1), house.port) == [0]
    assert eventually(lambda: list((tmp_path / "staging").iterdir()) == [])


def test_a_pdu_that_lies_about_its_length(opened: Open) -> None:
    """Four gigabytes are announced: the connection ends, memory stays, the port lives."""
    house = opened()
    with socket.create_connection(("127.0.0.1", house.port), timeout=10) as liar:
        liar.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0) + b"\0" * 1000)
        assert liar.recv(100) == b""
    assert echo(house.port) == 0


def test_half_an_association_request(opened: Open) -> None:
    """One who begins and says no more is hung up on; others are served meanwhile."""
    house = opened(port=Port(idle_timeout_s=1.0))
    with socket.create_connection(("127.0.0.1", house.port), timeout=20) as silent:
        silent.sendall(b"\x01\x00\x00\x00\x10\x00half")
        assert echo(house.port) == 0
        assert silent.recv(100) == b""


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_do_not_close_the_port(opened: Open, seed: int) -> None:
    """Random PDUs, with a true head or none: each ends its own connection only."""
    house, dice = opened(port=Port(idle_timeout_s=1.0)), random.Random(seed)  # noqa: S311
    for _ in range(40):
        body = dice.randbytes(dice.randrange(1, 400))
        head = struct.pack(">BBL", dice.randrange(1, 8), 0, len(body)) if dice.random() < 0.7 else b""
        with socket.create_connection(("127.0.0.1", house.port), timeout=5) as peer:
            peer.sendall(head + body)
    assert eventually(lambda: echo(house.port) == 0)
    assert house.hall.images == []


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


def as_client(pair: Pair | None, authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def test_tls_with_client_certificate(opened: Open, authority: Authority, tmp_path: Path) -> None:
    """With a certificate of the authority one gets in; with none, a stranger's, or without TLS, one does not."""
    node = authority.issue("node")
    tls = tls_context(str(node.certificate), str(node.key), str(authority.certificate), require_client=True)
    house = opened(tls=tls, port=Port(idle_timeout_s=2.0))
    friend = as_client(authority.issue("scanner"), authority)
    stranger = as_client(Authority(tmp_path / "other", "stranger").issue("x"), authority)
    assert send(series_of("a", 2), house.port, tls_args=(friend, "localhost")) == [0, 0]
    assert echo(house.port, tls_args=(stranger, "localhost")) == -1
    assert eventually(lambda: [event.event for event in house.heard] == [SECURITY])
    assert echo(house.port, tls_args=(as_client(None, authority), "localhost")) == -1
    with socket.create_connection(("127.0.0.1", house.port)):
        assert echo(house.port, tls_args=(friend, "localhost")) == 0


def test_tls_files_that_cannot_be_used(tmp_path: Path) -> None:
    """A missing file, or client certificates without an authority, is a sentence."""
    with pytest.raises(SettingsError, match="cannot be used"):
        tls_context(str(tmp_path / "no.crt"), str(tmp_path / "no.key"), "", require_client=False)
    pair = Authority(tmp_path).issue("node")
    with pytest.raises(SettingsError, match="no authority"):
        tls_context(str(pair.certificate), str(pair.key), "", require_client=True)


def test_a_fast_sender_is_slowed_down() -> None:
    """Four images at two a second: each waits for its turn; another address does not."""
    waited: list[float] = []
    pace = Pace(clock=lambda: 100.0, sleep=waited.append)
    for _ in range(4):
        pace.wait("192.0.2.1", 2.0)
    pace.wait("192.0.2.2", 2.0)
    pace.wait("192.0.2.1", 0.0)
    assert waited == [0.5, 1.0, 1.5]


def test_many_at_once_lose_nothing(opened: Open) -> None:
    """Eight associations at once, each with its own series."""
    house = opened()
    answers: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(send(series_of(f"s{n}"), house.port))) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[0] * 6] * 8
    assert len(set(house.hall.images)) == 48
