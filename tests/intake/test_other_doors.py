"""STOW-RS and Orthanc: other ways to the same door."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from absent import absent
from contract.servers import FakeOrthanc
from samples import content_of, series_of, uid
from walk.node import eventually

from intake.conftest import Told
from intake.test_reception import Node
from spineps_pacs import logs
from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.job import Job, State
from spineps_pacs.intake.orthanc import OrthancIntake, OrthancPeer
from spineps_pacs.intake.orthanc_desk import Back, OrthancDesk
from spineps_pacs.intake.reception import Arrival, Reception, Source, series_key
from spineps_pacs.intake.serving import Serving
from spineps_pacs.intake.stow import StowLimits, stow_app

DICOM = 'multipart/related; type="application/dicom"; boundary=part'


@dataclass
class StowServer:
    """Our STOW-RS door on a port."""

    url: str
    room: bool = True
    limits: StowLimits = field(default_factory=StowLimits)


@pytest.fixture
def stow(node: Node, staging: Path) -> Iterator[StowServer]:
    server = StowServer("")
    serving = Serving(stow_app(node.door, staging, lambda: server.room, lambda: server.limits), "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{serving.start()}/studies"
    yield server
    serving.stop()
    assert list(staging.iterdir()) == []


def body_of(*contents: bytes) -> bytes:
    """The parts of a STOW-RS request."""
    parts = b"".join(b"--part\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n" for content in contents)
    return parts + b"--part--\r\n"


def post(url: str, body: bytes, kind: str = DICOM, **headers: str) -> requests.Response:
    return requests.post(url, data=body, headers={"Content-Type": kind, **headers}, timeout=10)


def test_stow_stores_a_series_and_completes_it(node: Node, stow: StowServer) -> None:
    """Every instance is named in the answer; the end of the request counts as the end of an association."""
    images = series_of("a")
    answer = post(stow.url, body_of(*map(content_of, images)))
    assert answer.status_code == 200
    named = [item["00081155"]["Value"][0] for item in answer.json()["00081199"]["Value"]]
    assert named == [ds.SOPInstanceUID for ds in images]
    node.clock.now += 1.1
    assert len(node.door.sweep()) == 1
    assert node.jobs()[0].source == "stow"


def test_stow_tells_what_it_did_not_take(node: Node, stow: StowServer) -> None:
    """One good, one rotten: 202 and both lists; only rotten: 409."""
    good = content_of(series_of("a")[0])
    answer = post(stow.url, body_of(good, b"rotten"))
    assert answer.status_code == 202
    assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xC000]
    assert post(stow.url, body_of(b"rotten")).status_code == 409


def test_stow_into_a_study_takes_only_that_study(node: Node, stow: StowServer) -> None:
    """POST /studies/{study}."""
    image = content_of(series_of("a")[0])
    assert post(f"{stow.url}/{uid('a', 'study')}", body_of(image)).status_code == 200
    assert post(f"{stow.url}/1.2.3", body_of(image)).status_code == 409


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"not multipart", DICOM, 400),
        (b"--part\r\nContent-Type: application/dicom\r\n\r\nno end", DICOM, 400),
        (b"x", "application/json", 415),
        (b"x", "multipart/related", 415),
    ],
)
def test_stow_refuses_what_it_cannot_read(stow: StowServer, body: bytes, kind: str, status: int) -> None:
    """With a status that says which."""
    assert post(stow.url, body, kind).status_code == status


def test_stow_asks_for_its_token(node: Node, stow: StowServer) -> None:
    """Without it nothing enters."""
    stow.limits = StowLimits("secret")
    body = body_of(content_of(series_of("a")[0]))
    assert post(stow.url, body).status_code == 401
    assert post(stow.url, body, Authorization="Bearer wrong").status_code == 401
    assert node.inbox.quiet(float("inf")) == []
    assert post(stow.url, body, Authorization="Bearer secret").status_code == 200


def test_stow_takes_no_more_than_allowed(node: Node, stow: StowServer) -> None:
    """A body that is too long is 413, and a full disk 503."""
    body = body_of(*map(content_of, series_of("a")))
    stow.limits = StowLimits(max_body_bytes=1000)
    assert post(stow.url, body).status_code == 413
    stow.limits, stow.room = StowLimits(), False
    assert post(stow.url, body).status_code == 503
    assert node.inbox.quiet(float("inf")) == []


@pytest.fixture
def orthanc() -> Iterator[FakeOrthanc]:
    server = FakeOrthanc()
    yield server
    server.stop()


Pull = Callable[[], OrthancIntake]


@pytest.fixture
def pull(node: Node, staging: Path, orthanc: FakeOrthanc) -> Pull:
    peer = OrthancPeer(f"http://127.0.0.1:{orthanc.port}", requests.Session)
    return lambda: OrthancIntake(node.door, node.notes, peer, staging, Told())


def test_a_series_that_orthanc_hands_over_is_pulled(node: Node, orthanc: FakeOrthanc, pull: Pull) -> None:
    """All its images, and complete at once; also when the node was restarted in between."""
    ids = {orthanc.keep(content_of(ds)) for ds in series_of("a")}
    pull().hand_over(ids.pop())
    assert pull().step() == 1
    node.clock.now += 0.1
    assert len(node.door.sweep()) == 1
    assert (node.jobs()[0].source, node.jobs()[0].priority) == ("orthanc", 100)


def test_orthanc_may_be_down_for_a_while(node: Node, orthanc: FakeOrthanc, pull: Pull) -> None:
    """What was handed over stays noted."""
    intake = pull()
    intake.hand_over(orthanc.keep(content_of(series_of("a")[0])))
    orthanc.broken = True
    assert intake.step() == 0
    orthanc.broken = False
    assert intake.step() == 1


@dataclass
class Busy:
    """A door at which something else happens before each image enters."""

    door: Reception
    meanwhile: Callable[[], None]

    def arrived(self, path: Path, source: Source) -> Arrival:
        self.meanwhile()
        return self.door.arrived(path, source)

    def complete(self, series_uid: str) -> None:
        self.door.complete(series_uid)


def test_what_is_handed_over_during_a_pull_is_pulled_after_it(
    node: Node, orthanc: FakeOrthanc, pull: Pull, staging: Path
) -> None:
    """A slice that came when the list was read already: the plugin said so and was answered, so it counts."""
    images, key = series_of("a"), series_key(uid("a", "series"))
    series = {orthanc.keep(content_of(ds)) for ds in images[:5]}.pop()

    def late() -> None:
        if len(node.inbox.names(key)) == 3:
            orthanc.keep(content_of(images[5]))
            pull().hand_over(series)

    peer = OrthancPeer(f"http://127.0.0.1:{orthanc.port}", requests.Session)
    intake = OrthancIntake(Busy(node.door, late), node.notes, peer, staging, Told())
    intake.hand_over(series)
    assert [intake.step() for _ in range(3)] == [1, 1, 0]
    assert len(node.inbox.names(key)) == 6


@pytest.mark.parametrize(("text", "made"), [("urgent", [1]), ("7 now", [7]), ("20", []), ("", [])])
def test_what_a_release_before_noted_is_pulled(
    node: Node, orthanc: FakeOrthanc, pull: Pull, text: str, made: list[int]
) -> None:
    """With its priority; one that was wished "now" whatever its modality."""
    series = {orthanc.keep(content_of(ds)) for ds in series_of("a", Modality="OT")}.pop()
    node.notes.put(series, "handed", text)
    assert pull().step() == 1
    node.clock.now += 0.1
    node.door.sweep()
    assert [job.priority for job in node.jobs()] == made


def test_no_note_of_orthanc_outlives_its_series(node: Node, orthanc: FakeOrthanc, pull: Pull) -> None:
    """With the images goes the one place where the UID of the series stood beside Orthanc's id; not before."""
    intake = pull()
    series = [{orthanc.keep(content_of(ds)) for ds in series_of(name)}.pop() for name in ("a", "b")]
    for orthanc_id in series:
        intake.hand_over(orthanc_id)
    intake.step()
    assert intake.tidy() == 0
    node.notes.forget(series_key(uid("a", "series")))  # as when it is erased
    assert intake.tidy() == 1
    assert [intake.series_of(orthanc_id) for orthanc_id in series] == [None, uid("b", "series")]


