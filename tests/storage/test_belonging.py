"""A data folder and a database that belong together find each other; a folder that is not mounted is noticed."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from spineps_pacs import app, settings
from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.storage.belonging import FILE, bind
from spineps_pacs.storage.tables import FOLDER, open_database, sqlite_url

STORES = sorted((Path(__file__).parent.parent / "data").glob("store-*.tar.xz"))

Bind = Callable[[str], None]


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Bind]:
    """A host that opens the shared database, which lies elsewhere, with one folder or another."""
    databases = []

    def on(folder: str) -> None:
        (tmp_path / folder).mkdir(exist_ok=True)
        databases.append(open_database(sqlite_url(tmp_path / "shared.sqlite")))
        bind(databases[-1], tmp_path / folder)

    yield on
    for database in databases:
        database.dispose()


def test_a_folder_that_is_not_mounted_is_refused(on: Bind, tmp_path: Path) -> None:
    """The host that has the folder goes on; one with an empty folder is told how it stands, and leaves it empty."""
    on("data")
    on("data")
    with pytest.raises(SettingsError, match="is the disk mounted"):
        on("mountpoint")
    assert list((tmp_path / "mountpoint").iterdir()) == []
    shutil.copy(tmp_path / "data" / FILE, tmp_path / "mountpoint" / FILE)  # what the sentence offers
    on("mountpoint")


def test_the_folder_of_another_node_is_refused(on: Bind, tmp_path: Path) -> None:
    """Both have an id, and the ids differ."""
    on("data")
    other = tmp_path / "other"
    other.mkdir()
    (other / FILE).write_text("another\n")
    with pytest.raises(SettingsError, match="says another, not "):
        on("other")


def test_a_new_database_takes_the_folder_that_is_there(on: Bind, tmp_path: Path) -> None:
    """A folder that outlived its database, or was restored alone, keeps its id."""
    on("data")
    first = (tmp_path / "data" / FILE).read_text()
    for file in tmp_path.glob("shared.sqlite*"):
        file.unlink()
    on("data")
    assert (tmp_path / "data" / FILE).read_text() == first
    with pytest.raises(SettingsError, match="mounted"):
        on("mountpoint")


def test_a_database_that_lies_in_the_folder_belongs_to_it(tmp_path: Path) -> None:
    """Restored alone into an empty folder, it gives the folder its id back."""
    lost, new = tmp_path / "lost", tmp_path / "new"
    for folder in (lost, new):
        folder.mkdir()
        if folder == new:
            shutil.copy(lost / "node.sqlite", new)
        database = open_database(sqlite_url(folder / "node.sqlite"))
        bind(database, folder)
        database.dispose()
    assert (lost / FILE).read_text() == (new / FILE).read_text()


@pytest.mark.parametrize("store", STORES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def test_the_store_of_a_release_before_is_given_an_id(on: Bind, tmp_path: Path, store: Path) -> None:
    """Its own folder takes one; an empty folder that comes first does not, since there are jobs."""
    with tarfile.open(store) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has none yet
        archive.extractall(tmp_path)  # noqa: S202  our own archive
    for file in (tmp_path / "store").glob("node.sqlite*"):
        file.rename(tmp_path / file.name.replace("node", "shared"))
    with pytest.raises(SettingsError, match="database has jobs: is the disk mounted"):
        on("mountpoint")
    on("store")
    with pytest.raises(SettingsError, match="is the disk mounted"):
        on("mountpoint")


def test_a_node_opens_only_what_belongs_together(tmp_path: Path) -> None:
    """Both halves and every command: the same folder again and again, never one whose id is another's."""
    current = settings.parse('[node]\ndata_folder = "data"\n', "node.toml", tmp_path)
    for _ in range(2):
        common = app.shared(current)
        with common.database.begin() as connection:
            ids = list(connection.scalars(sa.select(FOLDER.c.id)))
        common.database.dispose()
        assert ids == [(tmp_path / "data" / FILE).read_text().strip()]
    (tmp_path / "data" / FILE).write_text("another\n")
    with pytest.raises(SettingsError, match="is not the one of this database"):
        app.shared(current)
