"""What the tests of the doors share: a receiving node, its staging folder, a log that is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from contract.conftest import Clock

from intake.test_reception import Node


@dataclass
class Told:
    """A log that is read by tests."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, text: str, **_: object) -> None:
        self.lines.append(text)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "node", Clock())


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    (tmp_path / "staging").mkdir()
    return tmp_path / "staging"