def test_our_own_results_are_not_pulled(node: Node, orthanc: FakeOrthanc, pull: Pull) -> None:
    """A SEG that became stable is none of our business; nor is a series that Orthanc no longer has."""
    intake = pull()
    intake.hand_over(orthanc.keep(content_of(series_of("a", Modality="SEG")[0])))
    intake.hand_over("0" * 8 + "-00000000" * 4)
    assert intake.step() == 2
    assert node.inbox.quiet(float("inf")) == []


@dataclass
class Counter:
    """The desk at which the plugin asks, on a port; `names` are the models that it may ask for."""

    desk: OrthancDesk
    url: str

    def run(self, orthanc_id: str, **wishes: object) -> requests.Response:
        return requests.post(f"{self.url}/series", json={"id": orthanc_id, "now": True, **wishes}, timeout=5)

    def tell(self, orthanc_id: str) -> dict[str, object]:
        told: dict[str, object] = requests.get(f"{self.url}/series/{orthanc_id}", timeout=5).json()
        return told


@pytest.fixture
def counter(node: Node, pull: Pull) -> Iterator[Counter]:
    def check(names: Sequence[str]) -> None:
        if set(names) - {"other"}:
            raise ModelError(f"no model is called {names[0]!r}")

    desk = OrthancDesk(Back(pull(), node.notes, node.records, node.chain, check))
    serving = Serving(desk.app(), "127.0.0.1", 0)
    yield Counter(desk, f"http://127.0.0.1:{serving.start()}/orthanc")
    serving.stop()


