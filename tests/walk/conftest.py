"""What the walks share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Postgres

from walk.node import Front
from walk.peers import FakePacs


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for all walks of this process."""
    server = Postgres()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    """A PACS that keeps what it is sent."""
    peer = FakePacs()
    yield peer
    peer.close()


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """A receiving half on the test's own folder."""
    half = Front(tmp_path)
    yield half
    half.close()
