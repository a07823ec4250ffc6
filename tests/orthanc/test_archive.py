"""A real Orthanc as any PACS: the standalone node reads from it and sends to it, by DIMSE and by DICOMweb."""

from __future__ import annotations

import pytest

from tests.orthanc.conftest import FIRST, Play, kinds

pytestmark = [pytest.mark.real("Orthanc"), pytest.mark.real("unshare"), pytest.mark.timeout(1800)]


def test_the_node_reads_and_sends_by_every_protocol(play: Play) -> None:
    """In by C-FIND and C-MOVE, and by QIDO and WADO; out by C-STORE and by STOW-RS, each confirmed by a query."""
    told = play("archive")
    assert "confirmed" in told["moved"] or "delivered" in told["moved"]
    assert "skipped" in told["web"]
    assert kinds(told["objects"]["objects"]) == FIRST
    assert told["objects"]["studies"] == 1
    assert (told["exit"], told["orphans"]) == (0, []), told["log"]
