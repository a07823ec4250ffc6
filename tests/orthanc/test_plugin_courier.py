"""Which series the plugin hands over, and how it keeps the node; a stand-in for Orthanc, a small server as the node."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.orthanc.stand_in import StandIn, loaded


class Desk(http.server.ThreadingHTTPServer):
    """A node that notes what it is given; with `status` it answers something else than yes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)
        self.taken: list[str] = []
        self.status = 202


class _Visit(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Desk)
        if self.server.status == 202:
            self.server.taken.append(body["id"])
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_words: Any) -> None:
        """Says nothing."""


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def orthanc(desk: Desk) -> StandIn:
    return StandIn({"Node": f"http://127.0.0.1:{desk.server_address[1]}"})


def begun(plugin: Any) -> Any:
    """A courier as after Orthanc's start."""
    courier = plugin.Courier(plugin.Node(None))
    courier.begin()
    return courier


def test_what_was_there_before_the_plugin_is_left_alone(orthanc: StandIn, desk: Desk) -> None:
    """An archive of years is not sent through the networks because a plugin was installed."""
    orthanc.image("old")
    orthanc.quiet("old")
    with loaded(orthanc) as plugin:
        courier = begun(plugin)
        assert courier.step()
        assert desk.taken == []
        orthanc.image("new")
        orthanc.quiet("new")
        assert courier.step()
    assert desk.taken == ["new"]


@pytest.mark.parametrize("late", [False, True], ids=["a whole series", "a late slice"])
def test_a_restart_before_a_series_is_stable_loses_nothing(orthanc: StandIn, desk: Desk, late: bool) -> None:
    """Orthanc never tells of a series that was not stable when it ended; it is handed over all the same, once."""
    with loaded(orthanc) as plugin:
        courier = begun(plugin)
        for series in ("first", "second", "third"):
            orthanc.image(series)
            orthanc.quiet(series)
        if not late:
            orthanc.image("lost")
        else:
            orthanc.image("first")
        assert courier.step()
        assert desk.taken == ["first", "second", "third"]
        orthanc.restart()
        again = begun(plugin)
        assert again.step()
        assert desk.taken[3:] == ["first" if late else "lost"]
        assert again.step()
        assert begun(plugin).step()
    assert len(desk.taken) == 4


def test_a_series_that_goes_on_after_the_restart_is_waited_for(orthanc: StandIn, desk: Desk) -> None:
    """Only when Orthanc calls it stable; a deleted one is forgotten and holds up nothing."""
    with loaded(orthanc) as plugin:
        begun(plugin).step()
        orthanc.image("growing")
        orthanc.image("deleted")
        orthanc.restart()
        orthanc.image("growing")
        del orthanc.stable["deleted"]
        courier = begun(plugin)
        assert courier.step()
        assert desk.taken == []
        orthanc.quiet("growing")
        assert courier.step()
        assert desk.taken == ["growing"]
        assert orthanc.properties[plugin.PROPERTY] == str(len(orthanc.changes))


def test_a_node_that_takes_nothing_is_asked_again(orthanc: StandIn, desk: Desk) -> None:
    """Whatever else listens there: only a yes counts; the log says it once, and once that it is over."""
    with loaded(orthanc) as plugin:
        courier = begun(plugin)
        desk.status = 404
        orthanc.image("one")
        orthanc.quiet("one")
        assert not courier.step()
        assert not courier.step()
        desk.status = 202
        assert courier.step()
    assert desk.taken == ["one"]
    assert len(orthanc.said) == 2
    assert "404" in orthanc.said[0]


def test_the_thread_survives_a_database_that_is_away(orthanc: StandIn, desk: Desk) -> None:
    """Orthanc's own errors end no thread; what came meanwhile is handed over."""
    with loaded(orthanc) as plugin:
        courier = plugin.Courier(plugin.Node(None))
        orthanc.properties[plugin.PROPERTY] = "0"
        orthanc.image("one")
        orthanc.quiet("one")
        orthanc.away = True
        courier.start()
        while not orthanc.said:
            courier.wake()
        orthanc.away = False
        while not desk.taken:
            courier.wake()
        courier.stop()
    assert "database" in orthanc.said[0]
    assert desk.taken == ["one"]


def test_a_node_that_ends_is_started_again_but_not_at_once(orthanc: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is in Orthanc's log with the exit code; where something listens none is started."""
    with loaded(orthanc) as plugin:
        node = plugin.Node([sys.executable, "-c", "raise SystemExit(3)"])
        node.keep()
        assert node._process is None
        monkeypatch.setattr(plugin, "listening", lambda: False)
        node.keep()
        first = node._process
        assert first.wait() == 3
        node.keep()
        assert node._process is first
        monkeypatch.setattr(plugin, "RESTART_S", 0.0)
        node.keep()
        assert node._process is not first
        node.stop()
        plugin.Node(["/no/such/program"]).keep()
    assert "ended with 3" in orthanc.said[0]
    assert "cannot be started" in orthanc.said[1]
