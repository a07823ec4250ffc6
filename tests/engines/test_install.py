"""Installing survives broken connections, refuses what is no model, and leaves nothing half done."""

from __future__ import annotations

import io
import json
import stat
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from spineps_pacs.domain.errors import ModelError, TryAgain
from spineps_pacs.engines import install as installing
from spineps_pacs.engines.install import install, install_file, remove, verify
from spineps_pacs.engines.releases import RELEASES, release
from spineps_pacs.engines.weights import LOCK, find_models, read_record
from tests.engines import folders

T2W, INSTANCE = release("t2w"), release("instance")


def archive(
    content: dict[str, str | bytes] | None = None, around: str = "", config: dict[str, object] | None = None
) -> bytes:
    """A zip with a model's configuration and some weights."""
    files: dict[str, str | bytes] = {"inference_config.json": json.dumps(config or folders.SEMANTIC)}
    files |= content if content is not None else {"fold_0/checkpoint_final.pth": bytes(range(256)) * 400}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in files.items():
            made.writestr(around + name, data)
    return out.getvalue()


@dataclass
class Shelf:
    """What the server has, how it behaves, and what it was asked."""

    body: bytes = b""
    status: int = 200
    ranges: bool = True
    breaks_after: list[int] = field(default_factory=list)
    claims: int | None = None
    etag: str = '"one"'
    asked: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Serves the shelf's body, whole or from a byte on, and breaks off where told to."""

    shelf: Shelf

    def do_GET(self) -> None:
        shelf, asked = self.shelf, self.headers.get("Range", "")
        shelf.asked.append(asked)
        shelf.paths.append(self.path)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and shelf.ranges else 0
        if asked and self.headers.get("If-Range") != shelf.etag:
            start = 0
        if start >= len(shelf.body) > 0:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = shelf.body[start:]
        self.send_response(206 if start and shelf.status == 200 else shelf.status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(shelf.body) - 1}/{len(shelf.body)}")
        self.send_header("Content-Length", str(len(body) if shelf.claims is None else shelf.claims))
        self.send_header("ETag", shelf.etag)
        self.end_headers()
        stop = shelf.breaks_after.pop(0) if shelf.breaks_after else len(body)
        self.wfile.write(body[:stop])

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def served(shelf: Shelf) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"shelf": shelf}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/releases/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def unhurried(seconds: float) -> None:
    """Pauses of no length."""


