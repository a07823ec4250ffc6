"""The bell: one who rings on and on is heard once in a while, and nobody fills its memory."""

from __future__ import annotations

from contract.conftest import Clock

from spineps_pacs.domain.bell import MOST_VISITORS, Bell


def test_each_visitor_is_heard_once_in_a_while() -> None:
    """The first ring, and the first after a minute; others in between."""
    clock = Clock()
    bell = Bell(60.0, clock)
    assert [bell.rings("a"), bell.rings("a"), bell.rings("b")] == [True, False, True]
    clock.now += 59
    assert not bell.rings("a")
    clock.now += 1
    assert bell.rings("a")


def test_a_crowd_of_names_is_not_remembered() -> None:
    """So many in a minute are told; who invents more is not, until the minute is over."""
    clock = Clock()
    bell = Bell(60.0, clock)
    assert sum(bell.rings(f"stranger {number}") for number in range(5 * MOST_VISITORS)) == MOST_VISITORS
    clock.now += 61
    assert bell.rings("one more")
