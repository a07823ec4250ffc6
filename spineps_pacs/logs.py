"""What is written to the log: keys by an allow-list, UIDs as salted hashes, never a patient; and the audit messages."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from xml.etree import ElementTree as ET

import structlog

from spineps_pacs.domain.audit import AuditEvent, Code

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "logger", "job", "series", "study", "state", "phase", "reason", "attempt",
        "destination", "peer", "address", "port", "status", "count", "bytes", "seconds", "done", "total", "model",
        "digest", "version", "rule", "worker", "executor", "signal", "exit_code", "key", "queue", "free_gb", "error",
        "kind", "source", "url", "host", "mode", "device", "exception",
    }
)  # fmt: skip
"""The only keys that reach a log; everything else is dropped before it is written."""

_QUIET = (
    "pynetdicom", "pydicom", "highdicom", "urllib3", "httpx", "dicomweb_client", "matplotlib", "sqlalchemy", "uvicorn",
    "asyncio", "PIL", "concurrent",
)  # fmt: skip
"""Libraries that may print data sets, headers or addresses; only their errors' existence is of use."""


def hashed(salt: bytes, uid: str) -> str:
    """A UID as it may appear in a log: the same for the same site, meaningless anywhere else."""
    return hmac.new(salt, uid.encode(), hashlib.sha256).hexdigest()[:16]


def site_salt(path: Path) -> bytes:
    """The site's salt; made on first use, readable by its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_hex(32).encode())
    return path.read_bytes().strip()


def keep_allowed(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Drops each key that is not on the list."""
    return {key: value for key, value in entry.items() if key in ALLOWED}


def _exception_kind(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A traceback without the values of the exception: file, line, function and class; texts may hold identifiers."""
    error = entry.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        entry["exception"] = f"{type(error).__name__} at {_place(error)}"
    return entry


def _place(error: BaseException) -> str:
    places = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{step.tb_lineno} {code.co_name}")
        step = step.tb_next
    return " > ".join(places[-6:])


def configure(level: str = "info", style: str = "text", stream: TextIO | None = None) -> None:
    """Sets the process's logging: called once, by the command line."""
    out = stream or sys.stderr
    renderer: Any = structlog.dev.ConsoleRenderer(colors=False)
    if style == "json":
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception_kind,
            keep_allowed,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("dbos").setLevel(logging.ERROR)


def audit_message(event: AuditEvent, source: str, at: datetime) -> str:
    """One audit message as DICOM PS3.15 A.5 has it, on one line."""
    root = ET.Element("AuditMessage")
    identification = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=at.astimezone(UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator="0" if event.succeeded else "8",
    )
    _code(identification, "EventID", event.event)
    if event.kind is not None:
        _code(identification, "EventTypeCode", event.kind)
    who = ET.SubElement(root, "ActiveParticipant", UserID=event.user, UserIsRequestor="true")
    if event.address:
        who.set("NetworkAccessPointID", event.address)
        who.set("NetworkAccessPointTypeCode", "2")
    ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=source)
    if event.study_uid:
        _study_object(root, event.study_uid)
    return ET.tostring(root, encoding="unicode")


def _code(parent: ET.Element, name: str, code: Code) -> None:
    scheme = "DCM" if code[0].isdigit() else "99SPINEPS"
    ET.SubElement(parent, name, {"csd-code": code[0], "codeSystemName": scheme, "originalText": code[1]})


def _study_object(root: ET.Element, study_uid: str) -> None:
    thing = ET.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=study_uid,
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole="3",
    )
    _code(thing, "ParticipantObjectIDTypeCode", ("110180", "Study Instance UID"))
