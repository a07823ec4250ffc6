"""What the walks share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for all walks of this process."""
    server = Postgres()
    server.start()
    yield server
    server.remove()
