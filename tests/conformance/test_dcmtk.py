"""The report through dsrdump and every object through dcmdump (DCMTK): read without a complaint."""

from __future__ import annotations

import re

import pytest

from conformance.gallery import GALLERY, exhibit, run

UNKNOWN_CHARSET = r"does not support this Specific Character Set|unknown/unsupported SpecificCharacterSet"
"""DCMTK's checker knows single-byte sets only; the bytes are the source's."""


@pytest.mark.real("dsrdump")
@pytest.mark.parametrize("name", GALLERY)
def test_dsrdump_reads_the_report(name: str) -> None:
    """Relationships, value types and template are accepted; only the character set may be unknown to the checker."""
    code, said = run("dsrdump", [exhibit(name).file("report")])
    complaints = [line for line in said.splitlines() if line.startswith(("E:", "F:", "W:"))]
    assert code == 0
    assert [line for line in complaints if not re.search(UNKNOWN_CHARSET, line)] == []
    assert "Comprehensive 3D SR Document" in said


@pytest.mark.real("dcmdump")
@pytest.mark.parametrize("name", GALLERY)
def test_dcmdump_reads_every_object(name: str) -> None:
    """No odd length, no wrong order, no broken sequence in any file."""
    for path in exhibit(name).files:
        code, said = run("dcmdump", [path])
        assert code == 0, said
        assert [line for line in said.splitlines() if line.startswith(("E:", "W:"))] == []
