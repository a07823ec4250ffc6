"""Kills the worker, the node, Orthanc, or both, or stops Orthanc, at a stage of the work that is held until then."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable

from scripts.viewing.orthanc_server import start
from tests.orthanc.doors import whole_study
from tests.orthanc.place import Place, nodes, wait_for

STAGES = ("stable", "arriving", "analysing", "delivering", "delivered")
VICTIMS = ("worker", "node", "orthanc", "both", "stop")
"""Who is killed: one of the node's processes, all of them, Orthanc; "stop": Orthanc ends as its service tells it to."""
AS_GOOD = {"delivered": "confirmed"}
"""Orthanc answers at once: what was delivered is confirmed a moment later, perhaps between two looks."""
Orthanc = subprocess.Popen[bytes]


def begin(place: Place, stage: str) -> Orthanc:
    """Orthanc and the node with the study in it; where jobs shall stay where they arrive, nobody works on them."""
    orthanc = start(place.options)
    wait_for(lambda: nodes(place, "worker"))
    if stage == "arriving":
        _signal(nodes(place, "worker"), signal.SIGSTOP)
    whole_study(place)
    return orthanc


def hold(place: Place, orthanc: Orthanc, stage: str) -> str:
    """Waits for the stage and holds the work in it; gives the state in which it stands still."""
    if stage == "stable":
        return stage  # the images are in Orthanc; nobody has told of them yet
    if stage == "delivering":  # an Orthanc that takes nothing holds the delivery
        _reach(place, "analysing")
        orthanc.send_signal(signal.SIGSTOP)
    _reach(place, stage)
    _signal(nodes(place, "worker"), signal.SIGSTOP)
    return ",".join(place.node_states())


def kill(place: Place, orthanc: Orthanc, victim: str) -> Orthanc:
    """Kills; what died and does not come back by itself is started again."""
    if victim == "both":
        _signal(nodes(place), signal.SIGKILL)
    elif victim in {"worker", "node"}:  # their end is seen by who started them: the node, or the plugin
        _signal(nodes(place, "worker" if victim == "worker" else ""), signal.SIGKILL)
        orthanc.send_signal(signal.SIGCONT)
        return orthanc
    if victim == "stop":
        stop(place, orthanc)
    orthanc.kill()
    orthanc.wait()
    _signal(nodes(place), signal.SIGCONT)  # what was held shall see that Orthanc is gone, while the next one begins
    return start(place.options)


def stop(place: Place, orthanc: Orthanc) -> None:
    """Orthanc ends when it is told to, in whatever stage, without an abort."""
    orthanc.send_signal(signal.SIGCONT)
    _signal(nodes(place), signal.SIGCONT)
    orthanc.terminate()
    if code := orthanc.wait(90):
        raise SystemExit(f"Orthanc ended with {code} when it was stopped")


def _reach(place: Place, stage: str) -> None:
    def reached() -> bool:
        return bool({stage, AS_GOOD.get(stage)} & set(place.node_states()))

    wait_for(reached)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
            os.kill(pid, number)
