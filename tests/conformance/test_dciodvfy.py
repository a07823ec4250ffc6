"""Every object through dciodvfy (dicom3tools): no errors but the excused ones, each excused by tag and reason."""

from __future__ import annotations

import re

import pytest

from conformance.gallery import GALLERY, exhibit, run

EXCUSED = {
    ("structures-labelmap", "levels-labelmap"): {
        r"Information Object Not found": "the validator is older than Label Map Segmentation (Supplement 243)",
        r"\(0062,0004\).*SegmentNumber not monotonically increasing": "a label map describes its background as 0",
    },
}
"""Kinds of result to what may be said of them, and why."""


def excused(kind: str, line: str) -> bool:
    """True when a line is one that was looked at and found wrong."""
    patterns = [p for kinds, reasons in EXCUSED.items() if kind in kinds for p in reasons]
    return any(re.search(pattern, line) for pattern in patterns)


@pytest.mark.real("dciodvfy")
@pytest.mark.parametrize("name", GALLERY)
def test_no_object_has_an_error(name: str) -> None:
    """dciodvfy finds no error in any object of any case."""
    shown = exhibit(name)
    errors = []
    for result, path in zip(shown.results, shown.files, strict=True):
        _, said = run("dciodvfy", ["-new", path])
        found = [line for line in said.splitlines() if line.startswith(("Error", "Abort"))]
        errors += [f"{result.kind}: {line}" for line in found if not excused(result.kind, line)]
        assert said.strip(), "the validator names the object that it recognised"
    assert errors == []


@pytest.mark.real("dciodvfy")
def test_the_validator_notices_what_is_wrong(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A SEG without its segment sequence is an error: the check can fail."""
    import pydicom

    shown = exhibit("one level")
    ds = pydicom.dcmread(shown.file("levels"))
    del ds.SegmentSequence
    ds.save_as(tmp_path / "bad.dcm")
    _, said = run("dciodvfy", ["-new", tmp_path / "bad.dcm"])
    assert "Error" in said
