"""Installing the second labeller's networks: from an address, from files, whole or not at all, held to checksums."""

from __future__ import annotations

from pathlib import Path

import pytest

from spineps_pacs.domain.errors import ModelError, TryAgain
from spineps_pacs.engines.small_fov import open_small_fov
from spineps_pacs.engines.small_fov_install import (
    FILES,
    FOLDER,
    TAG,
    install_networks,
    install_networks_from,
    networks_differences,
    remove_networks,
)
from spineps_pacs.engines.weights import read_record
from tests.engines import onnx_files
from tests.engines.test_install import Shelf, left_over, served, unhurried


def _networks(folder: Path) -> list[Path]:
    folder.mkdir()
    return [onnx_files.segmentation(folder, FILES[0]), onnx_files.naming(folder, FILES[1])]


def test_both_files_are_fetched_and_recorded(tmp_path: Path) -> None:
    """The two files of the release are asked for once, lie in one folder, and their checksums are known."""
    shelf = Shelf(b"x" * 5000)
    with served(shelf) as base:
        folder = install_networks(tmp_path, base)
        assert install_networks(tmp_path, base) == folder
    assert shelf.paths == [f"/releases/{TAG}/{name}" for name in FILES]
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    assert set(read_record(tmp_path).archives) == {f"{TAG}/{name}" for name in FILES}
    assert networks_differences(tmp_path) == ()


def test_what_breaks_off_goes_on(tmp_path: Path) -> None:
    """A download that breaks off for good leaves no folder, and the next call goes on from there."""
    shelf = Shelf(b"x" * 5000, breaks_after=[1000, 0, 0, 0, 0])
    with served(shelf) as base:
        with pytest.raises(TryAgain, match="after 1000 bytes"):
            install_networks(tmp_path, base, pause=unhurried)
        assert not (tmp_path / FOLDER).exists()
        install_networks(tmp_path, base, pause=unhurried)
    assert "bytes=1000-" in shelf.asked
    assert (tmp_path / FOLDER / FILES[0]).stat().st_size == 5000


def test_files_on_disk_are_installed_and_open(tmp_path: Path) -> None:
    """Without a network the two files are given; they open, and a changed one is refused by name."""
    root = tmp_path / "models"
    folder = install_networks_from(_networks(tmp_path / "disk"), root)
    assert open_small_fov(folder, "cpu", root).names == 25
    onnx_files.naming(folder, FILES[1], names=24)
    assert networks_differences(root) == (f"{FILES[1]} has another content",)
    with pytest.raises(ModelError, match="not as they were recorded"):
        open_small_fov(folder, "cpu", root)


def test_a_folder_copied_by_hand_is_recorded(tmp_path: Path) -> None:
    """One without a record is recorded as it is, and held to that; one that is not whole is told, and not recorded."""
    _networks(tmp_path / FOLDER)
    (tmp_path / FOLDER / FILES[1]).rename(tmp_path / "aside.onnx")
    (told,) = networks_differences(tmp_path)
    assert told.startswith("it has 1 .onnx files")
    (tmp_path / "aside.onnx").rename(tmp_path / FOLDER / FILES[1])
    assert networks_differences(tmp_path) == ()
    (tmp_path / FOLDER / FILES[1]).write_bytes(b"changed")
    assert networks_differences(tmp_path) == (f"{FILES[1]} has another content",)


def test_what_cannot_be_installed_is_said(tmp_path: Path) -> None:
    """A file that is not there, no network among them, a folder that is there already, another content than before."""
    root, files = tmp_path / "models", _networks(tmp_path / "disk")
    with pytest.raises(ModelError, match="does not exist"):
        install_networks_from([tmp_path / "none.onnx"], root)
    with pytest.raises(ModelError, match=r"none of the files is an \.onnx"):
        install_networks_from([Path(__file__)], root)
    install_networks_from(files, root)
    with pytest.raises(ModelError, match="already there"):
        install_networks_from(files, root)
    remove_networks(root)
    assert left_over(root) == ["spineps-pacs.lock.json"]
    with pytest.raises(ModelError, match="no folder small-fov"):
        networks_differences(root)
    with served(Shelf(b"one")) as base:
        install_networks(root, base)
    remove_networks(root)
    with pytest.raises(ModelError, match="it was recorded as"):
        install_networks_from(files, root)