def left_over(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


@pytest.mark.parametrize("around", ["", "t2w_model/"])
def test_a_model_is_downloaded_unwrapped_and_recorded(tmp_path: Path, around: str) -> None:
    """The archive of the release is asked for, its extra folder unwrapped, the bar told, all files recorded."""
    shelf, told = Shelf(archive(around=around)), []
    with served(shelf) as base:
        model = install(T2W, tmp_path, base, lambda done, total: told.append((done, total)))
        assert shelf.paths == ["/releases/v1.0.9/t2w.zip"]
        assert install(T2W, tmp_path, base).folder == model.folder
        assert len(shelf.paths) == 1
    assert (model.name, model.kind, model.version) == ("t2w_semantic_v1.0.9", "semantic", "v1.0.9")
    assert told[-1] == (len(shelf.body), len(shelf.body))
    record = read_record(tmp_path)
    assert set(record.models["T2w_semantic_v1.0.9"]) == {"inference_config.json", "fold_0/checkpoint_final.pth"}
    assert set(record.archives) == {"v1.0.9/t2w.zip"}
    assert left_over(tmp_path) == [
        "T2w_semantic_v1.0.9/fold_0/checkpoint_final.pth", "T2w_semantic_v1.0.9/inference_config.json", LOCK,
    ]  # fmt: skip


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Two breaks: the rest is asked for from the byte that was reached, and the model is whole."""
    shelf = Shelf(archive(), breaks_after=[30_000, 20_000])
    with served(shelf) as base:
        install(T2W, tmp_path, base, pause=unhurried)
    assert shelf.asked == ["", "bytes=30000-", "bytes=50000-"]
    assert verify(tmp_path) == {"T2w_semantic_v1.0.9": ()}


def test_a_later_call_goes_on_too(tmp_path: Path) -> None:
    """After five breaks there is a sentence, nothing is installed, and the next call goes on from there."""
    shelf = Shelf(archive(), breaks_after=[10_000] * 5)
    with served(shelf) as base:
        with pytest.raises(TryAgain, match="broke off after 50000 bytes"):
            install(T2W, tmp_path, base, pause=unhurried)
        assert find_models(tmp_path)[0] == ()
        install(T2W, tmp_path, base)
    assert shelf.asked[-1] == "bytes=50000-"
    assert not any("part" in name for name in left_over(tmp_path))


def test_a_file_that_changed_meanwhile_is_fetched_anew(tmp_path: Path) -> None:
    """The kept part belongs to another version: the server sends the whole, and the whole is taken."""
    shelf = Shelf(archive(), breaks_after=[10_000] * 5)
    with served(shelf) as base:
        with pytest.raises(TryAgain):
            install(T2W, tmp_path, base, pause=unhurried)
        shelf.body, shelf.etag = archive({"fold_0/checkpoint_final.pth": b"new" * 50_000}), '"two"'
        model = install(T2W, tmp_path, base)
    assert (model.folder / "fold_0" / "checkpoint_final.pth").read_bytes() == b"new" * 50_000


def test_a_server_without_ranges_is_served_from_the_start(tmp_path: Path) -> None:
    """It answers with the whole file, which replaces the part."""
    shelf = Shelf(archive(), ranges=False, breaks_after=[30_000])
    with served(shelf) as base:
        install(T2W, tmp_path, base, pause=unhurried)
    assert verify(tmp_path) == {"T2w_semantic_v1.0.9": ()}


@pytest.mark.parametrize(
    ("shelf", "error", "says"),
    [
        (Shelf(b"<html>Not Found</html>", status=404), ModelError, "404"),
        (Shelf(b"busy", status=503), ModelError, "503"),
        (Shelf(b"<html>Log in</html>"), ModelError, "no whole zip archive"),
        (Shelf(archive(), claims=40_000), ModelError, "no whole zip archive"),
        (Shelf(archive(), claims=10_000_000), TryAgain, "broke off"),
        (Shelf(archive()[:-50]), ModelError, "no whole zip archive"),
        (Shelf(archive().replace(b"\x05\x06\x07\x08", b"\x05\x06\xff\x08", 1)), ModelError, "no whole zip archive"),
        (Shelf(archive(config=folders.INSTANCE)), ModelError, "instance model, not a semantic"),
        (Shelf(archive({"a": "b"}, config={"log_name": "x"})), ModelError, "missing"),
    ],
)
def test_what_is_no_model_is_refused_and_cleaned_up(
    tmp_path: Path, shelf: Shelf, error: type[Exception], says: str
) -> None:
    """An error page, a login page, a wrong length, a damaged or another archive: a sentence, and no model folder."""
    with served(shelf) as base, pytest.raises(error, match=says):
        install(T2W, tmp_path, base, pause=unhurried)
    assert find_models(tmp_path)[0] == ()
    assert not (tmp_path / T2W.folder).exists()
    assert not list(tmp_path.glob(".installing-*"))
    assert all(name.startswith(".downloads/") for name in left_over(tmp_path))


def test_nobody_answers(tmp_path: Path) -> None:
    """No server at the address: five attempts, then a sentence."""
    with served(Shelf()) as base:
        pass
    pauses: list[float] = []
    with pytest.raises(TryAgain, match="after 0 bytes"):
        install(T2W, tmp_path, base, pause=pauses.append)
    assert len(pauses) == 4


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:evil.txt"])
def test_an_archive_that_reaches_outside_is_refused(tmp_path: Path, name: str) -> None:
    """No member may lie outside the archive's own folder; nothing is unpacked."""
    (tmp_path / "evil.zip").write_bytes(archive({name: "x"}))
    root = tmp_path / "inner" / "models"
    with pytest.raises(ModelError, match="outside"):
        install_file(tmp_path / "evil.zip", root, T2W)
    assert left_over(tmp_path) == ["evil.zip"]


def test_links_and_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in the archive, or contents larger than any model."""
    path = tmp_path / "link.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("inference_config.json", json.dumps(folders.SEMANTIC))
        link = zipfile.ZipInfo("weights.pth")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    with pytest.raises(ModelError, match="neither a file nor a folder"):
        install_file(path, tmp_path / "models", T2W)
    big = zipfile.ZipInfo("weights.pth")
    big.file_size = 40 << 30
    with pytest.raises(ModelError, match="unpacks to"):
        installing._refuse_odd(path, [big])


def test_an_archive_on_disk_is_installed_without_a_network(tmp_path: Path) -> None:
    """With a release its folder is used, without one that of the archive; a second time is refused."""
    path = tmp_path / "mine.zip"
    path.write_bytes(archive())
    assert install_file(path, tmp_path / "models", T2W).folder.name == T2W.folder
    assert install_file(path, tmp_path / "models").folder.name == "mine"
    path.write_bytes(archive(around="inner_v3/"))
    assert install_file(path, tmp_path / "models").version == "v3"
    with pytest.raises(ModelError, match="already there"):
        install_file(path, tmp_path / "models")
    with pytest.raises(ModelError, match="does not exist"):
        install_file(tmp_path / "none.zip", tmp_path / "models")


def test_an_archive_that_changed_since_it_was_recorded_is_refused(tmp_path: Path) -> None:
    """Removed and installed again, the same release must be the same bytes."""
    shelf = Shelf(archive())
    with served(shelf) as base:
        remove(tmp_path, install(T2W, tmp_path, base))
        assert read_record(tmp_path).models == {}
        install(T2W, tmp_path, base)
        remove(tmp_path, find_models(tmp_path)[0][0])
        shelf.body = archive({"fold_0/checkpoint_final.pth": b"other"})
        with pytest.raises(ModelError, match="SHA-256"):
            install(T2W, tmp_path, base)
    assert find_models(tmp_path)[0] == ()


def test_verifying_names_every_change(tmp_path: Path) -> None:
    """Changed, added and lost files, a lost folder, a broken one; a model without a record gets one."""
    for name, shelf in (("a", archive()), ("b", archive())):
        (tmp_path / f"{name}.zip").write_bytes(shelf)
        install_file(tmp_path / f"{name}.zip", tmp_path / "models")
    root = tmp_path / "models"
    assert verify(root) == {"a": (), "b": ()}
    (root / "a" / "fold_0" / "checkpoint_final.pth").write_bytes(b"changed")
    (root / "a" / "more").write_bytes(b"added")
    remove(root, find_models(root)[0][1])
    (tmp_path / "b.zip").write_bytes(archive())
    install_file(tmp_path / "b.zip", root)
    (root / "b").rename(root / "c")
    answer = verify(root)
    assert answer["a"] == ("fold_0/checkpoint_final.pth has another content", "more was not there")
    assert answer["b"] == ("the folder is missing",)
    assert answer["c"] == ()
    assert "c" in read_record(root).models


def test_removing_takes_the_wrapping_folder_too(tmp_path: Path) -> None:
    """A model two folders deep leaves no empty folders, and its neighbours stay."""
    for name in ("deep/one", "deep/two", "alone/x"):
        folders.write(tmp_path / name / "inference_config.json", folders.SEMANTIC)
    models = {m.folder.relative_to(tmp_path).as_posix(): m for m in find_models(tmp_path)[0]}
    remove(tmp_path, models["alone/x"])
    remove(tmp_path, models["deep/one"])
    assert left_over(tmp_path) == ["deep/two/inference_config.json"]
    assert not (tmp_path / "alone").exists()


def test_releases_are_known_by_name_and_alias() -> None:
    """Eight models; a semantic one with or without its suffix; another name lists all."""
    assert len({r.name for r in RELEASES}) == len(RELEASES) == 8
    assert release("T2W_semantic") is T2W
    assert INSTANCE.address("http://host/base/") == "http://host/base/v1.2.0/instance.zip"
    with pytest.raises(ModelError, match="ct_labeling"):
        release("pet")
