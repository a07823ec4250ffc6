"""Fetch: series out of an archive into the node, by both protocols, from a real archive and from one with faults."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from samples import content_of, series_of, uid
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scripts.viewing.orthanc_server import OrthancOptions, OrthancPorts, running
from spineps_pacs import app, logs, settings
from spineps_pacs.cli.main import run
from spineps_pacs.delivery.peer import Peer
from spineps_pacs.delivery.web import WebPeer
from spineps_pacs.domain.errors import SettingsError, TryAgain
from spineps_pacs.domain.job import Job
from spineps_pacs.domain.series import fingerprint
from spineps_pacs.intake.move import DimseArchive
from spineps_pacs.intake.query import Found, Query
from spineps_pacs.intake.serving import Serving
from spineps_pacs.intake.wado import WebArchive
from spineps_pacs.storage.records import SqlRecords
from spineps_pacs.storage.tables import open_database, sqlite_url
from walk.archives import FakeArchive
from walk.node import eventually

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")
"""The library leaves a socket to the garbage collector when the peer was the first to hang up."""
T1, OTHER = series_of("a1", StudyInstanceUID=uid("a", "study"), AccessionNumber="ACC-a", Modality="SR"), series_of("b")
IMAGES = [*series_of("a"), *T1, *OTHER]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def node(folder: Path, dicom: int, pacs: str) -> Iterator[Path]:
    """The receiving half of a true node; gives its configuration."""
    config = folder / "node.toml"
    config.write_text(f"""
[node]
data_folder = "data"
min_free_gb = 0.0
[dicom]
port = {dicom}
quiet_s = 0.5
[web]
enabled = false
[[pacs]]
name = "archive"
{pacs}
""")
    current = settings.load(config)
    half = app.front(lambda: current)
    half.start()
    try:
        yield config
    finally:
        half.stop()


def jobs(folder: Path) -> list[Job]:
    database = open_database(sqlite_url(folder / "data" / "node.sqlite"))
    found = list(SqlRecords(database, lambda uid: logs.hashed(b"", uid)).find())
    database.dispose()
    return found


def images_of(folder: Path, series: str) -> int:
    """How many images of a series lie in the node's inbox."""
    return len(list((folder / "data" / "inbox" / fingerprint([uid(series, "series")])).glob("*.dcm")))


@contextmanager
def orthanc(folder: Path, node_port: int) -> Iterator[OrthancPorts]:
    """A real archive with two studies, which knows the node by its AE title."""
    ports = OrthancPorts(free_port(), free_port())
    (folder / "orthanc").mkdir()
    more = {"DicomModalities": {"node": ["SPINEPS", "127.0.0.1", node_port]}}
    with running(OrthancOptions(folder / "orthanc", ports, more=more)) as address:
        for ds in IMAGES:
            requests.post(f"{address}/instances", data=content_of(ds), timeout=30).raise_for_status()
        yield ports


@pytest.mark.real("Orthanc")
@pytest.mark.parametrize("kind", ["dicom", "dicomweb"])
def test_what_has_an_accession_number_is_fetched(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """From a real Orthanc: the MR series of that number become jobs, whole, and nothing else; once."""
    port = free_port()
    with orthanc(tmp_path, port) as at:
        pacs = f'kind = "{kind}"\nhost = "127.0.0.1"\nport = {at.dicom}\ncalled_ae = "ORTHANC"\n'
        with node(tmp_path, port, f'{pacs}url = "http://127.0.0.1:{at.http}/dicom-web"') as config:
            command = ["fetch", "--config", str(config), "--pacs", "archive"]
            assert run([*command, "--accession", "ACC-a"]) == 0
            assert eventually(lambda: len(jobs(tmp_path)) == 1)
            assert (images_of(tmp_path, "a"), images_of(tmp_path, "b")) == (6, 0)
            assert jobs(tmp_path)[0].series_uid == uid("a", "series")
            assert run([*command, "--since", "2026-01-01", "--until", "2026-01-01"]) == 0
            assert eventually(lambda: len(jobs(tmp_path)) == 2)
            assert "the node has it" in capsys.readouterr().out
            assert run([*command, "--since", "2026-01-02"]) == 0
            assert "0 series fetched" in capsys.readouterr().out


def dimse(archive: FakeArchive) -> DimseArchive:
    return DimseArchive(Peer("127.0.0.1", archive.port, "ARCHIVE", "SPINEPS", timeout_s=10.0), "SPINEPS")


@pytest.fixture
def archive() -> Iterator[FakeArchive]:
    made = FakeArchive(IMAGES, {})
    yield made
    made.close()


def test_only_what_was_asked_for_is_found(archive: FakeArchive) -> None:
    """By number, study, series, day or words; what is no MR is left."""
    found = {f.series_uid for f in dimse(archive).find(Query(accession="ACC-a"))}
    assert found == {uid("a", "series")}
    assert len(list(dimse(archive).find(Query(since="2026-01-01")))) == 2
    assert list(dimse(archive).find(Query(since="2026-01-02"))) == []
    assert list(dimse(archive).find(Query(study_uid=uid("b", "study"), description="axial"))) == []
    assert [f.instances for f in dimse(archive).find(Query(study_uid=uid("b", "study"), description="t2 tse"))] == [6]


def test_an_archive_that_does_not_know_us_says_so(archive: FakeArchive) -> None:
    """The sentence names the AE title that must be registered there."""
    with pytest.raises(TryAgain, match="does not know 'SPINEPS'"):
        dimse(archive).fetch(Found(uid("b", "study"), uid("b", "series")))


def test_images_that_were_not_sent_are_counted(tmp_path: Path) -> None:
    """Two of six fail at the archive: the fetch of that series fails by number, and its job waits for quiet."""
    port = free_port()
    archive = FakeArchive(IMAGES, {"SPINEPS": port})
    archive.keeps_back = 2
    with node(tmp_path, port, f'host = "127.0.0.1"\nport = {archive.port}\ncalled_ae = "ARCHIVE"') as config:
        assert run(["fetch", "--config", str(config), "--accession", "ACC-b"]) == 1
        assert images_of(tmp_path, "b") == 4
        archive.keeps_back = 0
        assert run(["fetch", "--config", str(config), "--accession", "ACC-b", "--again"]) == 0
        assert images_of(tmp_path, "b") == 6
    archive.close()


def test_a_peer_that_offers_no_search_says_so() -> None:
    """A modality is no archive."""
    deaf = FakeArchive([], {}, deaf=True)
    with pytest.raises(TryAgain, match=r"takes no Study Root .* FIND"):
        list(dimse(deaf).find(Query(accession="x")))
    deaf.close()


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"series_uid": "1.2"},
        {"accession": "x", "since": "1.3.2026"},
        {"study_uid": "../x"},
        {"until": "2026-01-01"},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(words: dict[str, str]) -> None:
    """All of an archive is never asked for; days and UIDs are written as they are."""
    with pytest.raises(SettingsError):
        Query(**words)


