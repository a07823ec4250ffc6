"""What is turned away at a door is counted by kind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from spineps_pacs.domain.refusals import NO_ROOM, STRANGER, Refusals


def test_kinds_are_counted_whoever_tells() -> None:
    """Each kind stands there from the beginning with nothing; no count of several threads is lost."""
    refusals = Refusals()
    assert set(refusals.counts().values()) == {0}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(refusals, [STRANGER] * 400 + [NO_ROOM] * 3))
    assert (refusals.counts()[STRANGER], refusals.counts()[NO_ROOM]) == (400, 3)
