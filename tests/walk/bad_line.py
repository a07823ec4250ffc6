"""A line to a peer that can be cut in the middle, or become as slow as one byte a second."""

from __future__ import annotations

import contextlib
import socket
import threading


class BadLine:
    """Passes bytes on to a port of this machine. `good_for` bytes of each call go through; then `fault` sets in.

    `fault` is "cut" (the connection ends), "slow" (one byte a second) or "" (nothing happens).
    """

    def __init__(self, port: int, fault: str = "", good_for: int = 0) -> None:
        self._peer = port
        self.fault, self.good_for, self.calls = fault, good_for, 0
        self._end = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Ends every call."""
        self._end.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(10)

    def _serve(self) -> None:
        while not self._end.is_set():
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            peer = socket.create_connection(("127.0.0.1", self._peer), timeout=10)
            for pair in ((caller, peer, True), (peer, caller, False)):
                self._threads.append(threading.Thread(target=self._pass_on, args=pair, daemon=True))
                self._threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket, forth: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError), source, target:
            source.settimeout(0.2)
            while not self._end.is_set():
                limit = 65536 if not forth or not self.fault else max(1, min(65536, self.good_for - passed))
                try:
                    data = source.recv(limit)
                except TimeoutError:
                    continue
                if not data:
                    return
                if forth and self.fault and passed >= self.good_for:
                    if self.fault == "cut":
                        return
                    self._end.wait(1.0)
                target.sendall(data)
                passed += len(data)
