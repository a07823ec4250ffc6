"""Tells people of new trouble: dead letters, a full disk, a destination that is down; once, and when it is over."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage

import requests

from spineps_pacs.domain.job import State
from spineps_pacs.web.board import Board

TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Mail:
    """By which server, from whom and to whom."""

    host: str
    port: int
    sender: str
    receivers: tuple[str, ...]

    def __call__(self, text: str) -> None:
        """Sends one message; raises when the server does not take it."""
        message = EmailMessage()
        message["Subject"], message["From"] = "spineps-pacs needs a person", self.sender
        message["To"] = ", ".join(self.receivers)
        message.set_content(text)
        with smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S) as server:
            server.send_message(message)


@dataclass(frozen=True)
class Webhook:
    """An address that takes {"text": ...} as JSON."""

    url: str

    def __call__(self, text: str) -> None:
        """Posts one message, through no proxy of the environment; raises when it is not taken."""
        with requests.Session() as session:
            session.trust_env = False
            session.post(self.url, json={"text": text}, timeout=TIMEOUT_S).raise_for_status()


@dataclass(frozen=True)
class Trouble:
    """What needs a person: a name that stays while it lasts, a sentence without any patient, how many it concerns."""

    name: str
    sentence: str
    count: int = 1


def troubles(board: Board) -> Iterator[Trouble]:
    """What needs a person now."""
    if dead := board.counts().get(State.DEAD_LETTER, 0):
        yield Trouble("dead letters", f"{dead} series could not be delivered; see the page Trouble.", dead)
    health = board.health()
    for fact in health.facts:
        if not fact.good:
            yield Trouble(f"fact {fact.name}", f"{fact.name}: {fact.text} {fact.advice}")
    for peer in health.peers:
        if peer.good is False:
            yield Trouble(f"peer {peer.name}", f"The destination {peer.name} does not answer: {peer.text}")


class Alarm:
    """`step` tells one person or system what is new; what could not be told raises and is tried again at the next."""

    def __init__(self, board: Board, tell: Callable[[str], None]) -> None:
        self._board = board
        self._tell = tell
        self._told: dict[str, Trouble] = {}

    def step(self) -> list[str]:
        """One look; gives the sentences that were sent."""
        present = {trouble.name: trouble for trouble in troubles(self._board)}
        new = [t.sentence for t in present.values() if t.name not in self._told or t.count > self._told[t.name].count]
        over = [f"Over: {t.sentence}" for t in self._told.values() if t.name not in present]
        if new or over:
            self._tell("\n".join([*new, *over]))
        self._told = present
        return [*new, *over]
