"""The audit of pinned packages: an advisory fails it, and silence of the service is no pass."""

from __future__ import annotations

import pytest

from scripts.dependency_audit import verdict

CLEAN, SKIPPED = {"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}
KNOWN = {"name": "c", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}


@pytest.mark.parametrize(
    ("found", "done", "lines"),
    [
        ([], False, []),
        ([SKIPPED, SKIPPED], False, []),
        ([CLEAN], True, []),
        ([CLEAN] * 9 + [SKIPPED], True, []),
        ([CLEAN, KNOWN], True, ["c 1: PYSEC-1, mended in 1.1"]),
    ],
)
def test_what_was_not_audited_is_no_pass(found: list[dict[str, object]], done: bool, lines: list[str]) -> None:
    """Nine of ten pins must have been looked up; every advisory is a line with its remedy."""
    assert verdict(found) == (done, lines)
