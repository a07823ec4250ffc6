"""Ctrl-C and SIGTERM during a command that has threads and processes of its own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Whether the command was told to stop: a handler of signals that raises, or waits until somebody looks."""

    def __init__(self) -> None:
        self._told = self._held = False

    def __call__(self, *_: object) -> None:
        """Ctrl-C was pressed."""
        self._told = True
        if not self._held:
            raise KeyboardInterrupt

    def look(self) -> None:
        """Goes on only while nobody has pressed Ctrl-C, also where Python swallowed what was raised."""
        if self._told:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is raised in the middle of this; the next look tells."""
        self._held = True
        try:
            yield
        finally:
            self._held = False


@contextmanager
def told_to_stop() -> Iterator[Stop]:
    """SIGTERM ends the command as Ctrl-C does.

    Python swallows what is raised while it runs a destructor or the callback of a weak reference.
    """
    stop = Stop()

    def quiet(swallowed: sys.UnraisableHookArgs) -> None:
        if not isinstance(swallowed.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(swallowed)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    sys.unraisablehook = quiet
    try:
        yield stop
    finally:
        sys.unraisablehook = sys.__unraisablehook__
        for number, handler in before.items():
            signal.signal(number, handler)
