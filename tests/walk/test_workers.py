"""Workers as processes: they join and leave while the node works, and put down what a person cancels."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from spineps_pacs.domain.job import State
from walk.crash_parts import Plan, work
from walk.node import Front, Ground, eventually
from walk.peers import FakePacs
from walk.test_crash import check_arrivals, received, running, wait_for

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")


def test_a_running_analysis_is_cancelled(tmp_path: Path, pacs: FakePacs) -> None:
    """The process hears of it between two tiles and stops; the job stays cancelled, the next one is done by it."""
    ground = Ground(tmp_path)
    (cancelled,) = received(ground, "a")
    (tmp_path / "hold").touch()
    with running(work, Plan(tmp_path, pacs.port, holds="hold")):
        assert eventually((tmp_path / "begun-test-0").exists)
        front = Front(ground)
        asked = time.monotonic()
        front.chain.cancel(cancelled)
        assert eventually((tmp_path / "stopped-test-0").exists)
        print(f"the analysis stopped {time.monotonic() - asked:.1f} s after it was asked to")  # noqa: T201  for -s
        (tmp_path / "hold").unlink()
        front.close()
        more = received(ground, "b")
        wait_for(ground, more)
        wait_for(ground, [cancelled], State.CANCELLED)
    check_arrivals(pacs, 1, "")


def test_workers_join_and_leave(tmp_path: Path, pacs: FakePacs) -> None:
    """One is busy, another joins and does the rest; the busy one leaves, and what it put down is done by the other."""
    ground = Ground(tmp_path, lease_s=1.5)
    held = received(ground, "a")
    (tmp_path / "hold").touch()
    with running(work, Plan(tmp_path, pacs.port, 0, "", "host-a:0", ground.lease_s, "hold")) as leaving:
        assert eventually((tmp_path / "begun-host-a-0").exists)
        more = received(ground, "b", "c")
        with running(work, Plan(tmp_path, pacs.port, 0, "", "host-b:0", ground.lease_s)):
            wait_for(ground, more)
            leaving.terminate()
            wait_for(ground, held)
    front = Front(ground)
    told = [event.text for event in front.records.timeline(held[0])]
    front.close()
    assert "its worker was stopped" in told
    check_arrivals(pacs, 3, "")
