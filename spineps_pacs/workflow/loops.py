"""A step that is done again and again in a thread; what fails is told, and tried again at the next turn."""

from __future__ import annotations

import threading
from collections.abc import Callable

FORGIVEN_S = 30.0


class Loop:
    """Calls `step` every so many seconds until it is stopped."""

    def __init__(
        self, name: str, every_s: float, step: Callable[[], object], log: Callable[[str, BaseException], None]
    ) -> None:
        self._name = name
        self._every_s = every_s
        self._step = step
        self._log = log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, patience_s: float = 10.0) -> None:
        """Ends after the step that runs."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            pause = self._every_s
            try:
                self._step()
            except Exception as error:  # noqa: BLE001  the loop outlives whatever one turn of it meets
                self._log(self._name, error)
                pause = min(max(pause, 1.0) * 2, FORGIVEN_S)
            self._stop.wait(pause)


class Half:
    """The parts of one process: started in order, stopped in reverse; `addresses` says where it hears."""

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self._parts: list[tuple[Callable[[], object], Callable[[], object]]] = []
        self._running: list[Callable[[], object]] = []

    def add(self, start: Callable[[], object], stop: Callable[[], object]) -> None:
        """One more part."""
        self._parts.append((start, stop))

    def loop(self, loop: Loop) -> None:
        """One more loop."""
        self.add(loop.start, loop.stop)

    def listen(self, name: str, start: Callable[[], int], stop: Callable[[], object]) -> None:
        """One more part that hears on a port."""

        def open_port() -> None:
            self.addresses[name] = start()

        self.add(open_port, stop)

    def start(self) -> dict[str, int]:
        """Starts all; when one cannot, those that did are stopped again. Gives the ports."""
        try:
            for start, stop in self._parts:
                start()
                self._running.append(stop)
        except BaseException:
            self.stop()
            raise
        return self.addresses

    def stop(self) -> None:
        """Stops all that runs."""
        while self._running:
            self._running.pop()()
