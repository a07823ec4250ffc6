"""`check` finds each planted fault and names it, and finds nothing wrong where nothing is."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from pynetdicom import AE

from spineps_pacs import settings
from spineps_pacs.cli import check, check_machine, check_models, check_peers, check_tls
from spineps_pacs.cli.check_line import Line
from spineps_pacs.engines.weights import embedded_folder, record_folder
from spineps_pacs.settings import Settings
from tests.engines import onnx_files

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")  # pynetdicom drops refused sockets
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
NOBODY = 65534
TAKES = ("1.2.840.10008.1.1", SEG, "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7")


def configured(folder: Path, text: str) -> Settings:
    return settings.parse(text, "node.toml", folder)


def wrong(lines: Iterator[Line]) -> list[Line]:
    found = [line for line in lines if not line.right]
    assert all(line.advice for line in found)
    return found


@contextmanager
def peer(called: str = "", calling: str = "", takes: tuple[str, ...] = TAKES) -> Iterator[int]:
    """A destination that is particular about names and kinds."""
    entity = AE(called or "ARCHIVE")
    for uid in takes:
        entity.add_supported_context(uid)
    entity.require_called_aet = bool(called)
    entity.require_calling_aet = [calling] if calling else []
    server = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def to(port: int, more: str = "") -> str:
    return f'[[destination]]\nname = "pacs"\nkind = "dicom"\nhost = "127.0.0.1"\nport = {port}\n{more}'


def test_nothing_is_wrong_where_nothing_is(tmp_path: Path) -> None:
    """A writable folder, free ports, a good clock, a new database and a willing destination give no wrong line."""
    with peer() as port:
        current = configured(tmp_path, f"[dicom]\nport = 0\n[web]\nport = 0\n{to(port)}")
        now = time.time()
        assert wrong(check_machine.ports(current)) == []
        assert wrong(check_machine.data_folder(current)) == []
        assert wrong(check_machine.clock(current, now)) == []
        assert wrong(check_machine.database(current)) == []
        assert wrong(check_tls.files(current, now)) == []
        assert wrong(check_peers.destinations(current, now)) == []


def test_a_taken_port_is_named() -> None:
    """Somebody else listens where the DICOM port should be."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (line,) = wrong(check_machine.ports(Settings(dicom={"port": port}, web={"port": 0})))
    assert line.name == "DICOM port"
    assert str(port) in line.found


def test_an_unreadable_key_is_named(tmp_path: Path) -> None:
    """The TLS key is not there for us."""
    pair = Authority(tmp_path).issue("node")
    pair.key.rename(tmp_path / "elsewhere.key")
    current = configured(tmp_path, '[dicom]\ntls = { certificate = "node.crt", key = "node.key" }\n')
    (line,) = wrong(check_tls.files(current, time.time()))
    assert "node.key cannot be read" in line.found


