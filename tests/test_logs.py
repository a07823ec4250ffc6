"""The log: nothing but allowed keys reaches it, and no text of an exception."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import structlog

from spineps_pacs import logs
from spineps_pacs.domain.audit import ACTIVITY, CREATE, STARTED, AuditEvent


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def _logged(**entry: object) -> dict[str, object]:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    structlog.get_logger().info("arrived", **entry)
    result: dict[str, object] = json.loads(stream.getvalue())
    return result


def test_a_key_that_is_not_allowed_is_dropped() -> None:
    """A name, an id or a date under any key of its own never reaches the log."""
    entry = _logged(series="abc", patient_name="DOE^JANE", PatientID="4711", study_date="20260101", count=3)
    assert entry.keys() == {"event", "level", "timestamp", "series", "count"}


def test_the_text_of_an_exception_is_not_written() -> None:
    """An error is logged by its class and place; its message could quote a header."""
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    try:
        raise ValueError("DOE^JANE is not a number")
    except ValueError:
        structlog.get_logger().error("failed", exc_info=True)
    text = stream.getvalue()
    assert "DOE" not in text
    assert "ValueError at test_logs.py:" in text


def test_a_uid_is_hashed_with_the_sites_salt(tmp_path: Path) -> None:
    """The same UID gives the same hash at one site and another at the next; the salt is kept, for its owner only."""
    salt = logs.site_salt(tmp_path / "salt")
    assert logs.site_salt(tmp_path / "salt") == salt
    assert (tmp_path / "salt").stat().st_mode & 0o077 == 0
    assert logs.hashed(salt, "1.2.3") == logs.hashed(salt, "1.2.3") != logs.hashed(b"other", "1.2.3")
    assert "1.2.3" not in logs.hashed(salt, "1.2.3")


def test_an_audit_message_has_the_parts_of_the_standard() -> None:
    """Event, participant, source and object stand in the XML."""
    event = AuditEvent(ACTIVITY, CREATE, "MR1", STARTED, address="192.0.2.1", study_uid="1.2.3")
    root = ET.fromstring(logs.audit_message(event, "SPINEPS", datetime(2026, 1, 1, tzinfo=UTC)))  # noqa: S314  our own
    assert root.find("EventIdentification/EventID").get("csd-code") == "110100"  # type: ignore[union-attr]
    assert root.find("EventIdentification/EventTypeCode").get("csd-code") == "110120"  # type: ignore[union-attr]
    assert root.find("EventIdentification").get("EventOutcomeIndicator") == "0"  # type: ignore[union-attr]
    assert root.find("ActiveParticipant").get("UserID") == "MR1"  # type: ignore[union-attr]
    assert root.find("ParticipantObjectIdentification").get("ParticipantObjectID") == "1.2.3"  # type: ignore[union-attr]