@pytest.fixture
def orthanc_id(orthanc: FakeOrthanc) -> str:
    """A series that Orthanc has."""
    return {orthanc.keep(content_of(ds)) for ds in series_of("a")}.pop()


def made_job(node: Node, counter: Counter) -> Job:
    """The job of the series that was handed over."""
    counter.desk.step()
    node.clock.now += 0.1
    (made,) = node.door.sweep()
    return node.jobs()[0] if node.jobs()[0].id == made else pytest.fail("another job")


def test_what_the_plugin_calls(node: Node, counter: Counter, orthanc_id: str) -> None:
    """Hand over, ask, list; "now" starts a job that has ended anew, ahead of others."""
    assert requests.get(f"{counter.url}/series/{orthanc_id}", timeout=5).status_code == 404
    assert requests.post(f"{counter.url}/series", json={"id": orthanc_id}, timeout=5).status_code == 202
    made = made_job(node, counter).id
    shown = counter.tell(orthanc_id)
    assert (shown["job"], shown["state"]) == (made, "arriving")
    assert [one["job"] for one in requests.get(f"{counter.url}/jobs", timeout=5).json()] == [made]
    node.records.move(made, 0, State.SKIPPED, "not T2")
    assert counter.run(orthanc_id).status_code == 202
    shown = counter.tell(orthanc_id)
    assert (shown["state"], shown["priority"]) == ("arriving", 1)


def test_a_series_is_run_with_models_and_priority(node: Node, counter: Counter, orthanc_id: str) -> None:
    """A new one gets its priority at once, and its models when it is a job; one that is known gets both at once."""
    assert counter.run(orthanc_id, models=["other"], priority=7).status_code == 202
    assert made_job(node, counter).priority == 7
    counter.desk.step()
    assert counter.tell(orthanc_id)["models"] == ["other"]
    assert counter.run(orthanc_id, models=[], priority=9).status_code == 202
    shown = counter.tell(orthanc_id)
    assert (shown["models"], shown["priority"]) == ([], 9)


