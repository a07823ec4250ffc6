"""A bell that rings once for a visitor and then not again for a while, so that one who tries on fills no disk."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

MOST_VISITORS = 1000


class Bell:
    """Rings for a visitor, and for `quiet_s` not again; remembers only so many. `clock` is monotonic seconds."""

    def __init__(self, quiet_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet_s = quiet_s
        self._clock = clock
        self._lock = threading.Lock()
        self._rung: dict[str, float] = {}

    def rings(self, visitor: str) -> bool:
        """True when this one was not heard lately."""
        with self._lock:
            now = self._clock()
            if now - self._rung.get(visitor, -math.inf) < self._quiet_s:
                return False
            if len(self._rung) >= MOST_VISITORS:
                self._rung = {who: at for who, at in self._rung.items() if now - at < self._quiet_s}
            if len(self._rung) >= MOST_VISITORS:
                return False
            self._rung[visitor] = now
            return True