class FakeWeb:
    """A DICOMweb server that gives pages, or knows none, or breaks off."""

    def __init__(self, studies: int, pages: bool = True, body: bytes = b"", kind: str = "") -> None:
        self._studies = [f"1.2.{n}" for n in range(studies)]
        self._pages, self._body, self._kind = pages, body, kind
        routes = [
            Route("/studies", self._list),
            Route("/studies/{study}/series", self._series),
            Route("/studies/{study}/series/{series}", self._images),
        ]
        self._serving = Serving(Starlette(routes=routes), "127.0.0.1", 0)
        self.port = self._serving.start()

    def archive(self, folder: Path, taken: list[bytes]) -> WebArchive:
        peer = WebPeer(f"http://127.0.0.1:{self.port}", timeout_s=10.0)
        return WebArchive("archive", peer, folder, lambda path: taken.append(path.read_bytes()), page=3)

    def stop(self) -> None:
        self._serving.stop()

    def _list(self, request: Request) -> Response:
        start, most = (int(request.query_params[key]) for key in ("offset", "limit"))
        page = self._studies[start : start + most] if self._pages else self._studies
        if not page:
            return Response(status_code=204)
        return JSONResponse([{"0020000D": {"vr": "UI", "Value": [study]}} for study in page])

    def _series(self, request: Request) -> Response:
        uid = f"{request.path_params['study']}.1"
        facts = {"0020000E": {"Value": [uid]}, "00080060": {"Value": ["MR"]}, "00201209": {"Value": [2]}}
        return JSONResponse([facts] if request.query_params["offset"] == "0" else [])

    def _images(self, request: Request) -> Response:
        return Response(self._body, media_type=self._kind)


@pytest.mark.parametrize("pages", [True, False])
def test_every_page_of_an_answer_is_read(tmp_path: Path, pages: bool) -> None:
    """Seven studies in pages of three; a server that knows no pages sends all of them again, and they count once."""
    server = FakeWeb(7, pages)
    studies = [found.study_uid for found in server.archive(tmp_path, []).find(Query(since="2026-01-01"))]
    server.stop()
    assert len(studies) == len(set(studies)) == 7


HEAD = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
WHOLE = HEAD + b"one\r\n" + HEAD + b"two\r\n--x--\r\n"
RELATED = 'multipart/related; type="application/dicom"; boundary=x'


@pytest.mark.parametrize(
    ("body", "kind", "taken"),
    [(WHOLE, RELATED, 2), (WHOLE[:80], RELATED, 0), (WHOLE, "text/html", 0), (HEAD + b"one\r\n--x--\r\n", RELATED, 1)],
    ids=["whole", "broken off", "no images", "one of two"],
)
def test_a_series_comes_whole_or_with_a_reason(tmp_path: Path, body: bytes, kind: str, taken: int) -> None:
    """What breaks off, is no multipart, or has fewer images than the archive said, is not a fetched series."""
    server, files = FakeWeb(1, body=body, kind=kind), list[bytes]()
    found = Found("1.2.0", "1.2.0.1", "MR", "", 2)
    if taken == 2:
        assert server.archive(tmp_path, files).fetch(found) == 2
    else:
        with pytest.raises(TryAgain, match="archive"):
            server.archive(tmp_path, files).fetch(found)
    server.stop()
    assert len(files) == taken
    assert list(tmp_path.iterdir()) == []
