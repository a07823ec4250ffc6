"""Keeps the receiver and the workers alive, each a process of its own; ends them all when it ends.

A child hears of our end by its standard input, a pipe from us: when we are gone, however we went, it closes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SHORTEST_S, LONGEST_S, HEALTHY_S = 1.0, 30.0, 60.0


@dataclass(frozen=True)
class Child:
    """A process to keep: its name, its command line, and what its environment has besides ours."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Running:
    process: Any = None
    started: float = 0.0
    pause: float = SHORTEST_S
    due: float = 0.0


class Supervisor:
    """`step` starts what is not running and due; `clock` is monotonic seconds."""

    def __init__(
        self,
        children: Sequence[Child],
        log: Callable[..., None],
        spawn: Callable[[Child], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = {child.name: child for child in children}
        self._running = {child.name: _Running() for child in children}
        self._log = log
        self._spawn = spawn or _spawn
        self._clock = clock

    def step(self) -> list[str]:
        """One look; gives the names of what was started."""
        return [name for name, running in self._running.items() if self._tend(name, running)]

    def pids(self) -> dict[str, int]:
        """The process of each child that runs."""
        return {
            n: r.process.pid for n, r in self._running.items() if r.process is not None and r.process.poll() is None
        }

    def signal(self, number: int) -> None:
        """Passes a signal on to all."""
        for running in self._running.values():
            if running.process is not None and running.process.poll() is None:
                running.process.send_signal(number)

    def stop(self, grace_s: float = 20.0) -> None:
        """Asks all to end, and ends those that do not."""
        self.signal(signal.SIGTERM)
        deadline = self._clock() + grace_s
        for running in self._running.values():
            if running.process is None:
                continue
            try:
                running.process.wait(max(0.1, deadline - self._clock()))
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
            if running.process.stdin is not None:
                running.process.stdin.close()

    def _tend(self, name: str, running: _Running) -> bool:
        now = self._clock()
        if running.process is not None:
            code = running.process.poll()
            if code is None:
                return False
            healthy = now - running.started >= HEALTHY_S
            running.pause = SHORTEST_S if healthy else min(LONGEST_S, running.pause * 2)
            running.due = now + (0.0 if healthy else running.pause)
            self._log("a process ended and is started again", worker=name, exit_code=code, seconds=running.pause)
            if running.process.stdin is not None:
                running.process.stdin.close()
            running.process = None
        if now < running.due:
            return False
        try:
            running.process, running.started = self._spawn(self._children[name]), now
        except OSError as error:  # no memory or no process left just now; whoever still runs must not end for it
            running.pause = min(LONGEST_S, running.pause * 2)
            running.due = now + running.pause
            self._log("a process cannot be started yet", worker=name, error=type(error).__name__, seconds=running.pause)
            return False
        return True


def _spawn(child: Child) -> Any:
    environment = os.environ | dict(child.environment)
    return subprocess.Popen(child.command, stdin=subprocess.PIPE, env=environment)


def end_with_parent() -> None:
    """Asks this process to end as soon as its standard input closes."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
