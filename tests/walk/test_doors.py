"""The other doors of a true receiving half: STOW-RS and the watched folder, from the first byte to the PACS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dicomweb_client import DICOMwebClient
from samples import SEG, SR, series_of, uid, write

from spineps_pacs import app, settings
from spineps_pacs.delivery.dimse import DimseDestination
from spineps_pacs.delivery.peer import Peer
from spineps_pacs.workflow.loops import Half
from walk.node import Back
from walk.peers import FakePacs

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")
CONFIG = """
[node]
data_folder = "data"
min_free_gb = 0.0
[dicom]
port = 0
quiet_s = 0.5
[stow]
enabled = true
port = 0
[watched]
folder = "drop"
every_s = 0.1
remove = true
[web]
enabled = false
"""


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Half]:
    (tmp_path / "drop").mkdir()
    (tmp_path / "node.toml").write_text(CONFIG)
    current = settings.load(tmp_path / "node.toml")
    half = app.front(lambda: current)
    half.start()
    yield half
    half.stop()


@pytest.fixture
def pacs(tmp_path: Path, receiver: Half) -> Iterator[FakePacs]:
    peer = FakePacs()
    back = Back(tmp_path / "data", {"pacs": DimseDestination("pacs", Peer("127.0.0.1", peer.port, "PACS", "SPINEPS"))})
    yield peer
    back.close()
    peer.close()
    assert back.faults == []


def test_what_is_stored_by_web_is_analysed_and_sent(receiver: Half, pacs: FakePacs) -> None:
    """POST /studies: its results reach the PACS in the study of the images."""
    client = DICOMwebClient(f"http://127.0.0.1:{receiver.addresses['stow']}")
    images = series_of("a")
    for ds in images:
        ds.preamble = bytes(128)  # without one the client writes no DICOM file
    client.store_instances(images)
    results = pacs.wait_for(2)
    assert {str(ds.SOPClassUID) for ds in results} == {SEG, SR}
    assert {str(ds.StudyInstanceUID) for ds in results} == {uid("a", "study")}


def test_what_is_put_into_the_folder_is_analysed_and_sent(tmp_path: Path, pacs: FakePacs) -> None:
    """Files of a series, in no order and in a folder of their own: taken, removed there, and answered."""
    write(list(reversed(series_of("b"))), tmp_path / "drop" / "export")
    results = pacs.wait_for(2)
    assert {str(ds.StudyInstanceUID) for ds in results} == {uid("b", "study")}
    assert list((tmp_path / "drop").rglob("*.dcm")) == []
