"""A folder of files appears whole, and takes an older one's place."""

from __future__ import annotations

from pathlib import Path

from spineps_pacs.storage.beside import write_folder


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    """What the new one does not hold is gone; nothing is left beside it, also after a write that was cut off."""
    (tmp_path / ".a").mkdir()
    (tmp_path / ".a" / "half").write_bytes(b"left by a power cut")
    write_folder(tmp_path / "a", {"one": b"1", "two": b"2"})
    write_folder(tmp_path / "a", {"one": b"3"})
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == {"one": b"3"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
