"""People are told once of each trouble, and when it is over."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from spineps_pacs.domain.job import State
from spineps_pacs.web.alerts import Alarm, Mail, Webhook
from web.board_twin import TwinBoard, job


def test_each_trouble_is_told_once_and_when_it_is_over() -> None:
    """A dead letter, then one more, a full disk, a peer that is down; then all is well again."""
    said: list[str] = []
    board = TwinBoard(kept=[job("job-1", State.DEAD_LETTER)])
    alarm = Alarm(board, said.append)
    assert len(alarm.step()) == 1
    assert alarm.step() == []
    board.kept.append(job("job-2", State.DEAD_LETTER))
    board.peer_up, board.free_bytes = False, 0
    alarm.step()
    assert len(said) == 2
    assert "2 series could not be delivered" in said[1]
    assert "Disk" in said[1]
    assert "destination pacs does not answer" in said[1]
    board.kept, board.peer_up, board.free_bytes = [], True, 50_000_000_000
    assert all(sentence.startswith("Over: ") for sentence in alarm.step())
    assert len(said) == 3


def test_what_could_not_be_told_is_tried_again() -> None:
    """A mail server that is down loses nothing."""
    said: list[str] = []
    down = [True]

    def tell(text: str) -> None:
        if down.pop() if down else False:
            raise OSError("no connection")
        said.append(text)

    alarm = Alarm(TwinBoard(), tell)
    with pytest.raises(OSError, match="no connection"):
        alarm.step()
    alarm.step()
    assert len(said) == 1


def test_a_webhook_gets_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """{"text": ...} is posted, and not by way of a proxy that the environment names."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.handle_request, daemon=True)
    thread.start()
    Webhook(f"http://127.0.0.1:{server.server_port}/hook")("one series could not be delivered")
    thread.join()
    server.server_close()
    assert got == [{"text": "one series could not be delivered"}]


def test_a_mail_reaches_its_receivers() -> None:
    """A mail server is told sender, receivers and the sentence."""
    heard: list[str] = []

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, connection.makefile("rwb") as stream:
            answers = {"DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}
            stream.write(b"220 mail\r\n")
            stream.flush()
            in_data = False
            for raw in stream:
                line = raw.decode().strip()
                heard.append(line)
                in_data = (in_data or line.upper() == "DATA") and line != "."
                if line.upper() == "DATA" or not in_data:
                    stream.write(answers.get(line.split(" ")[0].upper(), b"250 fine\r\n"))
                    stream.flush()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        Mail("127.0.0.1", listening.getsockname()[1], "node@example.org", ("a@example.org", "b@example.org"))("Help.")
        thread.join(10)
    text = "\n".join(heard)
    assert "rcpt to:<a@example.org>" in text.lower()
    assert "rcpt to:<b@example.org>" in text.lower()
    assert "Help." in heard
