"""Gives a SQLite before 3.42 the clock that the engine asks of it on Python 3.12 and later."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import sqlalchemy as sa

KNOWS_SUBSEC = (3, 42)
"""Before, unixepoch('subsec') is NULL, and the engine can write no row: Debian 12 has 3.40, Ubuntu 22.04 3.37."""


def give_clock() -> None:
    """From now on every connection that is opened knows the function; harmless when repeated."""
    if sqlite3.sqlite_version_info < KNOWS_SUBSEC and not sa.event.contains(sa.Engine, "connect", _prepare):
        sa.event.listen(sa.Engine, "connect", _prepare)


def _prepare(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.create_function("unixepoch", 1, unixepoch)


def unixepoch(asked: object) -> float:
    """Seconds since 1970 with their fraction; nobody asks this function for anything else."""
    if asked != "subsec":
        raise ValueError(f"unixepoch({asked!r}) is not known")
    return time.time()
