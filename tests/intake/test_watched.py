"""The watched folder: each file once, none lost, whatever the disk or the share does."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from absent import absent
from samples import series_of, write

from intake.conftest import Told
from intake.test_reception import Node
from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.intake.reception import Source
from spineps_pacs.intake.watched import Drop, WatchedFolder


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    write(series_of("a"), tmp_path / "drop" / "deep")
    return tmp_path / "drop"


def test_a_file_is_taken_when_it_has_settled(node: Node, staging: Path, drop: Path) -> None:
    """Seen twice without a change; a file that still grows waits; each is taken once, also by a new process."""
    watched = WatchedFolder(node.door, node.notes, Drop(drop), staging, Told())
    assert watched.step() == 0
    os.utime(drop / "deep" / "000.dcm", (5, 5))
    assert watched.step() == 5
    assert watched.step() == 1
    assert watched.step() == 0
    again = WatchedFolder(node.door, node.notes, Drop(drop), staging, Told())
    assert [again.step(), again.step()] == [0, 0]
    assert len(list(drop.rglob("*.dcm"))) == 6
    node.clock.now += 60
    node.door.sweep()
    assert node.jobs()[0].source == "watched"


def test_what_is_safe_may_be_removed(node: Node, staging: Path, drop: Path) -> None:
    """Taken files go where that is wanted; what is no DICOM stays, and is told once."""
    (drop / "notes.txt").write_text("hello")
    told = Told()
    watched = WatchedFolder(node.door, node.notes, Drop(drop, remove=True), staging, told)
    assert [watched.step() for _ in range(4)] == [0, 6, 0, 0]
    assert [p.name for p in drop.rglob("*") if p.is_file()] == ["notes.txt"]
    assert told.lines == ["a file of the watched folder was left"]


def test_a_full_disk_leaves_the_files_where_they_are(node: Node, staging: Path, drop: Path) -> None:
    """They are taken when there is room."""

    class Full:
        room = False

        def arrived(self, path: Path, source: Source, study_uid: str | None = None) -> object:
            if not self.room:
                raise TryAgain("full")
            return node.door.arrived(path, source, study_uid)

        def released(self, keys: object) -> None:
            """Nothing."""

    door = Full()
    watched = WatchedFolder(door, node.notes, Drop(drop), staging, Told())  # type: ignore[arg-type]
    assert [watched.step(), watched.step()] == [0, 0]
    door.room = True
    assert watched.step() == 6


def test_a_drop_on_another_file_system_works_too(node: Node, tmp_path: Path, drop: Path) -> None:
    """Files are copied into the staging folder, not moved."""
    other = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    copy = other / f"drop-{os.getpid()}"
    shutil.copytree(drop, copy)
    try:
        (tmp_path / "staging2").mkdir()
        watched = WatchedFolder(node.door, node.notes, Drop(copy, remove=True), tmp_path / "staging2", Told())
        assert [watched.step(), watched.step()] == [0, 6]
    finally:
        shutil.rmtree(copy)


def test_a_disk_that_fills_up_while_a_file_is_copied_loses_none(
    node: Node, staging: Path, drop: Path, tmp_path: Path
) -> None:
    """Nothing is noted as taken; with room again, each file is."""
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=4k tmpfs {small} 2>/dev/null") != 0:  # noqa: S605
        absent("no file system can be mounted here, which takes root")
    told = Told()
    try:
        (small / "rest").write_bytes(bytes(4096))
        watched = WatchedFolder(node.door, node.notes, Drop(drop, remove=True), small, told)
        assert [watched.step() for _ in range(3)] == [0, 0, 0]
        assert told.lines == ["the watched folder waits"] * 2
        assert len(list(drop.rglob("*.dcm"))) == 6
    finally:
        os.system(f"umount {small}")  # noqa: S605
    watched = WatchedFolder(node.door, node.notes, Drop(drop, remove=True), staging, told)
    assert [watched.step(), watched.step()] == [0, 6]


def test_a_file_that_cannot_be_read_yet_is_looked_at_again(node: Node, staging: Path, drop: Path) -> None:
    """A share that fails for a while is told once, and holds no other file up."""
    first, told = drop / "deep" / "000.dcm", Told()

    class Failing:
        fails = True

        def arrived(self, path: Path, source: Source, study_uid: str | None = None) -> object:
            if self.fails and path.read_bytes() == first.read_bytes():
                raise OSError(errno.EIO, "Input/output error")
            return node.door.arrived(path, source, study_uid)

    door = Failing()
    watched = WatchedFolder(door, node.notes, Drop(drop), staging, told)  # type: ignore[arg-type]
    assert [watched.step() for _ in range(3)] == [0, 5, 0]
    assert told.lines == ["a file of the watched folder cannot be read yet"]
    door.fails = False
    assert [watched.step(), watched.step()] == [1, 0]


def test_less_disk_than_the_node_keeps_stops_the_watching(node: Node, staging: Path, drop: Path) -> None:
    """The watermark of the DICOM port holds here too."""
    watched = WatchedFolder(node.door, node.notes, Drop(drop, room=lambda: False), staging, Told())
    assert [watched.step(), watched.step()] == [0, 0]
    assert node.inbox.quiet(float("inf")) == []


def test_notes_of_watched_files_go_with_them(node: Node, staging: Path, drop: Path) -> None:
    """There are no more notes than files; a share that is away takes none with it, and nothing is taken twice."""
    watched = WatchedFolder(node.door, node.notes, Drop(drop), staging, Told())
    assert [watched.step(), watched.step()] == [0, 6]
    away = drop.rename(drop.with_name("away"))
    assert watched.step() == 0
    away.rename(drop)
    assert watched.step() == 0
    assert len(node.notes.keys("watched")) == 6
    (drop / "deep" / "000.dcm").unlink()
    assert watched.step() == 0
    assert len(node.notes.keys("watched")) == 5
    (drop / "deep" / "001.dcm").unlink()
    again = WatchedFolder(node.door, node.notes, Drop(drop), staging, Told())
    assert [again.step(), again.step()] == [0, 0]
    assert len(node.notes.keys("watched")) == 4
