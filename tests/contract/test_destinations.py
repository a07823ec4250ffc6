"""What every destination promises: one receipt a dataset, what it says it accepted is there, down means later."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Pair
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer
from samples import MR, SEG, content_of, series_of, slice_of, uid
from twins import ListDestination
from walk.peers import FakePacs

from contract.servers import FakeOrthanc, FakeStow
from spineps_pacs.delivery.dimse import DimseDestination, answered_within
from spineps_pacs.delivery.folder import FolderDestination
from spineps_pacs.delivery.orthanc import OrthancConfirmation, OrthancDestination
from spineps_pacs.delivery.peer import Peer, TlsFiles
from spineps_pacs.delivery.stow import StowDestination
from spineps_pacs.delivery.web import WebPeer
from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.domain.ports import Destination

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")
"""The library leaves a socket to the garbage collector when the peer was the first to hang up."""


@dataclass
class Case:
    """A destination, what has arrived there, and how to shut it."""

    destination: Destination
    arrived: Callable[[], Sequence[Dataset]]
    shut: Callable[[], Any]
    refuse: Callable[[], Any] | None = None


def dicom_case(folder: Path) -> Case:
    pacs = FakePacs()

    def refuse() -> None:
        pacs.answer = lambda _: 0xA900

    peer = Peer("127.0.0.1", pacs.port, "PACS", "SPINEPS", timeout_s=5.0)
    return Case(DimseDestination("x", peer), lambda: pacs.kept, pacs.close, refuse)


def stow_case(folder: Path) -> Case:
    server = FakeStow(folder)
    peer = WebPeer(f"http://127.0.0.1:{server.port}", token="secret", timeout_s=5.0)
    return Case(StowDestination("x", peer), server.kept, server.stop, server.refuse)


def orthanc_case(folder: Path) -> Case:
    server = FakeOrthanc()
    peer = WebPeer(f"http://127.0.0.1:{server.port}", user="u", password="p", timeout_s=5.0)
    return Case(OrthancDestination("x", peer), server.kept, server.stop, server.refuse)


def folder_case(folder: Path) -> Case:
    target = folder / "out"

    def shut() -> None:
        if not target.exists():
            target.write_text("a file where the folder should be")

    def arrived() -> list[Dataset]:
        return [dcmread(path) for path in sorted(target.rglob("*.dcm"))]

    return Case(FolderDestination("x", target), arrived, shut)


def list_case(folder: Path) -> Case:
    twin = ListDestination("x")

    def shut() -> None:
        twin.down = True

    def refuse() -> None:
        twin.refuses = {str(series_of("a")[0].SOPClassUID)}

    return Case(twin, lambda: twin.kept, shut, refuse)


REFUSING = [dicom_case, stow_case, orthanc_case, list_case]
"""Those that can say no; a folder takes everything."""


@pytest.fixture(params=[*REFUSING, folder_case], ids=lambda f: f.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    made = request.param(tmp_path)
    yield made
    made.shut()


@pytest.fixture(params=REFUSING, ids=lambda f: f.__name__)
def refusing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    made = request.param(tmp_path)
    made.refuse()
    yield made
    made.shut()


def test_what_is_accepted_is_there(case: Case) -> None:
    """Every dataset whole, with a receipt each."""
    images = series_of("a", 3)
    receipts = list(case.destination.send(images))
    assert [(r.sop_instance_uid, r.accepted) for r in receipts] == [(str(ds.SOPInstanceUID), True) for ds in images]
    arrived = {str(ds.SOPInstanceUID): ds for ds in case.arrived()}
    assert [arrived[str(ds.SOPInstanceUID)] for ds in images] == images


def test_sent_twice_is_there_once(case: Case) -> None:
    """The same instance again is accepted and changes nothing."""
    image = series_of("a", 1)
    for _ in range(2):
        assert [r.accepted for r in case.destination.send(image)] == [True]
    assert len({str(ds.SOPInstanceUID) for ds in case.arrived()}) == 1


def test_a_refusal_is_a_receipt(refusing: Case) -> None:
    """Refused is not lost: the receipt says so, and why."""
    (receipt,) = refusing.destination.send(series_of("a", 1))
    assert not receipt.accepted
    assert receipt.status
    assert refusing.arrived() == []


def test_down_means_later(case: Case) -> None:
    """Nobody there is a reason to try again."""
    case.shut()
    with pytest.raises(TryAgain):
        list(case.destination.send(series_of("a", 1)))


def test_nothing_to_send_is_no_error(case: Case) -> None:
    """No datasets, no receipts."""
    assert list(case.destination.send([])) == []


def test_a_class_that_the_peer_does_not_know(tmp_path: Path) -> None:
    """Refused at the association: the receipt names the class, the others are sent."""
    pacs = FakePacs(classes=[str(series_of("a")[0].SOPClassUID)])
    destination = DimseDestination("x", Peer("127.0.0.1", pacs.port, "PACS", "SPINEPS", timeout_s=5.0))
    other = slice_of("b", 0, SOPClassUID=SEG)
    other.file_meta.MediaStorageSOPClassUID = SEG
    receipts = list(destination.send([other, *series_of("a", 1)]))
    pacs.close()
    assert [(r.accepted, r.status) for r in receipts] == [
        (False, "refuses Segmentation Storage"),
        (True, "0x0000"),
    ]


def test_a_peer_that_hangs_up_after_the_first(tmp_path: Path) -> None:
    """The first receipt stands; then the chain hears that it must come again."""
    pacs = FakePacs()
    pacs.hangs_up = True
    destination = DimseDestination("x", Peer("127.0.0.1", pacs.port, "PACS", "SPINEPS", timeout_s=3.0))
    with pytest.raises(TryAgain, match="hung up"):
        list(destination.send(series_of("a", 3)))
    pacs.close()
    assert len(pacs.kept) == 1


def test_compressed_results_are_unpacked_for_a_peer_that_wants_them_plain() -> None:
    """A peer that takes no RLE gets the same pixels, uncompressed."""
    from pydicom.uid import RLELossless

    pacs = FakePacs()
    destination = DimseDestination("x", Peer("127.0.0.1", pacs.port, "PACS", "SPINEPS", timeout_s=5.0))
    (plain,) = series_of("a", 1)
    packed = dcmread(__import__("io").BytesIO(content_of(plain)))
    packed.compress(RLELossless, generate_instance_uid=False)
    assert [r.accepted for r in destination.send([packed])] == [True]
    pacs.close()
    assert (pacs.kept[0].pixel_array == plain.pixel_array).all()


def test_wrong_credentials_are_a_reason_to_wait() -> None:
    """A token that was changed can be put right; nothing is lost meanwhile."""
    server = FakeOrthanc()
    peer = WebPeer(f"http://127.0.0.1:{server.port}", user="u", password="wrong", timeout_s=5.0)
    with pytest.raises(TryAgain, match="x answers 401"):
        list(OrthancDestination("x", peer).send(series_of("a", 1)))
    server.stop()


def test_orthanc_confirms_what_it_has() -> None:
    """Looked up by instance UID."""
    server = FakeOrthanc()
    peer = WebPeer(f"http://127.0.0.1:{server.port}", user="u", password="p", timeout_s=5.0)
    images = series_of("a", 2)
    list(OrthancDestination("x", peer).send(images[:1]))
    assert OrthancConfirmation("x", peer).kept(images, "t") == {uid("a", "slice", 0)}
    server.stop()
    with pytest.raises(TryAgain):
        OrthancConfirmation("x", peer).kept(images, "t")


def over_tls(context: ssl.SSLContext, kept: list[str]) -> ThreadedAssociationServer:
    """A PACS that lets in who shows a certificate of the authority."""

    def keep(event: Any) -> int:
        kept.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    ae = AE("PACS")
    ae.add_supported_context(MR)
    handlers = [(evt.EVT_C_STORE, keep)]
    return ae.start_server(("127.0.0.1", 0), block=False, ssl_context=context, evt_handlers=handlers)


def test_a_pacs_with_tls_gets_results_from_who_shows_a_certificate(tmp_path: Path) -> None:
    """With a certificate of the authority they arrive; as a stranger, or to a PACS that is one, nothing is sent."""
    authority, other = Authority(tmp_path / "tls"), Authority(tmp_path / "other", "stranger")
    pacs, node, stranger = authority.issue("pacs"), authority.issue("node"), other.issue("node")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.load_cert_chain(pacs.certificate, pacs.key)
    context.verify_mode = ssl.CERT_REQUIRED
    kept: list[str] = []
    server = over_tls(context, kept)

    def send(pair: Pair, trusted: Authority) -> None:
        files = TlsFiles(pair.certificate, pair.key, trusted.certificate)
        peer = Peer("127.0.0.1", server.server_address[1], "PACS", "SPINEPS", 5.0, files)
        list(DimseDestination("pacs", peer).send([slice_of("a", 0)]))

    send(node, authority)
    for pair, trusted in ((stranger, authority), (node, other)):
        with pytest.raises(TryAgain):
            send(pair, trusted)
    server.shutdown()
    assert kept == [slice_of("a", 0).SOPInstanceUID]


def test_a_large_object_is_given_time_to_get_there() -> None:
    """Thirteen megabytes over a slow line are no peer that hung up; a report is answered in the usual time."""
    assert answered_within(30.0, slice_of("a", 0, PixelData=bytes(13_000_000))) == 160.0
    report = slice_of("a", 0)
    del report.PixelData
    assert answered_within(30.0, report) == 30.0
