"""The reason why an object that was encoded is not sent."""

from __future__ import annotations

from spineps_pacs.domain.errors import Unusable


class FaultyResult(Unusable):
    """An encoded object does not say what its report says."""
