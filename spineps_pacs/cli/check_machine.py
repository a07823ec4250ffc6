"""What `check` looks at on this machine: ports, the data folder and its disk, the clock, the database."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from spineps_pacs import settings
from spineps_pacs.cli.check_line import Line
from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.settings import Settings

SLACK_S = 60.0
ANSWER_S = 3.0


def ports(current: Settings) -> Iterator[Line]:
    """Each port that the node opens: free, or already ours."""
    wanted = [("DICOM port", current.dicom.host, current.dicom.port)]
    if current.stow.enabled:
        wanted.append(("STOW-RS port", current.stow.host, current.stow.port))
    if current.web.enabled:
        wanted.append(("port of the pages", current.web.host, current.web.port))
    if current.orthanc.url:
        wanted.append(("port for Orthanc's plugin", "127.0.0.1", current.orthanc.listen_port))
    for name, host, port in wanted:
        yield _port(name, host, port, current)


def _port(name: str, host: str, port: int, current: Settings) -> Line:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except PermissionError:
        advice = "Take a port above 1023, or give the service CAP_NET_BIND_SERVICE."
        return Line(name, False, f"{port} may not be opened by this user", advice)
    except OSError as error:
        if _runs(current):
            return Line(name, True, f"{port} of {host} is in use while a node runs on this data folder")
        advice = "Another program has it: stop that, or set another port in the configuration."
        return Line(name, False, f"{port} of {host} cannot be opened: {error.strerror}", advice)
    return Line(name, True, f"{port} of {host} is free")


def _runs(current: Settings) -> bool:
    """Whether a worker of this data folder is alive: it holds a lock there."""
    import fcntl

    for path in (current.node.data_folder / "locks").glob("*.lock"):
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
            fcntl.flock(file, fcntl.LOCK_UN)
    return False


def data_folder(current: Settings) -> Iterator[Line]:
    """Can be written, and has room above the watermark."""
    folder = current.node.data_folder
    place = _nearest(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".check-") as probe:
            probe.write(b"x")
            os.fsync(probe.fileno())
    except OSError as error:
        advice = f"Give the user that runs the node the right to write there: chown or chmod {place}."
        yield Line("data folder", False, f"{folder} cannot be written: {error.strerror}", advice)
    else:
        yield Line("data folder", True, f"{folder} can be written")
    free, least = shutil.disk_usage(place).free / 1e9, current.node.min_free_gb
    advice = "Make room, or lower node.min_free_gb: below it the node refuses images."
    yield Line("disk", free >= least, f"{free:.1f} GB are free, the watermark is {least:.1f} GB", advice)


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())


def clock(current: Settings, now: float) -> Iterator[Line]:
    """Not before this release was installed, and not before what the node has already written."""
    written = max((_written(path) for path in (Path(settings.__file__), *_traces(current))), default=0.0)
    ahead = written - now
    if ahead > SLACK_S:
        said = datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%d %H:%M")
        found = f"{_said(now)}, but something here was written at {said}: the clock is {ahead / 60:.0f} min behind"
        yield Line("clock", False, found, "Set the clock by NTP (chrony or systemd-timesyncd), then look again.")
    else:
        yield Line("clock", True, f"{_said(now)}, after all that was written here")


def _said(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _traces(current: Settings) -> list[Path]:
    return [current.node.data_folder / name for name in ("node.sqlite", "node.sqlite-wal", "inbox", "outbox")]


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def database(current: Settings) -> Iterator[Line]:
    """Answers, and lets the node make its tables."""
    import sqlalchemy as sa

    try:
        address = settings.secret(current.queue.database_url_file)
    except SettingsError as error:
        yield Line("database", False, str(error), "Let the user that runs the node read this file.")
        return
    if not address:
        yield _sqlite(current.node.data_folder / "node.sqlite")
        return
    try:
        url = sa.make_url(address)
        drive = sa.create_engine(
            url.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": int(ANSWER_S)}
        )
        with drive.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        drive.dispose()
    except (sa.exc.SQLAlchemyError, ValueError) as error:
        advice = "See that PostgreSQL runs, that its address in the file is right, and that its user may log in."
        yield Line("database", False, f"PostgreSQL does not answer: {type(error).__name__}", advice)
    else:
        yield Line("database", True, f"PostgreSQL at {url.host} answers")


def _sqlite(file: Path) -> Line:
    import sqlite3
    from contextlib import closing

    if not file.exists():
        return Line("database", True, "SQLite, made when the node first starts")
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=ANSWER_S)) as connection:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            connection.execute("BEGIN IMMEDIATE").connection.rollback()
    except sqlite3.Error as error:
        advice = "Stop the node, keep a copy of the file, then restore it from a backup or move it away."
        return Line("database", False, f"{file} cannot be used: {error}", advice)
    return Line("database", said == "ok", f"SQLite says {said}", "Restore the file from a backup.")