def test_a_series_that_was_erased_here_is_pulled_once_more(node: Node, counter: Counter, orthanc_id: str) -> None:
    """Its images are gone from the node, and Orthanc still has them."""
    counter.run(orthanc_id)
    job = made_job(node, counter)
    node.records.move(job.id, 0, State.SKIPPED, "not T2")
    node.records.erase(job.id)
    node.inbox.forget(node.inbox.quiet(float("inf"))[0])
    assert counter.run(orthanc_id).json() == {"id": orthanc_id}
    assert counter.desk.step() == 1


@pytest.mark.parametrize(
    ("wishes", "word"),
    [
        ({"models": ["unheard"]}, "unheard"),
        ({"models": "other"}, "models"),
        ({"priority": 0}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": "1"}, "priority"),
        ({"speed": 3}, "speed"),
    ],
)
def test_a_wish_that_cannot_be_granted_says_why(counter: Counter, orthanc_id: str, wishes: Any, word: str) -> None:
    """400, a sentence with the word that is wrong, and nothing is run."""
    answer = counter.run(orthanc_id, **wishes)
    assert answer.status_code == 400
    assert word in answer.json()["error"]
    assert counter.desk.step() == 0


def test_what_is_no_request_of_the_plugin(counter: Counter) -> None:
    """Neither ids that are none nor bodies that are no JSON object do anything."""
    assert counter.run("../../etc").status_code == 404
    json_sent = {"Content-Type": "application/json"}
    for body in (b"?", b"[]", b'{"id": 3}'):
        assert requests.post(f"{counter.url}/series", data=body, headers=json_sent, timeout=5).status_code == 400


def test_a_page_in_a_browser_of_this_machine_asks_in_vain(counter: Counter, orthanc_id: str) -> None:
    """Neither a form of another site nor a name that somebody let lead here starts or reads anything."""
    form = {"Content-Type": "text/plain"}
    wish = f'{{"id": "{orthanc_id}", "now": true}}'
    assert requests.post(f"{counter.url}/series", data=wish, headers=form, timeout=5).status_code == 415
    rebound = {"Host": "attacker.example"}
    assert requests.get(f"{counter.url}/jobs", headers=rebound, timeout=5).status_code == 400
    assert counter.desk.step() == 0


def test_stow_says_what_the_disk_did_not_take(stow: StowServer, staging: Path) -> None:
    """A disk without room for the body is 503, with nothing left behind; a sender that hangs up costs nothing."""
    body = body_of(*map(content_of, series_of("a")))
    if os.system(f"mount -t tmpfs -o size=8k tmpfs {staging} 2>/dev/null") != 0:  # noqa: S605
        absent("no file system can be mounted here, which takes root")
    try:
        assert post(stow.url, body).status_code == 503
        assert list(staging.iterdir()) == []
    finally:
        os.system(f"umount {staging}")  # noqa: S605
    host, port = stow.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as cut:
        head = f"POST /studies HTTP/1.1\r\nHost: {host}\r\nContent-Type: {DICOM}\r\nContent-Length: {len(body)}\r\n\r\n"
        cut.sendall(head.encode() + body[:3000])
    assert eventually(lambda: list(staging.iterdir()) == [])
    assert post(stow.url, body).status_code == 200


def test_a_fault_in_an_answer_quotes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """The page fails with 500; the log has its place, and neither log nor error output the text."""

    async def faulty(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ValueError("DOE^JANE is not a number")

    logs.configure("info", "json")
    serving = Serving(faulty, "127.0.0.1", 0)
    port = serving.start()
    assert requests.get(f"http://127.0.0.1:{port}/", timeout=10).status_code == 500
    serving.stop()
    told = "".join(capfd.readouterr())
    assert "ValueError at" in told
    assert "DOE" not in told
