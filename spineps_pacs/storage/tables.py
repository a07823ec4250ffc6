"""The tables of the records, and the engine of the database that holds them: SQLite in WAL mode, or PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from spineps_pacs.domain.errors import SettingsError

METADATA = sa.MetaData()
SCHEMA_VERSION = 2

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("series_uid", sa.String(64), nullable=False, index=True),
    sa.Column("study_uid", sa.String(64), nullable=False, index=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("created", sa.Float, nullable=False, index=True),
    sa.Column("changed", sa.Float, nullable=False, index=True),
    sa.Column("phase", sa.String(64), nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("verdict", sa.Text),
    sa.Column("results", sa.Text, nullable=False),
    sa.Column("turn", sa.Integer, nullable=False, server_default="0"),
    sa.Column("patient", sa.String(64), nullable=False, server_default="", index=True),
    sa.Column("erased", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("models", sa.Text, nullable=False, server_default="[]"),
)

SENDINGS = sa.Table(
    "sendings",
    METADATA,
    sa.Column("job_id", sa.String(64), primary_key=True),
    sa.Column("destination", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

RECEIPTS = sa.Table(
    "receipts",
    METADATA,
    sa.Column("job_id", sa.String(64), primary_key=True),
    sa.Column("destination", sa.String(64), primary_key=True),
    sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
    sa.Column("accepted", sa.Boolean, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
)

EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.String(64), nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

STEPS = {2: "ALTER TABLE jobs ADD COLUMN models TEXT NOT NULL DEFAULT '[]'"}
"""What makes of the tables of the version before those of this one; a column has a default, so that both can write."""

FOLDER = sa.Table("data_folder", METADATA, sa.Column("id", sa.String(64), primary_key=True))
"""One row, the id of the data folder that belongs to this database; a release before this one leaves it alone."""

VERSION = sa.Table("records_version", METADATA, sa.Column("version", sa.Integer, primary_key=True))


def sqlite_url(file: Path) -> str:
    """The address of a SQLite database in a file."""
    return f"sqlite:///{file}"


def open_database(url: str) -> sa.Engine:
    """The database, with our tables in it, brought up to date; one that a newer release made is refused.

    Its errors do not quote what was written: UIDs leave the records only as hashes.
    """
    engine = _sqlite(url) if url.startswith("sqlite") else _postgres(url)
    try:
        with engine.begin() as connection:
            _prepare(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def one_at_a_time(connection: sa.Connection) -> None:
    """Two processes that start together must not both make what is missing; on SQLite every transaction is alone."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7364061)"))


def _prepare(connection: sa.Connection) -> None:
    one_at_a_time(connection)
    METADATA.create_all(connection)
    found = connection.execute(sa.select(sa.func.max(VERSION.c.version))).scalar()
    if found is None:
        connection.execute(VERSION.insert().values(version=SCHEMA_VERSION))
    elif found > SCHEMA_VERSION:
        raise SettingsError(f"a newer release made the records (version {found}, this one reads {SCHEMA_VERSION})")
    else:
        _bring_up_to_date(connection, int(found))


def _bring_up_to_date(connection: sa.Connection, found: int) -> None:
    for version in range(found + 1, SCHEMA_VERSION + 1):
        connection.execute(sa.text(STEPS[version]))
        connection.execute(VERSION.insert().values(version=version))


def _postgres(url: str) -> sa.Engine:
    """A host that is paused or cut off in the middle of a write holds its rows no longer than a minute."""
    address = sa.make_url(url).set(drivername="postgresql+psycopg")
    if "options" not in address.query:
        address = address.update_query_dict({"options": "-c idle_in_transaction_session_timeout=60000"})
    return sa.create_engine(address, pool_pre_ping=True, pool_size=5, hide_parameters=True)


def _sqlite(url: str) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": 30.0}, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
