"""Measures spans of one process and answers orders from its standard input; needs torch and the standard library only.

Both sides of the benchmark run this same code, each in its own environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch


class Meter:
    """CPU and wall seconds by span; a span does not hold the time of the spans within it."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._open: list[str] = []
        self._since = self._now()

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Time from here on belongs to `name`."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def wrap(self, owner: Any, attribute: str, name: str) -> None:
        """Lets a function run in a span of its own."""
        original = getattr(owner, attribute)

        def spanned(*given: Any, **named: Any) -> Any:
            with self.span(name):
                return original(*given, **named)

        setattr(owner, attribute, spanned)

    def take(self) -> dict[str, list[float]]:
        """What was measured since the last call."""
        seconds, self.seconds = self.seconds, {}
        return seconds

    def _charge(self) -> None:
        now = self._now()
        if self._open:
            spent = self.seconds.setdefault(self._open[-1], [0.0, 0.0])
            spent[0] += now[0] - self._since[0]
            spent[1] += now[1] - self._since[1]
        self._since = now

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.process_time(), time.perf_counter()


class Stub:
    """Answers in a network's place with what is true, call after call; the time it takes counts as the network's."""

    def __init__(self, truths: Any, heads: int) -> None:
        self._truths, self._heads, self._next = truths, heads, 0

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        chosen = [(self._next + n) % len(self._truths) for n in range(len(batch))]
        self._next = (self._next + len(batch)) % len(self._truths)
        truth = torch.stack([torch.from_numpy(self._truths[n]) for n in chosen])
        scores = torch.full((len(batch), self._heads, *truth.shape[1:]), -4.0)
        return scores.scatter_(1, truth[:, None].long(), 4.0)


class Tiles:
    """The true classes of every tile of a sliding window, cut out when they are asked for."""

    def __init__(self, classes: Any, patch: tuple[int, ...], starts: list[list[int]]) -> None:
        self._classes, self._patch = classes, patch
        self._at = [(x, y, z) for x in starts[0] for y in starts[1] for z in starts[2]]

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, number: int) -> Any:
        part = tuple(slice(at, at + n) for at, n in zip(self._at[number], self._patch, strict=True))
        return self._classes[part].copy()


def since_start() -> list[float]:
    """CPU and wall seconds since this process began (Linux)."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return [time.process_time(), uptime - ticks / os.sysconf("SC_CLK_TCK")]


def forget_peak() -> None:
    """The peak of resident memory is counted from here on (Linux)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    """The peak of resident memory since it was last forgotten."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def own_output() -> TextIO:
    """The standard output for our answers alone; what libraries print goes to stderr from here on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def serve(orders: Mapping[str, Callable[..., None]], meter: Meter, answers: TextIO) -> None:
    """Carries out one order a line ({"do": name, ...}), answers with one line.

    `load` is answered with what it took from the start of the process until here.
    """
    begun, at_once = since_start(), peak_mb()
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "load":
            answer = {"seconds": {"load": begun}, "peak_mb": at_once}
        else:
            meter.take()
            forget_peak()
            orders[order.pop("do")](**order)
            answer = {"seconds": meter.take(), "peak_mb": peak_mb()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
