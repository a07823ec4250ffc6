"""What the tests of the stages share."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from contract.conftest import Clock
from twins import DictDatasets, DictRecords

from workflow.stage_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    clock = Clock()
    records = DictRecords(lambda text: hashlib.sha256(text.encode()).hexdigest()[:16], clock)
    return Bench(records, DictDatasets(tmp_path / "in", clock), DictDatasets(tmp_path / "out", clock), clock, Clock())
