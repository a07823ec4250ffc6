"""The parts and twins that the contract suites run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for all suites of this process."""
    server = Postgres()
    server.start()
    yield server
    server.remove()


class Clock:
    """Seconds that only the test moves."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()
