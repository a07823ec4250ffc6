"""How often something was turned away at a door, by kind, since the process began."""

from __future__ import annotations

import threading
from collections import Counter

STRANGER, NO_ROOM, UNREADABLE, TOO_LARGE, FAULT = "unknown caller", "no room", "unreadable", "too large", "fault"


class Refusals:
    """Counts by kind; several threads may tell at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter(dict.fromkeys((STRANGER, NO_ROOM, UNREADABLE, TOO_LARGE, FAULT), 0))

    def __call__(self, kind: str) -> None:
        """One more of that kind."""
        with self._lock:
            self._counts[kind] += 1

    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        with self._lock:
            return dict(self._counts)
