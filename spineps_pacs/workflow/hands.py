"""Which series one worker has in hand at the same moment: several, but whoever has ended a worker before is alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_EVERY_S = 0.5


class Hands:
    """Lets so many analyses in; one that comes alone waits until nobody else is in, and nobody comes in meanwhile.

    Else a series that kills its worker would have its deaths counted to its neighbours as well.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._in = 0
        self._alone = 0
        """Those who are alone, or wait to be."""

    @contextmanager
    def taken(self, look: Callable[[], object], *, alone: bool = False) -> Iterator[None]:
        """In hand for as long as the block lasts; `look` may raise while one waits."""
        with self._changed:
            self._alone += alone
        try:
            while not self._let_in(alone):
                look()
            try:
                yield
            finally:
                self._leave()
        finally:
            with self._changed:
                self._alone -= alone
                self._changed.notify_all()

    def _let_in(self, alone: bool) -> bool:
        """Waits a little; True when one is in."""
        with self._changed:
            free = self._changed.wait_for(lambda: self._free(alone), LOOK_EVERY_S)
            self._in += free
            return free

    def _free(self, alone: bool) -> bool:
        return self._in == 0 if alone else self._alone == 0 and self._in < self._most

    def _leave(self) -> None:
        with self._changed:
            self._in -= 1
            self._changed.notify_all()
