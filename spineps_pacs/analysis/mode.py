"""The two modes of the analysis: what the reference does, or the same with its defects mended."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """`upstream` repeats spineps 2.1.3 with TPTBox 1.1.0, defects included; `corrected` mends them (docs/parity.md)."""

    UPSTREAM = "upstream"
    CORRECTED = "corrected"
