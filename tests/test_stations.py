"""Stations of a study are joined once all of it is analysed: once, whatever dies in between, and by one more report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import made_dicom as made
import pydicom
import pytest
from encode.cases import OPTIONS, Wish, case, identity
from starlette.testclient import TestClient
from test_desk import board, opened

from spineps_pacs import app, desk, settings
from spineps_pacs.domain.anatomy import LEVEL_IDS
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.job import STUDY, Job, Sending, State
from spineps_pacs.domain.ports import Receipt, Result
from spineps_pacs.domain.series import fingerprint
from spineps_pacs.domain.study import Body, Station
from spineps_pacs.encode.results import encode
from spineps_pacs.stations import StudyReports
from spineps_pacs.storage.tables import open_database, sqlite_url
from spineps_pacs.web.pages import Desk
from spineps_pacs.web.site import site
from spineps_pacs.workflow.chain import DbosChain, Store
from spineps_pacs.workflow.stages import Stages, outbox_name
from spineps_pacs.workflow.work import DELIVER, Work

STUDY_UID, FIRST, QUIET_S = "1.2.3.4.1", 1000.0, 300.0
LATER = FIRST + QUIET_S + 60
NAMES = ("T11", "T12", "L1", "L2", "L3")


class TwinChain:
    """Remembers what was revived and cancelled."""

    def __init__(self) -> None:
        self.revived: list[Job] = []
        self.cancelled: list[str] = []

    def revive(self, job: Job) -> list[str]:
        self.revived.append(job)
        return []

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


@cache
def report_of_a_series() -> Result:
    report, series = case(Wish(levels=(23,)))
    results = encode(report, series, identity(report, series), replace(OPTIONS, pictures=False))
    return next(result for result in results if result.kind == "report")


def station(first: int, names: tuple[str, ...], frame: str = "frame") -> Station:
    """Vertebrae 30 mm apart, from `first` steps below the head."""
    bodies = (Body(n + 1, (0.0, 0.0, -30.0 * (first + n)), LEVEL_IDS[name], 0.9) for n, name in enumerate(names))
    return Station(frame, tuple(bodies))


UPPER, LOWER = station(0, NAMES[:3]), station(2, NAMES[2:])


@pytest.fixture
def common(tmp_path: Path) -> Iterator[app.Shared]:
    database = open_database(sqlite_url(tmp_path / "node.sqlite"))
    yield opened(tmp_path, database)
    database.dispose()


def analysed(common: app.Shared, name: str, kept: Station, state: State = State.CONFIRMED, at: float = FIRST) -> Job:
    """A series of the study with its report in the outbox and what is kept beside its page."""
    report = report_of_a_series()
    file = outbox_name("report", report.sop_instance_uid)
    job = Job(
        name, f"1.2.9.{name}", STUDY_UID, fingerprint([name]), state, "MR1", created=at, changed=at,
        sendings=(Sending("pacs", State.CONFIRMED),), results=(file,),
    )  # fmt: skip
    common.outbox.add(name, file, report.content)
    desk.write_page(common.folder, name, {desk.STATION: kept.to_json().encode()})
    common.records.add(job)
    return job


def joiner(
    common: app.Shared, chain: Any = None, now: float = LATER, text: str = f"[study]\nquiet_s = {QUIET_S}\n"
) -> StudyReports:
    text += '[[destination]]\nname = "pacs"\nkind = "folder"\nfolder = "out"\nresults = ["report", "source"]\n'
    current = settings.parse(text, "node.toml", common.folder)
    return StudyReports(lambda: current, common, chain or TwinChain(), lambda: now)


def report(common: app.Shared, job_id: str) -> pydicom.Dataset:
    job = common.records.known(job_id)
    assert job is not None
    (name,) = job.results
    return pydicom.dcmread(common.outbox.path(job_id, name))


def page(common: app.Shared, job_id: str) -> Any:
    return json.loads((common.folder / desk.PAGES / job_id / desk.STUDY_LEVELS).read_text())


def test_two_stations_become_one_more_report_and_only_once(common: app.Shared) -> None:
    """The job's report goes where theirs went; a second round, also of another process, makes nothing."""
    analysed(common, "upper", UPPER)
    analysed(common, "lower", LOWER)
    chain = TwinChain()
    (made_id,) = joiner(common, chain).step()
    job = common.records.known(made_id)
    assert job is not None
    assert (job.state, job.source, job.study_uid) == (State.ANALYSED, STUDY, STUDY_UID)
    assert [sending.destination for sending in job.sendings] == ["pacs"]
    assert [revived.id for revived in chain.revived] == [made_id]
    assert joiner(common, chain).step() == []
    assert len(chain.revived) == 1
    assert common.records.known("upper") == analysed(common, "upper", UPPER)
    assert report(common, made_id).SeriesDescription == "SPINEPS levels of the study"


