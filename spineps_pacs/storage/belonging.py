"""Which data folder and which database belong together: an id in both, so that a disk that is absent is noticed.

Where several hosts share a database, a host on which the folder is not mounted would find every series without images.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import sqlalchemy as sa

from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.storage.datasets import sync_folder, write_synced
from spineps_pacs.storage.tables import FOLDER, JOBS, one_at_a_time

FILE = "node-id"


def bind(database: sa.Engine, folder: Path) -> None:
    """Refuses a folder that is not the database's own; what is new, or older than this rule, is given an id."""
    with database.begin() as connection:
        one_at_a_time(connection)
        known, found = connection.scalar(sa.select(FOLDER.c.id)), _read(folder)
        if known and found and known != found:
            raise SettingsError(
                f"the data folder {folder} is not the one of this database: its {FILE} says {found}, not {known}"
            )
        if found is None and not _holds(folder, database):
            _refuse_empty(connection, folder, known)
        chosen = known or found or secrets.token_hex(16)
        if found is None:  # before the row: a folder with an id is taken by a database that has none
            _write(folder, chosen)
        if known is None:
            connection.execute(FOLDER.insert().values(id=chosen))


def _refuse_empty(connection: sa.Connection, folder: Path, known: str | None) -> None:
    if known is not None:
        raise SettingsError(
            f"the data folder {folder} has no file {FILE}, but the database has a data folder: is the disk mounted? "
            f"If this is the right folder, write {known} into {folder / FILE}"
        )
    if connection.scalar(sa.select(JOBS.c.id).limit(1)) and not (folder / "inbox").is_dir():
        raise SettingsError(
            f"the data folder {folder} has no folder inbox, but the database has jobs: is the disk mounted? "
            f"If this is the right folder, make {folder / 'inbox'}"
        )


def _holds(folder: Path, database: sa.Engine) -> bool:
    """Whether the database lies in the folder, which leaves no doubt about the two."""
    file = database.url.database if database.dialect.name == "sqlite" else None
    return bool(file) and Path(str(file)).resolve().parent == folder.resolve()


def _read(folder: Path) -> str | None:
    try:
        return (folder / FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def _write(folder: Path, text: str) -> None:
    beside = folder / f".{FILE}"
    write_synced(beside, f"{text}\n".encode())
    beside.replace(folder / FILE)
    sync_folder(folder)
