"""The ledger of a batch: which file belongs to which series, and what became of each; on disk, so that it is resumable.

Nothing of it is held in memory: a hundred thousand series need no more than a hundred.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TABLES = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, series TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS files_of_series ON files (series);
CREATE TABLE IF NOT EXISTS series (
  uid TEXT PRIMARY KEY, state TEXT NOT NULL DEFAULT 'open', reason TEXT NOT NULL DEFAULT '',
  first_seen REAL NOT NULL, head TEXT NOT NULL DEFAULT '', rows TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS series_by_state ON series (state);
CREATE TABLE IF NOT EXISTS unreadable (path TEXT PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS remote (series TEXT PRIMARY KEY, study TEXT NOT NULL, instances INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class Entry:
    """One series of the batch: open, done, skipped or failed, and why."""

    uid: str
    state: str
    reason: str
    first_seen: float


class Ledger:
    """A SQLite file."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")  # what a power cut takes is done again
        self._connection.executescript(TABLES)

    def close(self) -> None:
        """Ends the use of the file."""
        self._connection.close()

    def knows(self, path: Path) -> bool:
        """True when this file was looked at before."""
        query = "SELECT 1 FROM files WHERE path = ? UNION ALL SELECT 1 FROM unreadable WHERE path = ?"
        return self._connection.execute(query, (str(path), str(path))).fetchone() is not None

    def note(self, path: Path, series_uid: str) -> None:
        """A file of a series; a series that was done and grows is open again."""
        self._connection.execute("BEGIN")
        self._connection.execute("INSERT OR IGNORE INTO files VALUES (?, ?)", (str(path), series_uid))
        add = "INSERT INTO series (uid, first_seen) VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET state = 'open'"
        self._connection.execute(add, (series_uid, time.time()))
        self._connection.execute("COMMIT")

    def note_remote(self, series_uid: str, study_uid: str, instances: int) -> None:
        """A series that an archive has; one that was done and has grown since is open again."""
        self._connection.execute("BEGIN")
        grown = "INSERT INTO remote VALUES (?, ?, ?) ON CONFLICT (series) DO UPDATE SET instances = excluded.instances "
        grown += "WHERE instances <> excluded.instances"
        if self._connection.execute(grown, (series_uid, study_uid, instances)).rowcount:
            add = "INSERT INTO series (uid, first_seen) VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET state = 'open'"
            self._connection.execute(add, (series_uid, time.time()))
        self._connection.execute("COMMIT")

    def remote(self, series_uid: str) -> tuple[str, int]:
        """The study of a series that an archive has, and how many images it has there."""
        row = self._connection.execute("SELECT study, instances FROM remote WHERE series = ?", (series_uid,)).fetchone()
        return ("", 0) if row is None else (str(row[0]), int(row[1]))

    def note_unreadable(self, path: Path, reason: str) -> None:
        """A file that is no DICOM image."""
        self._connection.execute("INSERT OR REPLACE INTO unreadable VALUES (?, ?)", (str(path), reason))

    def open_series(self) -> Iterator[Entry]:
        """The series that are still to be done, one after the other."""
        last = ""
        query = (
            "SELECT uid, state, reason, first_seen FROM series WHERE state = 'open' AND uid > ? ORDER BY uid LIMIT 1"
        )
        while (row := self._connection.execute(query, (last,)).fetchone()) is not None:
            last = row[0]
            yield Entry(*row)

    def files_of(self, series_uid: str) -> list[Path]:
        """The files of a series."""
        rows = self._connection.execute("SELECT path FROM files WHERE series = ? ORDER BY path", (series_uid,))
        return [Path(path) for (path,) in rows]

    def close_series(self, uid: str, state: str, reason: str = "", table: str = "") -> None:
        """What became of a series; `table` is its measurements as CSV with a heading."""
        head, _, rows = table.partition("\n")
        update = "UPDATE series SET state = ?, reason = ?, head = ?, rows = ? WHERE uid = ?"
        self._connection.execute(update, (state, reason, head, rows, uid))

    def reopen(self, state: str) -> None:
        """Series in that state are to be done again."""
        self._connection.execute("UPDATE series SET state = 'open' WHERE state = ?", (state,))

    def counts(self) -> dict[str, int]:
        """How many series are in which state."""
        return dict(self._connection.execute("SELECT state, count(*) FROM series GROUP BY state").fetchall())

    def ended(self, state: str) -> Iterator[Entry]:
        """The series in that state."""
        query = "SELECT uid, state, reason, first_seen FROM series WHERE state = ? ORDER BY uid"
        for row in self._connection.execute(query, (state,)):
            yield Entry(*row)

    def measurements(self) -> Iterator[tuple[str, str, str]]:
        """Series, heading and rows of each series that is done."""
        query = "SELECT uid, head, rows FROM series WHERE state = 'done' AND head <> '' ORDER BY uid"
        yield from self._connection.execute(query)