def test_the_page_has_the_numbers_as_plain_values(common: app.Shared) -> None:
    """From the head down, each with what both stations said; no UID."""
    analysed(common, "lower", LOWER)
    analysed(common, "upper", UPPER)
    (made_id,) = joiner(common).step()
    told = page(common, made_id)
    assert [level["label"] for level in told["levels"]] == list(NAMES)
    assert [station["job"] for station in told["stations"]] == ["upper", "lower"]
    assert [len(level["seen"]) for level in told["levels"]] == [1, 1, 2, 1, 1]
    assert told["flags"] == []
    assert STUDY_UID not in json.dumps(told)


def test_the_operators_page_shows_levels_by_station_and_their_quarrel(common: app.Shared) -> None:
    """A row a vertebra, a column a station with a way to its own page; the sentence on the quarrel."""
    analysed(common, "upper", UPPER)
    analysed(common, "lower", station(2, ("L2", "L3")))
    (made_id,) = joiner(common).step()
    answer = TestClient(site(Desk(board(common))), "http://127.0.0.1").get(f"/series/{made_id}")
    assert answer.status_code == 200
    assert "Levels of the study" in answer.text
    assert '<a href="/series/upper">' in answer.text
    assert "L1 is called L1 in station 1, L2 in station 2" in answer.text
    assert "No verdict yet" not in answer.text


def test_a_quarrel_is_on_the_page_and_in_the_report(common: app.Shared) -> None:
    """The overlap is called L1 above and L2 below."""
    analysed(common, "upper", UPPER)
    analysed(common, "lower", station(2, ("L2", "L3")))
    (made_id,) = joiner(common).step()
    told = page(common, made_id)
    assert told["flags"][0] == "L1 is called L1 in station 1, L2 in station 2"
    assert [level["agreed"] for level in told["levels"]] == [True, True, False, False]
    assert "L1 is called L1 in station 1, L2 in station 2" in [e.value for e in report(common, made_id).iterall()]


class DyingRecords:
    """Records during whose `add` the power goes, before or after the row is written."""

    def __init__(self, records: Any, *, written: bool) -> None:
        self._records = records
        self._written = written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def add(self, job: Job) -> bool:
        if self._written:
            self._records.add(job)
        raise OSError("the power went")


@pytest.mark.parametrize("written", [False, True])
def test_a_crash_in_between_leaves_one_report(common: app.Shared, *, written: bool) -> None:
    """The next round makes the same job with the same bytes, and all of it."""
    analysed(common, "upper", UPPER)
    analysed(common, "lower", LOWER)
    dying: Any = DyingRecords(common.records, written=written)
    assert joiner(replace(common, records=dying)).step() == []
    (made_id,) = joiner(common).step()
    assert len(common.outbox.names(made_id)) == 1
    assert len(page(common, made_id)["levels"]) == len(NAMES)
    assert len([job for job in common.records.find() if job.source == STUDY]) == 1
    assert joiner(common).step() == []


@pytest.mark.parametrize(
    ("state", "now", "text"),
    [
        (State.ANALYSING, LATER, f"[study]\nquiet_s = {QUIET_S}\n"),
        (State.CONFIRMED, FIRST + QUIET_S - 1, f"[study]\nquiet_s = {QUIET_S}\n"),
        (State.FAILED, LATER, f"[study]\nquiet_s = {QUIET_S}\n"),
        (State.CONFIRMED, LATER, "[study]\njoin_stations = false\n"),
    ],
)
def test_nothing_is_joined_before_its_time(common: app.Shared, state: State, now: float, text: str) -> None:
    """While a series is on its way or the study not quiet; where one failed or the site does not want it."""
    analysed(common, "upper", UPPER)
    analysed(common, "lower", LOWER, state)
    assert joiner(common, now=now, text=text).step() == []


