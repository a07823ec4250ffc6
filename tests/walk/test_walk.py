"""The walk of a series through a whole node: C-STORE in, a PACS on port 0 out."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import SEG, SR, series_of, stand_in, uid

from spineps_pacs.delivery.dimse import DimseDestination
from spineps_pacs.delivery.peer import Peer
from spineps_pacs.domain.job import State
from spineps_pacs.domain.ports import Phases, Result
from spineps_pacs.domain.series import Series
from walk.node import Back, Front
from walk.peers import FakePacs, send

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")
"""The library leaves a socket to the garbage collector when the peer was the first to hang up."""


def destination(pacs: FakePacs) -> dict[str, DimseDestination]:
    return {"pacs": DimseDestination("pacs", Peer("127.0.0.1", pacs.port, "PACS", "SPINEPS", timeout_s=10.0))}


def test_a_series_goes_in_and_its_results_come_out(tmp_path: Path, front: Front, pacs: FakePacs) -> None:
    """SEG and report reach the PACS in the study of the images, whatever the order of the slices."""
    back = Back(tmp_path, destination(pacs))
    assert send(reversed(series_of("a")), front.port) == [0] * 6
    (job,) = front.jobs()
    results = pacs.wait_for(2)
    assert {str(ds.SOPClassUID) for ds in results} == {SEG, SR}
    assert {str(ds.StudyInstanceUID) for ds in results} == {uid("a", "study")}
    assert front.reaches(job.id, State.CONFIRMED).results
    back.close()
    assert back.faults == []


def test_what_is_not_ours_is_skipped_with_its_reason(tmp_path: Path, front: Front, pacs: FakePacs) -> None:
    """A T1 series makes a skipped job with value and limit, and nothing is sent."""
    back = Back(tmp_path, destination(pacs))
    send(series_of("t1", EchoTime=10.0), front.port)
    (job,) = front.jobs()
    job = front.reaches(job.id, State.SKIPPED)
    back.close()
    assert job.reason == "not T2 weighted: TE 10 ms"
    assert job.verdict is not None
    assert job.verdict.findings[0].limit == "at least 60 ms"
    assert pacs.kept == []


def test_a_duplicate_changes_nothing(tmp_path: Path, front: Front, pacs: FakePacs) -> None:
    """The same slices sent twice are one job and are delivered once."""
    back = Back(tmp_path, destination(pacs))
    send(series_of("a"), front.port)
    (job,) = front.jobs()
    front.reaches(job.id, State.CONFIRMED)
    assert send(series_of("a"), front.port) == [0] * 6
    assert [known.id for known in front.jobs()] == [job.id]
    back.close()
    assert len(pacs.kept) == 2


def test_a_late_slice_supersedes(tmp_path: Path, front: Front, pacs: FakePacs) -> None:
    """One more slice makes a new job with new results; the old one says so."""
    back = Back(tmp_path, destination(pacs))
    send(series_of("a")[:5], front.port)
    (early,) = front.jobs()
    front.reaches(early.id, State.CONFIRMED)
    send(series_of("a")[5:], front.port)
    late = next(job for job in front.jobs() if job.id != early.id)
    front.reaches(late.id, State.CONFIRMED)
    back.close()
    assert front.reaches(early.id, State.SUPERSEDED).reason.endswith(late.id)
    assert len(set(pacs.uids())) == 4


def test_a_restart_in_the_middle_loses_nothing(tmp_path: Path, pacs: FakePacs) -> None:
    """What was received before the restart, and not yet a job, is delivered after it, once."""
    first = Front(tmp_path)
    assert send(series_of("a"), first.port) == [0] * 6
    first.close()
    second = Front(tmp_path)
    (job,) = second.jobs()
    second.close()
    back = Back(tmp_path, destination(pacs))
    assert len(pacs.wait_for(2)) == 2
    third = Front(tmp_path)
    third.reaches(job.id, State.CONFIRMED)
    back.close()
    third.close()
    assert len(pacs.kept) == 2


def test_an_outage_of_the_pacs_repeats_no_computing(tmp_path: Path, front: Front, pacs: FakePacs) -> None:
    """While the PACS refuses, the delivery is tried again; the analysis is not, and nothing arrives twice."""
    refusals = iter([0xA700, 0xA700, 0xA700])
    pacs.answer = lambda _: next(refusals, 0x0000)
    analyses: list[str] = []

    def counting(series: Series, watch: Phases) -> list[Result]:
        analyses.append(series.series_uid)
        return stand_in(series, watch)

    back = Back(tmp_path, destination(pacs), counting)
    send(series_of("a"), front.port)
    (job,) = front.jobs()
    front.reaches(job.id, State.CONFIRMED)
    back.close()
    assert len(analyses) == 1
    assert len(pacs.kept) == 2
