"""`batch`: many series to one table; cut anywhere it goes on, what fails has a reason, and memory does not grow."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
import ssl
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import requests
from certificates import Authority
from pydicom import dcmread
from samples import content_of, series_of, uid, write
from walk.archives import FakeArchive
from walk.peers import echo
from walk.test_fetch import free_port

from scripts.viewing.orthanc_server import OrthancOptions, OrthancPorts, running
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.pipeline import AnalysisSettings
from spineps_pacs.cli.batch import Work, run, write_tables
from spineps_pacs.cli.batch_sources import FolderSource, opened_archive
from spineps_pacs.cli.main import run as command
from spineps_pacs.domain.ports import Engines
from spineps_pacs.engines.phantom import PhantomEngines
from spineps_pacs.phantom.study import StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes
from spineps_pacs.settings import Settings
from spineps_pacs.storage.ledger import Ledger

SMALL = StudyRequest(wishes=Wishes(levels="L4-S1"), slices=7, pixel=2.5, slice_spacing=6.0, only_t2=True)
POSITION = "position"
FORK = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two series of ours that are alike, a T1, one with a slice missing in the middle, and a file that is no DICOM."""
    folder = tmp_path_factory.mktemp("tree")
    spine = write_study(folder / "made", SMALL).series[0]
    (folder / "made" / "truth").rename(folder / "truth")
    images = [dcmread(path) for path in sorted(spine.glob("*.dcm"))]
    for name, kept in (("b", images), ("gap", images[:2] + images[4:])):
        for ds in kept:
            ds.SeriesInstanceUID, ds.SOPInstanceUID = uid(name, "series"), uid(name, "slice", ds.InstanceNumber)
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        write(kept, folder / "in" / name)
    spine.rename(folder / "in" / "a")
    write(series_of("t1", EchoTime=10.0, RepetitionTime=500.0), folder / "in" / "t1")
    (folder / "in" / "notes.txt").write_text("no image")
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Dies:
    """A semantic engine that ends its process, as by a power cut, at its n-th series."""

    def __init__(self, engine: Any, at: int) -> None:
        self._engine, self._left = engine, at
        self.info, self.grid = engine.info, engine.grid

    def predict(self, image: Any, watch: Any) -> Any:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._engine.predict(image, watch)


def engines(truth: Path, dies_at: int = 0) -> Engines:
    whole = PhantomEngines.from_folder(truth)
    return replace(whole, semantic=Dies(whole.semantic, dies_at)) if dies_at else whole


def work_until_cut(tree: Path, out: Path, dies_at: int) -> None:
    """In a process of its own."""
    ledger, source = Ledger(out / "batch.sqlite"), FolderSource(tree / "in")
    source.index(ledger)
    run(Work(ledger, source, out, engines(tree / "truth", dies_at), AnalysisSettings(Mode.CORRECTED)))


