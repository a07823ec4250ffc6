"""Recall: what was sent is taken back by a note to those who accepted it, and to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import SEG, SR, series_of

from spineps_pacs.delivery.dimse import DimseDestination
from spineps_pacs.delivery.peer import Peer
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.job import State
from spineps_pacs.encode.options import Options
from spineps_pacs.lineage import Recaller, accepted
from spineps_pacs.storage.datasets import DatasetFolder
from walk.node import Back, Front, eventually
from walk.peers import FakePacs, send

KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")


def test_a_recall_reaches_those_who_have_the_results(tmp_path: Path) -> None:
    """The note names the objects that were accepted; one who refused all gets none; a second recall is refused."""
    front, has, refuses = Front(tmp_path), FakePacs(), FakePacs()
    refuses.answer = lambda _: 0xA700
    peers = {"has": has, "refuses": refuses}
    out = {n: DimseDestination(n, Peer("127.0.0.1", p.port, "PACS", "SPINEPS", 10.0)) for n, p in peers.items()}
    back = Back(tmp_path, out)
    send(series_of("a"), front.port)
    (job,) = front.jobs()
    first = {str(ds.SOPInstanceUID) for ds in has.wait_for(2)}
    assert eventually(lambda: len(accepted(front.records, front.jobs()[0])["has"]) == 2)
    refuses.answer = lambda _: 0x0000

    recaller = Recaller(front.records, DatasetFolder(tmp_path / "outbox"), front.chain, Options("1"))
    recalled = recaller.recall(job.id, "wrong levels")
    assert dict(recalled.received)["has"] == 2
    (note,) = has.wait_for(1)
    assert str(note.SOPClassUID) == KEY_OBJECTS
    evidence = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    named = {str(item.ReferencedSOPInstanceUID) for series in evidence for item in series.ReferencedSOPSequence}
    assert named == first
    done = front.reaches(job.id, State.CONFIRMED)
    assert "recalled" in done.reason
    with pytest.raises(Unusable, match="was recalled before"):
        recaller.recall(job.id, "once more")
    with pytest.raises(Unusable, match="the same models would give the same results"):
        front.chain.rerun(job.id)
    back.close()
    front.close()
    assert [str(ds.SOPClassUID) for ds in has.kept].count(KEY_OBJECTS) == 1
    assert {str(ds.SOPClassUID) for ds in refuses.kept} <= {SEG, SR, KEY_OBJECTS}
    for peer in peers.values():
        peer.close()


def test_what_nobody_has_cannot_be_recalled(tmp_path: Path) -> None:
    """A job that was skipped, or an id that nobody knows, is a sentence."""
    front = Front(tmp_path)
    back = Back(tmp_path, {})
    send(series_of("t1", EchoTime=10.0), front.port)
    (job,) = front.jobs()
    front.reaches(job.id, State.SKIPPED)
    recaller = Recaller(front.records, DatasetFolder(tmp_path / "outbox"), front.chain, Options("1"))
    with pytest.raises(Unusable, match="nothing that could be recalled"):
        recaller.recall(job.id, "")
    with pytest.raises(Unusable, match="no job has the id"):
        recaller.recall("nobody", "")
    back.close()
    front.close()
