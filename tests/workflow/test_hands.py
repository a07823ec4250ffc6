"""Series in hand at once: several together, but one that has ended a worker before is alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from walk.node import eventually

from spineps_pacs.domain.errors import Cancelled
from spineps_pacs.workflow.hands import Hands

LONG_S = 60


def nothing() -> None:
    """Whoever waits goes on waiting."""


class Visit:
    """One who is in hand until told to go."""

    def __init__(self, hands: Hands, pool: ThreadPoolExecutor, *, alone: bool = False) -> None:
        self.inside, self.go, self.looked = threading.Event(), threading.Event(), threading.Event()
        self.done: Future[None] = pool.submit(self._come, hands, alone)

    def _come(self, hands: Hands, alone: bool) -> None:
        with hands.taken(self.looked.set, alone=alone):
            self.inside.set()
            assert self.go.wait(LONG_S)

    def leave(self) -> None:
        self.go.set()
        self.done.result(LONG_S)


def test_several_are_in_hand_together() -> None:
    """Two are in at the same moment."""
    hands = Hands(2)
    with ThreadPoolExecutor() as pool:
        first, second = Visit(hands, pool), Visit(hands, pool)
        assert first.inside.wait(LONG_S)
        assert second.inside.wait(LONG_S)
        first.leave()
        second.leave()


def test_there_are_no_more_than_allowed() -> None:
    """A third waits until one of two is through."""
    hands = Hands(2)
    with ThreadPoolExecutor() as pool:
        first, second = Visit(hands, pool), Visit(hands, pool)
        assert first.inside.wait(LONG_S)
        assert second.inside.wait(LONG_S)
        third = Visit(hands, pool)
        assert third.looked.wait(LONG_S)
        assert not third.inside.is_set()
        first.leave()
        assert third.inside.wait(LONG_S)
        second.leave()
        third.leave()


def test_one_that_comes_alone_has_nobody_beside_it() -> None:
    """It waits for those who are in; who comes after it waits for it."""
    hands = Hands(2)
    with ThreadPoolExecutor() as pool:
        first, suspect = Visit(hands, pool), None
        assert first.inside.wait(LONG_S)
        suspect = Visit(hands, pool, alone=True)
        assert suspect.looked.wait(LONG_S)
        later = Visit(hands, pool)
        assert later.looked.wait(LONG_S)
        assert not suspect.inside.is_set()
        assert not later.inside.is_set()
        first.leave()
        assert suspect.inside.wait(LONG_S)
        assert not later.inside.is_set()
        suspect.leave()
        assert later.inside.wait(LONG_S)
        later.leave()


@pytest.mark.parametrize("fails", ["while waiting", "in hand"])
def test_who_fails_leaves_nobody_waiting(fails: str) -> None:
    """A job cancelled while it waits, or failed in hand, lets the next one in."""
    hands = Hands(2)

    def stop() -> None:
        raise Cancelled("cancelled by a person")

    def come(look: Callable[[], None]) -> None:
        with hands.taken(look, alone=True):
            raise Cancelled("in hand")

    with ThreadPoolExecutor() as pool:
        first = Visit(hands, pool)
        assert first.inside.wait(LONG_S)
        failing = pool.submit(come, stop if fails == "while waiting" else nothing)
        if fails == "in hand":
            first.leave()
        with pytest.raises(Cancelled):
            failing.result(LONG_S)
        last = Visit(hands, pool)
        assert eventually(last.inside.is_set)
        last.leave()
        first.leave()