def test_a_batch_that_was_cut_goes_on_where_it_was(tree: Path, tmp_path: Path) -> None:
    """Killed at the second series: the first is not done again; the table holds both, failures have their reasons."""
    process = FORK.Process(target=work_until_cut, args=(tree, tmp_path, 2))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    ledger = Ledger(tmp_path / "batch.sqlite")
    done = [entry.uid for entry in ledger.ended("done")]
    ledger.close()
    assert len(done) == 1
    first = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file() and not p.name.startswith("batch")}
    assert any(path.name == "levels.csv" for path in first)

    line = ["batch", str(tree / "in"), "--out", str(tmp_path), "--models", str(tree / "truth"), "--parquet"]
    assert command(line) == 1
    assert {path: path.stat().st_mtime_ns for path in first} == first
    rows = table(tmp_path / "measurements.csv")
    assert len({row["series"] for row in rows}) == 2
    assert done[0] in {row["series"] for row in rows}
    (skipped,), (failed,) = table(tmp_path / "skipped.csv"), table(tmp_path / "failed.csv")
    assert (skipped["series"], failed["series"]) == (uid("t1", "series"), uid("gap", "series"))
    assert "10 ms" in skipped["reason"]
    assert failed["reason"]
    columns = pyarrow.parquet.read_table(tmp_path / "measurements.parquet").to_pydict()
    assert columns["series"] == [row["series"] for row in rows]
    positions = [float(row[POSITION]) for row in rows]
    assert columns[POSITION] == positions


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Writes a configuration that names one PACS; gives its path."""

    def made(pacs: str, port: int = 0) -> Path:
        file = tmp_path / "node.toml"
        file.write_text(f"[dicom]\nport = {port}\n[[pacs]]\nname = 'archive'\n{pacs}\n")
        return file

    return made


def test_a_pacs_is_a_source(tree: Path, tmp_path: Path, config: Any) -> None:
    """By C-FIND and C-MOVE: one series is analysed, one skipped, and no image stays; a second run fetches nothing."""
    port = free_port()
    spine = [dcmread(path) for path in sorted((tree / "in" / "a").glob("*.dcm"))]
    images = [*spine, *series_of("t1", EchoTime=10.0, StudyDate=spine[0].StudyDate)]
    archive = FakeArchive(images, {"SPINEPS": port})
    file = config(f"host = '127.0.0.1'\nport = {archive.port}\ncalled_ae = 'ARCHIVE'", port)
    line = ["batch", "pacs:archive", "--out", str(tmp_path / "out"), "--config", str(file), "--since", "1990-01-01"]
    assert command([*line, "--models", str(tree / "truth")]) == 0
    assert {row["series"] for row in table(tmp_path / "out" / "measurements.csv")} == {spine[0].SeriesInstanceUID}
    assert [row["series"] for row in table(tmp_path / "out" / "skipped.csv")] == [uid("t1", "series")]
    assert not (tmp_path / "out" / ".incoming").exists()
    archive.destinations = {}
    assert command([*line, "--models", str(tree / "truth")]) == 0
    archive.close()


def test_the_port_for_an_archive_speaks_tls_where_the_nodes_does(tmp_path: Path) -> None:
    """With the certificates of `[dicom]`."""
    authority, port = Authority(tmp_path / "tls"), free_port()
    node = authority.issue("node")
    own = {"certificate": node.certificate, "key": node.key, "authority": authority.certificate}
    archive = {"name": "archive", "host": "127.0.0.1", "called_ae": "ARCHIVE"}
    current = Settings.model_validate({"dicom": {"port": port, "tls": own}, "pacs": [archive]})
    context = ssl.create_default_context(cafile=authority.certificate)
    context.load_cert_chain(node.certificate, node.key)
    with opened_archive(current, "archive", [], tmp_path):
        assert echo(port, "ARCHIVE", tls_args=(context, "localhost")) == 0


def test_a_series_that_does_not_come_fails_and_is_done_on_retry(tree: Path, tmp_path: Path, config: Any) -> None:
    """The reason names what to register; with --retry it is fetched once more."""
    port = free_port()
    archive = FakeArchive(series_of("t1", EchoTime=10.0), {})
    file = config(f"host = '127.0.0.1'\nport = {archive.port}\ncalled_ae = 'ARCHIVE'", port)
    line = ["batch", "pacs:archive", "--out", str(tmp_path / "out"), "--config", str(file), "--accession", "ACC-t1"]
    line += ["--models", str(tree / "truth")]
    assert command(line) == 1
    assert "does not know 'SPINEPS'" in table(tmp_path / "out" / "failed.csv")[0]["reason"]
    archive.destinations = {"SPINEPS": port}
    assert command([*line, "--retry"]) == 0
    assert table(tmp_path / "out" / "failed.csv") == []
    archive.close()


@pytest.mark.real("Orthanc")
def test_a_dicomweb_server_is_a_source(tree: Path, tmp_path: Path, config: Any) -> None:
    """From a real Orthanc, one series at a time."""
    ports = OrthancPorts(free_port(), free_port())
    with running(OrthancOptions(tmp_path / "orthanc", ports)) as address:
        for ds in series_of("t1", EchoTime=10.0):
            requests.post(f"{address}/instances", data=content_of(ds), timeout=30).raise_for_status()
        file = config(f"kind = 'dicomweb'\nurl = '{address}/dicom-web'")
        line = ["batch", "pacs:archive", "--out", str(tmp_path / "out"), "--config", str(file), "--since", "2026-01-01"]
        assert command([*line, "--models", str(tree / "truth")]) == 0
    assert [row["series"] for row in table(tmp_path / "out" / "skipped.csv")] == [uid("t1", "series")]


def peak_of(folder: Path, series: int) -> int:
    """The most memory that a ledger of so many series takes, from the first note to the tables, in bytes."""
    folder.mkdir()
    ledger = Ledger(folder / "batch.sqlite")
    tracemalloc.start()
    for number in range(series):
        ledger.note_remote(f"1.2.{number}", "1.2", 10)
    for entry in ledger.open_series():
        ledger.close_series(entry.uid, "done", "", "level,volume_mm3\nL4,1000\nL5,1100\n")
    write_tables(ledger, folder, parquet=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    ledger.close()
    return peak


def test_many_series_need_no_more_memory_than_few(tmp_path: Path) -> None:
    """Two thousand series in the ledger, done and written: as much as a hundred."""
    few, many = peak_of(tmp_path / "few", 100), peak_of(tmp_path / "many", 2000)
    assert len(table(tmp_path / "many" / "measurements.csv")) == 4000
    assert many < 1.5 * few + 100_000
