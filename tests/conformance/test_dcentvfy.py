"""Sources and results together through dcentvfy: patient, study and series agree across all objects."""

from __future__ import annotations

import re

import pydicom
import pytest

from conformance.gallery import GALLERY, exhibit, run

EXCUSED = {
    r"AccessionNumber": "looked for on the series by the validator; it belongs to the study",
}


def _complaints(said: str) -> list[str]:
    lines = [line for line in said.splitlines() if line.startswith(("Error", "Abort"))]
    return [line for line in lines if not any(re.search(pattern, line) for pattern in EXCUSED)]


@pytest.mark.real("dcentvfy")
@pytest.mark.parametrize("name", GALLERY)
def test_results_join_the_study_of_their_source(name: str) -> None:
    """No attribute of patient, study or frame of reference differs between the source and any result."""
    shown = exhibit(name)
    _, said = run("dcentvfy", [*shown.sources, *shown.files])
    assert _complaints(said) == []


@pytest.mark.real("dcentvfy")
def test_another_patient_is_noticed(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A result with another birth date in the same study is an error: the check can fail."""
    shown = exhibit("one level")
    ds = pydicom.dcmread(shown.file("levels"))
    ds.PatientBirthDate = "19991231"
    ds.save_as(tmp_path / "other.dcm")
    _, said = run("dcentvfy", [*shown.sources, tmp_path / "other.dcm"])
    assert _complaints(said)