@contextmanager
def as_somebody() -> Iterator[None]:
    """Root may read every file; as somebody else it may not."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_key_without_permission_is_named() -> None:
    """The TLS key is there and may not be read; with its rights the check comes as far as the dates."""
    with tempfile.TemporaryDirectory() as name:  # beside pytest's own folder, which is closed to others
        folder = Path(name)
        folder.chmod(0o755)
        pair = Authority(folder).issue("node")
        pair.key.chmod(0o644)
        current = configured(folder, '[dicom]\ntls = { certificate = "node.crt", key = "node.key" }\n')
        list(check_tls.files(current, time.time()))  # all modules are loaded; somebody else may not read those either
        with as_somebody():
            assert "expires on" in wrong(check_tls.files(current, time.time()))[0].found
        pair.key.chmod(0)
        with as_somebody():
            (line,) = wrong(check_tls.files(current, time.time()))
    assert "node.key cannot be read: Permission denied" in line.found


def test_a_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    """Key and certificate do not belong together."""
    authority = Authority(tmp_path)
    authority.issue("node")
    authority.issue("other").key.replace(tmp_path / "node.key")
    current = configured(tmp_path, '[dicom]\ntls = { certificate = "node.crt", key = "node.key" }\n')
    assert "do not work" in wrong(check_tls.files(current, time.time()))[0].found


def test_an_expired_certificate_is_named(tmp_path: Path) -> None:
    """The same certificate, looked at a month later; and, before that, that it soon will be."""
    Authority(tmp_path).issue("node")
    current = configured(tmp_path, '[dicom]\ntls = { certificate = "node.crt", key = "node.key" }\n')
    month = datetime.timedelta(days=30).total_seconds()
    (line,) = wrong(check_tls.files(current, time.time() + month))
    assert "node.crt expired on" in line.found
    assert "expires on" in wrong(check_tls.files(current, time.time()))[0].found


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """More must be free than there is."""
    (line,) = wrong(check_machine.data_folder(configured(tmp_path, "[node]\nmin_free_gb = 1e9\n")))
    assert line.name == "disk"
    assert "watermark" in line.found


def test_a_data_folder_that_cannot_be_written_is_named() -> None:
    """A file system that takes no file, whoever asks."""
    (line,) = wrong(check_machine.data_folder(Settings(node={"data_folder": "/proc/self", "min_free_gb": 0})))
    assert line.name == "data folder"
    assert "cannot be written" in line.found


def test_a_clock_that_is_behind_is_named(tmp_path: Path) -> None:
    """The node has already written what is still to come by this clock."""
    (tmp_path / "data" / "inbox").mkdir(parents=True)
    (line,) = wrong(check_machine.clock(configured(tmp_path, ""), time.time() - 7200))
    assert line.name == "clock"
    assert "min behind" in line.found


@contextmanager
def web_server(status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_clock_that_differs_from_the_archives_is_named(tmp_path: Path) -> None:
    """A web server tells the time with each answer; ours is an hour ahead."""
    with web_server() as url:
        current = configured(tmp_path, f'[[destination]]\nname = "web"\nkind = "stow"\nurl = "{url}"\n')
        (line,) = wrong(check_peers.destinations(current, time.time() + 3600))
    assert line.name == "clock of web"
    assert "ahead of" in line.found


def test_a_refused_token_is_named(tmp_path: Path) -> None:
    """The web server answers 401."""
    with web_server(401) as url:
        current = configured(tmp_path, f'[[destination]]\nname = "web"\nkind = "stow"\nurl = "{url}"\n')
        (line,) = wrong(check_peers.destinations(current, time.time()))
    assert "refuses our user or token (401)" in line.found


def test_a_database_that_is_down_is_named(tmp_path: Path) -> None:
    """Nobody listens at PostgreSQL's address."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        (tmp_path / "url").write_text(f"postgresql://node:secret@127.0.0.1:{nobody.getsockname()[1]}/node\n")
        current = configured(tmp_path, '[queue]\ndatabase_url_file = "url"\n')
        (line,) = wrong(check_machine.database(current))
    assert line.name == "database"
    assert "secret" not in line.found + line.advice


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    """The file of the records is something else."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "node.sqlite").write_bytes(b"this was a database once" * 100)
    assert wrong(check_machine.database(configured(tmp_path, "")))[0].name == "database"


def test_absent_models_are_named(tmp_path: Path) -> None:
    """The folder of models is not there, or holds none."""
    current = configured(tmp_path, '[models]\nfolder = "models"\n')
    assert "models" in wrong(check_models.models(current))[0].found
    (tmp_path / "models").mkdir()
    assert "holds no model" in wrong(check_models.models(current))[0].found


def models(folder: Path) -> Settings:
    """A folder with a copy of the embedded models."""
    embedded = embedded_folder()
    assert embedded is not None
    shutil.copytree(embedded, folder / "models")
    return configured(folder, '[models]\nfolder = "models"\ndevice = "cpu"\n')


def test_a_model_with_another_content_is_named(tmp_path: Path) -> None:
    """One byte more than was recorded."""
    current = models(tmp_path)
    record_folder(tmp_path / "models", tmp_path / "models" / "semantic")
    with (tmp_path / "models" / "semantic" / "plans.json").open("a") as file:
        file.write(" ")
    line = wrong(check_models.models(current))[0]
    assert line.name == "digest of model semantic"
    assert "plans.json has another content" in line.found


def test_a_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    """Half of a file was copied, and nothing was recorded before."""
    current = models(tmp_path)
    checkpoint = tmp_path / "models" / "semantic" / "fold_0" / "checkpoint_final.pth"
    os.truncate(checkpoint, checkpoint.stat().st_size // 2)
    (line,) = wrong(check_models.models(current))
    assert "model" in line.name


def test_the_embedded_models_pass() -> None:
    """They load, and each does a pass forward."""
    lines = list(check_models.models(Settings(models={"device": "cpu"})))
    assert [line.name for line in lines if line.right] == ["semantic model", "instance model"]
    assert len(lines) == 2


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings ask for CUDA, on a machine that has none."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (line,) = wrong(check_models.device(Settings(models={"device": "cuda"})))
    assert line.name == "GPU"
    assert wrong(check_models.device(Settings())) == []


@pytest.mark.parametrize(
    ("refusing", "said"),
    [
        ({"called": "ARCHIVE"}, "not called 'WRONG'"),
        ({"calling": "SOMEBODY"}, "does not know our calling AE title 'US'"),
    ],
)
def test_a_destination_that_refuses_a_name_is_understood(tmp_path: Path, refusing: dict[str, str], said: str) -> None:
    """Which of the two AE titles it does not like."""
    with peer(**refusing) as port:
        current = configured(tmp_path, to(port, 'called_ae = "WRONG"\ncalling_ae = "US"\n'))
        (line,) = wrong(check_peers.destinations(current, time.time()))
    assert line.name == "destination pacs"
    assert said in line.found


def test_a_destination_that_takes_no_seg_is_named(tmp_path: Path) -> None:
    """Everything else is accepted."""
    with peer(takes=tuple(uid for uid in TAKES if uid != SEG)) as port:
        (line,) = wrong(check_peers.destinations(configured(tmp_path, to(port)), time.time()))
    assert SEG in line.found


def test_a_destination_that_is_down_is_named(tmp_path: Path) -> None:
    """Nobody listens there."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        current = configured(tmp_path, to(nobody.getsockname()[1], "timeout_s = 2.0\n"))
        (line,) = wrong(check_peers.destinations(current, time.time()))
    assert "cannot be reached" in line.found


