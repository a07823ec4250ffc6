"""Ctrl-C during a command: raised at once, or kept until somebody looks."""

from __future__ import annotations

import signal

import pytest

from spineps_pacs.cli.interrupted import told_to_stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_where_it_is(number: signal.Signals) -> None:
    """Both signals raise KeyboardInterrupt, and the handlers of before come back."""
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), told_to_stop():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_signal_waits_while_it_is_held() -> None:
    """What must not be left half done ends first; the next look raises, and so does every later one."""
    ended = False
    with told_to_stop() as stop:
        stop.look()
        with stop.held():
            signal.raise_signal(signal.SIGINT)
            ended = True
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                stop.look()
    assert ended


def test_a_signal_after_what_was_held_is_raised_at_once() -> None:
    """Holding ends with its block."""
    with told_to_stop() as stop:
        with stop.held():
            pass
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
