"""Datasets and notes on a true disk: what a power cut, a clock and a full disk do to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from absent import absent
from samples import content_of, slice_of

from spineps_pacs.domain.errors import TryAgain, Unusable
from spineps_pacs.storage.datasets import DatasetFolder
from spineps_pacs.storage.marks import Marks


def test_nothing_half_written_is_ever_seen(tmp_path: Path) -> None:
    """What lies in the staging folder is no dataset, and is tidied away after an hour."""
    now = 1_000_000.0
    store = DatasetFolder(tmp_path, lambda: now)
    (store.staging / "x.part").write_bytes(b"half")
    os.utime(store.staging / "x.part", (now - 3700, now - 3700))
    (store.staging / "y.part").write_bytes(b"young")
    os.utime(store.staging / "y.part", (now - 100, now - 100))
    assert store.quiet(float("inf")) == []
    assert store.tidy() == 1
    assert [p.name for p in store.staging.iterdir()] == ["y.part"]


def test_a_clock_that_went_back_begins_the_quiet_anew(tmp_path: Path) -> None:
    """A folder from the future is not quiet for ever: it is dated now."""
    now = 1_000_000.0
    store = DatasetFolder(tmp_path, lambda: now)
    store.add("key", "0.dcm", content_of(slice_of("a", 0)))
    os.utime(tmp_path / "key", (now + 7200, now + 7200))
    assert store.quiet(now) == []
    assert store.changed("key") == now
    assert store.quiet(now) == ["key"]


def test_a_full_disk_is_a_reason_to_wait(tmp_path: Path) -> None:
    """The disk that takes nothing more says so, and what was there stays whole."""
    if os.system(f"mount -t tmpfs -o size=64k tmpfs {tmp_path} 2>/dev/null") != 0:  # noqa: S605
        absent("no file system can be mounted here, which takes root")
    try:
        store = DatasetFolder(tmp_path)
        store.add("key", "0.dcm", content_of(slice_of("a", 0)))
        with pytest.raises(TryAgain, match="No space left"):
            store.add("key", "1.dcm", b"x" * 100_000)
        assert store.names("key") == ("0.dcm",)
    finally:
        os.system(f"umount {tmp_path}")  # noqa: S605


def test_holds_finds_an_instance_in_any_series(tmp_path: Path) -> None:
    """Whichever key it lies under."""
    store = DatasetFolder(tmp_path)
    store.add("a", "0.dcm", content_of(slice_of("a", 0)))
    assert store.holds("0.dcm")
    assert not store.holds("1.dcm")


def test_notes_come_back(tmp_path: Path) -> None:
    """By key and kind, replaced and forgotten, also by another object on the same folder."""
    notes = Marks(tmp_path)
    notes.put("k", "source", "MR1")
    notes.put("k", "source", "MR2")
    notes.put("k", "taken", "1.0")
    notes.put("other", "taken", "2.0")
    again = Marks(tmp_path)
    assert again.get("k", "source") == "MR2"
    assert again.keys("taken") == ["k", "other"]
    again.forget("k", "taken")
    assert again.get("k", "taken") is None
    again.forget("k")
    assert again.keys("source") == []
    assert again.get("other", "taken") == "2.0"


@pytest.mark.parametrize("name", ["../x", "a/b", "a.b", "", ".x"])
def test_no_note_leaves_its_folder(tmp_path: Path, name: str) -> None:
    """Neither by key nor by kind."""
    with pytest.raises(ValueError, match="cannot name"):
        Marks(tmp_path).put(name, "kind", "x")
    with pytest.raises(ValueError, match="cannot name"):
        Marks(tmp_path).put("key", name, "x")


def test_what_comes_again_is_not_forgotten(tmp_path: Path) -> None:
    """An image that is known keeps its series from being erased with the old ones: the rest may be on its way."""
    store, content = DatasetFolder(tmp_path), content_of(slice_of("a", 0))
    store.add("key", "0.dcm", content)
    os.utime(tmp_path / "key", (1000.0, 1000.0))
    assert store.add("key", "0.dcm", content) is False
    assert store.forget("key", before=2000.0) is False
    assert store.names("key") == ("0.dcm",)
    os.utime(tmp_path / "key", (1000.0, 1000.0))
    assert store.forget("key", before=2000.0)
    assert (store.names("key"), list(store.staging.iterdir())) == ((), [])


def test_what_comes_while_a_series_is_forgotten_stays(tmp_path: Path) -> None:
    """Between the look and the move one more image is acknowledged: all is brought back, beside what came after."""
    store, other = DatasetFolder(tmp_path), DatasetFolder(tmp_path)
    store.add("key", "0.dcm", b"0")
    os.utime(tmp_path / "key", (1000.0, 1000.0))

    class Late(type(tmp_path)):  # type: ignore[misc]
        """A path at whose move somebody else adds: before it in time, and again right after."""

        def rename(self, target: Path) -> Path:
            other.add("key", "1.dcm", b"1")
            moved = Path(self).rename(target)
            other.add("key", "2.dcm", b"2")
            return moved

    store._folder = lambda key: Late(tmp_path / key)  # type: ignore[method-assign]
    assert store.forget("key", before=2000.0) is False
    assert other.names("key") == ("0.dcm", "1.dcm", "2.dcm")


def test_a_folder_that_never_got_its_image_goes(tmp_path: Path) -> None:
    """A crash, or a full disk, between the folder and its first image leaves nothing for ever."""
    store = DatasetFolder(tmp_path)
    (tmp_path / "empty").mkdir()
    store.add("key", "0.dcm", b"0")
    assert store.tidy(older_than_s=-1.0) == 0
    assert store.quiet(float("inf")) == ["key"]


def test_a_disk_that_fails_is_no_fault_of_the_file(tmp_path: Path) -> None:
    """What cannot be read just now is tried again; what is no DICOM is not, and its text is not quoted."""
    store = DatasetFolder(tmp_path)
    store.add("broken", "0.dcm", b"DOE^JANE" * 100)
    with pytest.raises(Unusable, match="InvalidDicomError") as refused:
        store.load("broken")
    assert "DOE" not in str(refused.value)
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "0.dcm").symlink_to(tmp_path / "gone" / "0.dcm")  # ELOOP, whoever asks
    store.names = lambda _key: ("0.dcm",)  # type: ignore[method-assign]
    with pytest.raises(TryAgain, match="cannot be read just now"):
        store.load("gone")
