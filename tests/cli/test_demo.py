"""The demonstration: a node, a study sent to it, tables from what came back; every fault a sentence."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
from pydicom import dcmread

from spineps_pacs import settings
from spineps_pacs.cli import demo
from spineps_pacs.cli.received import tables


def test_each_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Nothing that was there is touched; the configuration of the run loads."""
    first, second = demo.prepare(tmp_path), demo.prepare(tmp_path)
    assert (first.folder.name, second.folder.name) == ("run-1", "run-2")
    loaded = settings.load(first.config)
    assert loaded.destination[0].port == first.pacs
    assert loaded.node.data_folder == first.folder / "data"


def test_a_port_in_use_is_gone_round(tmp_path: Path) -> None:
    """When somebody listens on the usual port, another one is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert demo._free_port(port) != port


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    """A file where the folder should be is a sentence that names it."""
    (tmp_path / "demo").write_text("")
    with pytest.raises(demo.DemoFailed, match="demo cannot be written"):
        demo.prepare(tmp_path / "demo")


def test_the_tables_come_from_the_objects(tmp_path: Path) -> None:
    """Structures with volumes and levels with confidence are read from the report as any reader would."""
    from encode.cases import OPTIONS, Wish, case, identity
    from rich.console import Console

    from spineps_pacs.encode.results import encode

    report, series = case(Wish())
    for number, result in enumerate(encode(report, series, identity(report, series), OPTIONS)):
        (tmp_path / f"{number}.dcm").write_bytes(result.content)
    console = Console(width=120, record=True, file=io.StringIO())
    for table in tables(tmp_path):
        console.print(table)
    shown = console.export_text()
    for words in ("Vertebral body", "L4-L5", "Sacrum", "90.0", "25.1", "SPINEPS report", "SEG"):
        assert words in shown


@pytest.mark.long
@pytest.mark.timeout(5400)
def test_the_whole_demonstration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `make demo ONCE=1` does: the embedded networks, and every result at the stand-in for a PACS."""
    assert demo.demo(once=True, folder=tmp_path, minutes=80) == 0
    files = [path for path in (tmp_path / "run-1" / "received").rglob("*") if path.is_file()]
    assert {dcmread(path, stop_before_pixels=True).Modality for path in files} >= {"SEG", "SR", "OT"}
    assert "Vertebral body" in capsys.readouterr().out
