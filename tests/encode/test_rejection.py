"""Tests of recall: a rejection note that names exactly what is wrong, in the same study."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from encode.cases import OPTIONS, Wish, case, identity, read
from spineps_pacs.encode.rejection import rejection
from spineps_pacs.encode.results import encode

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_a_rejection_names_every_result() -> None:
    """Key object selection, title 113001, all results as evidence and content, patient and study as in them."""
    report, series = case(Wish(charset="ISO_IR 100"))
    results = encode(report, series, identity(report, series), OPTIONS)
    note = rejection(results, OPTIONS, NOW, "wrong patient position")
    ds = read(note)
    assert (note.kind, ds.Modality, ds.SeriesNumber) == ("rejection", "KO", 390)
    assert ds.ConceptNameCodeSequence[0].CodeValue == "113001"
    evidence = {
        item.ReferencedSOPInstanceUID
        for part in ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in part.ReferencedSOPSequence
    }
    assert evidence == {result.sop_instance_uid for result in results}
    assert (ds.PatientID, ds.StudyInstanceUID, ds.SpecificCharacterSet) == ("P-7", "1.2.3.4.1", "ISO_IR 100")
    assert "wrong patient position" in [element.value for element in ds.iterall()]


def test_a_rejection_is_the_same_again_and_another_for_other_results() -> None:
    """Same results, time and reason: same bytes; fewer results: another UID."""
    report, series = case(Wish(levels=(23,)))
    results = encode(report, series, identity(report, series), replace(OPTIONS, pictures=False))
    assert rejection(results, OPTIONS, NOW) == rejection(results, OPTIONS, NOW)
    assert rejection(results, OPTIONS, NOW).sop_instance_uid != rejection(results[1:], OPTIONS, NOW).sop_instance_uid
