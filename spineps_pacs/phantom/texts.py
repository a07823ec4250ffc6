"""Numbers and identifiers as DICOM texts."""

from __future__ import annotations

import hashlib
import uuid


def ds(*values: float, digits: int = 6) -> list[str] | str:
    """Decimal strings of at most 16 characters; a single one alone."""
    texts = [_ds(float(v), digits) for v in values]
    return texts if len(texts) > 1 else texts[0]


def _ds(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def uid(*parts: object) -> str:
    """A UID (2.25) that follows from its parts."""
    digest = hashlib.sha256("\n".join(str(p) for p in parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