def test_the_last_expected_series_ends_the_waiting(common: app.Shared) -> None:
    """Images that say how many series the study has."""
    analysed(common, "upper", UPPER)
    job = analysed(common, "lower", LOWER)
    image = made.series(*made.grid((1, 8, 8)), NumberOfStudyRelatedSeries=2)[0]
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.save_as(common.folder / "one.dcm", enforce_file_format=True)
    common.inbox.add(fingerprint([job.series_uid]), "one.dcm", common.folder / "one.dcm")
    assert len(joiner(common, now=FIRST + 1).step()) == 1


def test_stations_without_a_common_frame_are_said_once(common: app.Shared) -> None:
    """A skipped job with the reason; no report."""
    analysed(common, "upper", UPPER)
    analysed(common, "lower", replace(LOWER, frame="another"))
    (made_id,) = joiner(common).step()
    job = common.records.known(made_id)
    assert job is not None
    assert job.state is State.SKIPPED
    assert "no two of the 2 stations share a frame of reference" in job.reason
    assert joiner(common).step() == []


def test_a_station_that_comes_late_makes_a_new_report_that_names_the_old_one(common: app.Shared) -> None:
    """The old job is superseded, and the predecessor named where somebody had accepted it."""
    analysed(common, "upper", UPPER)
    analysed(common, "lower", LOWER)
    chain = TwinChain()
    (old,) = joiner(common, chain).step()
    first = report(common, old)
    common.records.receipt(old, "pacs", Receipt(str(first.SOPInstanceUID), accepted=True, status="0000"))
    analysed(common, "third", station(4, NAMES[4:]), at=FIRST + 10)
    (new,) = joiner(common, chain, now=LATER + 100).step()
    second, superseded = report(common, new), common.records.known(old)
    assert superseded is not None
    assert superseded.state is State.SUPERSEDED
    assert chain.cancelled == [old]
    prior = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert prior.ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_it_is_delivered_like_any_report_and_has_no_images_to_forward(common: app.Shared, tmp_path: Path) -> None:
    """To a destination that wants reports and source images; started anew it cannot be."""
    analysed(common, "upper", UPPER)
    analysed(common, "lower", LOWER)
    store = Store(sqlite_url(tmp_path / "node.sqlite"), ("pacs",))
    store.prepare()
    chain = DbosChain(store, common.records)
    try:
        making = joiner(common, chain)
        (made_id,) = making.step()
        parts = app.parts(making._live, common)
        stages = Stages(parts, app.work_patience(making._live()), lambda *_: None)
        stages.run(Work(DELIVER, made_id, common.records.turn(made_id), "pacs"))
        job = common.records.known(made_id)
        assert job is not None
        assert job.sendings[0].state is State.DELIVERED
        assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1
        with pytest.raises(Unusable, match="joins the stations of a study"):
            chain.rerun(made_id)
    finally:
        chain.close()


def test_a_study_that_cannot_be_read_holds_no_other_up(common: app.Shared) -> None:
    """What is kept of one station is broken; the other study is joined."""
    for name, kept in (("a", UPPER), ("b", LOWER), ("c", UPPER), ("d", LOWER)):
        job = analysed(common, name, kept)
        if name in "ab":
            common.records.put(replace(job, study_uid="1.2.3.4.0"))
    (common.folder / desk.PAGES / "a" / desk.STATION).write_text("{")
    (made_id,) = joiner(common).step()
    assert [station["job"] for station in page(common, made_id)["stations"]] == ["c", "d"]


def test_the_order_of_the_stations_does_not_depend_on_their_arrival(common: app.Shared) -> None:
    """Cranial first: the same study gives the same bytes in any order."""
    analysed(common, "a", LOWER)
    analysed(common, "b", UPPER)
    (made_id,) = joiner(common).step()
    assert [station["job"] for station in page(common, made_id)["stations"]] == ["b", "a"]
