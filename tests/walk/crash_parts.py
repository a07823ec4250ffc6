"""The halves of a node as processes that can be killed: every call of a socket is a place where one may die."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samples import stand_in

from spineps_pacs.delivery.dimse import DimseDestination
from spineps_pacs.delivery.peer import Peer
from spineps_pacs.domain.errors import Cancelled
from spineps_pacs.intake.reception import Patience
from walk.node import Back, Front, Ground

ON_ITS_WAY = ", an object on its way"
"""In an epitaph: the peer may have accepted it and nobody wrote that down, whatever other threads did just then."""


@dataclass(frozen=True)
class Plan:
    """One process: where it works, for which peer, and at which call of a socket it dies (0: never)."""

    data: Path
    pacs: int = 0
    dies_at: int = 0
    url: str = ""
    executor: str = "test:0"
    lease_s: float = 60.0
    holds: str = ""

    @property
    def epitaph(self) -> Path:
        """Where the process writes at which call it died."""
        return self.data / f"epitaph-{self.executor.replace(':', '-')}"


class Fuse:
    """Counts the calls of all sockets, before and after each; at one of them the process ends as by a power cut."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._count = 0
        self.on_its_way = False
        self._lock = threading.Lock()

    def tell(self) -> None:
        """Leaves the count, when the process ends alive."""
        (self._plan.data / f"places-{self._plan.executor.replace(':', '-')}").write_text(str(self._count))

    def tick(self, place: str) -> None:
        """One more place passed."""
        with self._lock:
            self._count += 1
            if self._count == self._plan.dies_at:
                self._plan.epitaph.write_text(f"{place}{ON_ITS_WAY if self.on_its_way else ''}")
                os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, name: str, part: Any) -> Any:
        """The part, with a place to die before and after each call."""
        return _Wrapped(name, part, self)


class _Wrapped:
    def __init__(self, name: str, part: Any, fuse: Fuse) -> None:
        self._name, self._part, self._fuse = name, part, fuse

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._part, method)
        if not callable(found) or method in {"changed", "names", "get", "quiet", "waiting", "find"}:
            return found

        def called(*args: Any, **kwargs: Any) -> Any:
            place = f"{self._name}.{method}"
            self._fuse.tick(f"before {place}")
            result = found(*args, **kwargs)
            if method == "send":
                return self._each(result, place)
            if method == "receipt":
                self._fuse.on_its_way = False
            self._fuse.tick(f"after {place}")
            return result

        return called

    def _each(self, receipts: Any, place: str) -> Any:
        answers = iter(receipts)
        while True:
            self._fuse.on_its_way = True
            try:
                receipt = next(answers)
            except BaseException as end:
                self._fuse.on_its_way = False
                if isinstance(end, StopIteration):
                    return
                raise
            self._fuse.tick(f"after {place}")
            yield receipt


def work(plan: Plan) -> None:
    """A worker, until it is told to end or dies."""
    peer = Peer("127.0.0.1", plan.pacs, "PACS", "SPINEPS", timeout_s=10.0)
    fuse = Fuse(plan)
    ground = Ground(plan.data, plan.url, plan.lease_s, fuse.wrap)
    half = Back(ground, {"pacs": DimseDestination("pacs", peer)}, _held(plan), plan.executor)
    told_to_end().wait()
    fuse.tell()
    half.put_down()
    half.close()
    os._exit(0)


def receive(plan: Plan) -> None:
    """A receiver that sweeps, until it is told to end or dies; its port stands in a file."""
    fuse = Fuse(plan)
    half = Front(Ground(plan.data, plan.url, plan.lease_s, fuse.wrap), Patience(quiet_s=1.0, after_release_s=0.0))
    (plan.data / "port.new").write_text(str(half.port))
    (plan.data / "port.new").replace(plan.data / "port")
    stop = told_to_end()
    while not stop.wait(0.02):
        half.reception.sweep()
    fuse.tell()
    half.close()


def _held(plan: Plan) -> Any:
    """Analysis that says when it has begun, and waits as long as a file says."""

    def produce(series: Any, watch: Any) -> Any:
        if plan.holds:
            mark = plan.executor.replace(":", "-")
            (plan.data / f"begun-{mark}").touch()
            pause = threading.Event()
            try:
                while (plan.data / plan.holds).exists():
                    watch("hold", 0, 1)
                    pause.wait(0.02)
            except Cancelled:
                (plan.data / f"stopped-{mark}").touch()
                raise
        return stand_in(series, watch)

    return produce


def told_to_end() -> threading.Event:
    """Set when this process is asked to end."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop
