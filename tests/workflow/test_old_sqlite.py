"""The clock that the engine asks of SQLite is there, whatever release of SQLite this is."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from spineps_pacs.storage.tables import open_database, sqlite_url
from spineps_pacs.workflow import old_sqlite


def test_a_row_gets_its_time(tmp_path: Path) -> None:
    """A column whose default is unixepoch('subsec'), as the engine makes them, is filled to the millisecond."""
    old_sqlite.give_clock()
    engine = open_database(sqlite_url(tmp_path / "x.sqlite"))
    with engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE t (name TEXT, at BIGINT NOT NULL DEFAULT (unixepoch('subsec') * 1000))")
        )
        connection.execute(sa.text("INSERT INTO t (name) VALUES ('row')"))
        at = connection.execute(sa.text("SELECT at FROM t")).scalar_one()
    engine.dispose()
    assert abs(at / 1000 - time.time()) < 60


def test_an_old_release_is_given_the_function_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one is left as it is; asking twice registers it once."""
    heard: list[object] = []
    monkeypatch.setattr(sa.event, "listen", lambda *what: heard.append(what))
    monkeypatch.setattr(sa.event, "contains", lambda *_: bool(heard))
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 42, 0))
    old_sqlite.give_clock()
    assert not heard
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    old_sqlite.give_clock()
    old_sqlite.give_clock()
    assert len(heard) == 1


def test_nothing_else_is_promised() -> None:
    """Another question is an error with the question, not a wrong time."""
    with pytest.raises(ValueError, match="unixepoch"):
        old_sqlite.unixepoch("now")