def test_an_unknown_key_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first line of the answer, as JSON too; the exit code is 1."""
    config = tmp_path / "node.toml"
    config.write_text("[dicom]\nport = 104\naetitle = 'X'\n")
    assert check.check(config, as_json=True) == 1
    (line,) = json.loads(capsys.readouterr().out)
    assert not line["right"]
    assert "aetitle" in line["found"]
    assert "3" in line["found"]
    assert check.check(config) == 1
    assert capsys.readouterr().out.startswith("WRONG configuration: ")


def test_everything_is_looked_at(tmp_path: Path) -> None:
    """One run has a line for each thing that the settings name, in the order in which they are mended."""
    (tmp_path / "models").mkdir()
    Authority(tmp_path).issue("node")
    text = '[dicom]\nport = 0\ntls = { certificate = "node.crt", key = "node.key" }\n'
    text += '[web]\nport = 0\n[models]\nfolder = "models"\ndevice = "cpu"\n'
    text += '[[destination]]\nname = "there"\nkind = "folder"\nfolder = "models"\n'
    names = [line.name for line in check.checks(configured(tmp_path, text))]
    assert names == [
        "DICOM port", "port of the pages", "TLS of the DICOM port", "data folder", "disk", "clock", "database", "GPU",
        "models", "destination there",
    ]  # fmt: skip


def test_the_second_labeller_is_looked_at_where_it_is_wanted(tmp_path: Path) -> None:
    """Off there is no line; on, its networks open and answer, or the line says what is missing."""
    wanted = {"enabled": True, "folder": str(tmp_path)}
    assert list(check_models.second(Settings())) == []
    on = Settings.model_validate({"second_opinion": wanted, "models": {"device": "cpu"}})
    assert "holds no .onnx file" in wrong(check_models.second(on))[0].found
    onnx_files.segmentation(tmp_path)
    onnx_files.naming(tmp_path)
    (line,) = check_models.second(on)
    assert line.right
