"""`serve` and `worker`: the processes of a node, their signals, and how they end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from spineps_pacs import logs, settings
from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.settings import Settings

DEFAULT = Path("spineps-pacs.toml")
LOOK_S = 0.2
GPUS = "CUDA_VISIBLE_DEVICES"
Config = Annotated[Path | None, Parameter(name=["--config", "-c"], help="The configuration file.")]


@dataclass
class Live:
    """The settings in force; `reload` takes a changed file over."""

    current: Settings
    file: Path | None = None

    def __call__(self) -> Settings:
        return self.current

    def reload(self) -> list[str]:
        """Gives the changed keys that need a restart. A faulty file changes nothing and raises."""
        if self.file is None:
            return []
        new = settings.load(self.file)
        waiting = settings.waits_for_restart(self.current, new)
        self.current = new
        logs.configure(new.node.log_level, new.node.log_format)
        return waiting


def opened(config: Path | None) -> Live:
    """The settings of a file, or those of a node that has none; sets up the log."""
    file = config or (DEFAULT if DEFAULT.exists() else None)
    live = Live(settings.load(file) if file else Settings(), file)
    logs.configure(live().node.log_level, live().node.log_format)
    return live


def serve(
    config: Config = None,
    *,
    receive_only: Annotated[bool, Parameter(help="Only receive; workers run elsewhere.")] = False,
    with_parent: Annotated[bool, Parameter(help="End when the standard input closes.")] = False,
) -> int:
    """Run the node: receive, analyse, send. Ends on Ctrl-C or SIGTERM; SIGHUP takes a changed configuration over."""
    live = opened(config)
    if receive_only:
        from spineps_pacs.app import front

        return _run(live, "receiver", lambda: front(live), with_parent)
    return _supervise(live, config, with_parent)


def worker(
    config: Config = None,
    *,
    slot: Annotated[int, Parameter(help="Number of this worker on this host; one per GPU.")] = 0,
    with_parent: Annotated[bool, Parameter(help="End when the standard input closes.")] = False,
) -> int:
    """Run one analysing process against the node's store, on this host or another."""
    live = opened(config)
    from spineps_pacs.app import back

    return _run(live, f"worker {slot}", lambda: back(live, slot), with_parent, hard=True)


def _run(live: Live, name: str, build: Callable[[], Any], with_parent: bool, hard: bool = False) -> int:
    """Builds one half, runs it until a signal ends it. `hard` leaves without waiting for a computation."""
    from spineps_pacs.app import log, trouble
    from spineps_pacs.workflow.supervisor import end_with_parent

    warnings.simplefilter("ignore")  # libraries quote values of the images in them, and in what ends a thread
    threading.excepthook = lambda died: trouble(getattr(died.thread, "name", ""), died.exc_value or died.exc_type())
    ending = _signals(live)
    half = build()
    ports = half.start()
    for what, port in ports.items():
        log("listening", kind=what, port=port)
    log("started", worker=name)
    if with_parent:
        end_with_parent()
    while not ending.wait(LOOK_S):  # a wait without end may sleep through a signal that another thread was given
        pass
    half.stop()
    log("stopped", worker=name)
    if hard:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def _supervise(live: Live, config: Path | None, with_parent: bool) -> int:
    from spineps_pacs.app import log
    from spineps_pacs.workflow.supervisor import Child, Supervisor, end_with_parent

    supervisor = Supervisor([Child(*parts) for parts in _children(live(), config, os.environ)], log)
    ending = _signals(live, lambda: supervisor.signal(signal.SIGHUP))
    if with_parent:
        end_with_parent()
    try:
        while not ending.wait(LOOK_S):
            with _held_back(signal.SIGHUP):  # a child is born with it held back, and hears it when it can
                supervisor.step()
    finally:
        supervisor.stop()
    return 0


@contextmanager
def _held_back(number: signal.Signals) -> Iterator[None]:
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})


def _children(
    current: Settings, config: Path | None, environment: Mapping[str, str]
) -> list[tuple[str, tuple[str, ...], dict[str, str]]]:
    """The receiver, and one worker per GPU: name, command line, environment."""
    command = (sys.executable, "-m", "spineps_pacs")
    common = ("--with-parent", *(("--config", str(config.resolve())) if config else ()))
    children: list[tuple[str, tuple[str, ...], dict[str, str]]] = [
        ("receiver", (*command, "serve", "--receive-only", *common), {})
    ]
    for slot in range(current.queue.workers):
        gpu = {GPUS: _gpu(slot, environment.get(GPUS))} if current.queue.workers > 1 else {}
        children.append((f"worker {slot}", (*command, "worker", "--slot", str(slot), *common), gpu))
    return children


def _gpu(slot: int, given: str | None) -> str:
    """The worker's one of the GPUs that the site has given us; of all, where it names none."""
    if given is None:
        return str(slot)
    names = [name.strip() for name in given.split(",")]
    return names[slot % len(names)]


def _signals(live: Live, passed_on: Callable[[], None] | None = None) -> threading.Event:
    """Ctrl-C and SIGTERM set the event; SIGHUP takes a changed configuration over."""
    ending = threading.Event()

    def end(_number: int, _frame: Any) -> None:
        ending.set()

    def renew(_number: int, _frame: Any) -> None:
        _renew(live)
        if passed_on is not None:
            passed_on()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, renew)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # __main__ has held it back until here
    return ending


def _renew(live: Live) -> None:
    from spineps_pacs.app import log

    try:
        waiting = live.reload()
    except SettingsError as error:
        print(error, file=sys.stderr)
        log("the changed configuration has a fault; the one in force stays")
        return
    log("the changed configuration is in force")
    for key in waiting:
        log("this change waits for a restart", key=key)
