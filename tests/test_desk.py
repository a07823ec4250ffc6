"""The operator's desk over real records: lists, counts, pictures that come and go, and pages that stay quick."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient
from web.board_twin import REPORT, SKIPPED, TAKEN, job

from spineps_pacs import app, desk, logs, settings
from spineps_pacs.domain.errors import SettingsError, Unusable
from spineps_pacs.domain.job import Finding, Job, Sending, State
from spineps_pacs.engines.weights import embedded_folder
from spineps_pacs.settings import Settings
from spineps_pacs.storage.datasets import DatasetFolder
from spineps_pacs.storage.marks import Marks
from spineps_pacs.storage.records import SqlRecords, _row
from spineps_pacs.storage.tables import JOBS, open_database, sqlite_url
from spineps_pacs.watching import Gpus, Peers
from spineps_pacs.web import drift
from spineps_pacs.web.board import Wanted
from spineps_pacs.web.pages import Desk
from spineps_pacs.web.site import site

MANY = 10_000


class TwinChain:
    """Remembers what was asked of the chain."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    def resend(self, job_id: str, destination: str) -> None:
        self.done.append(("resend", job_id, destination))

    def rerun(self, job_id: str, models: Sequence[str] | None = None) -> None:
        self.done.append(("rerun", job_id, *(models or ())))

    def cancel(self, job_id: str) -> None:
        self.done.append(("cancel", job_id))


def opened(folder: Path, database: sa.Engine) -> app.Shared:
    """What both halves share, over a fresh store."""
    records = SqlRecords(database, lambda uid: logs.hashed(b"salt", uid))
    inbox, outbox = DatasetFolder(folder / "inbox"), DatasetFolder(folder / "outbox")
    return app.Shared(folder, b"salt", inbox, outbox, Marks(folder / "marks"), records, database, None)  # type: ignore[arg-type]


@pytest.fixture
def common(tmp_path: Path) -> Iterator[app.Shared]:
    database = open_database(sqlite_url(tmp_path / "node.sqlite"))
    yield opened(tmp_path, database)
    database.dispose()


def board(common: app.Shared, text: str = "") -> desk.NodeBoard:
    current = settings.parse(text, "node.toml", common.folder)
    return desk.NodeBoard(lambda: current, common, TwinChain(), watched(current))  # type: ignore[arg-type]


def watched(current: Settings) -> desk.Watched:
    """Peers that nobody asked yet, and a host without a GPU."""
    return desk.Watched(Peers(lambda: current), Gpus(lambda: current, lambda: None))


def fill(common: app.Shared, jobs: list[Job]) -> None:
    with common.database.begin() as connection:
        connection.execute(JOBS.insert(), [_row(one) for one in jobs])


def many() -> list[Job]:
    states = [*State]
    now = time.time()
    return [
        replace(
            job(f"job-{n}", states[n % len(states)], verdict=SKIPPED if n % 3 else TAKEN),
            reason=f"slice {n} is missing", series_uid=f"1.2.3.{n}", source=f"MR{n % 7}",
            created=now - 60.0 * n, changed=now - 60.0 * n,
        )
        for n in range(MANY)
    ]  # fmt: skip


PATHS = ("/", "/series", "/series?state=failed&reason=slice&page=3", "/series/job-17", "/trouble", "/health")
"""Pages of a busy node; scripts/page_times measures them."""


@pytest.mark.parametrize("path", [*PATHS, "/drift", "/metrics", "/api/jobs"])
def test_every_page_stays_small_with_ten_thousand_series(common: app.Shared, path: str) -> None:
    """A page shows a part of the store, whatever it holds."""
    fill(common, many())
    answer = TestClient(site(Desk(board(common))), "http://127.0.0.1").get(path)
    assert answer.status_code == 200
    assert len(answer.content) < 1_000_000


def test_the_list_is_filtered_in_the_database(common: app.Shared) -> None:
    """State, source, part of the reason and time; wild cards are letters."""
    fill(common, [job("job-1", State.FAILED, reason="50% lost"), job("job-2", State.SKIPPED, source="MR2")])
    desk_board = board(common)

    def names(**wanted: Any) -> list[str]:
        return [one.id for one in desk_board.jobs(Wanted(**wanted)).jobs]

    assert names(state=State.FAILED) == ["job-1"]
    assert names(source="MR2") == ["job-2"]
    assert names(reason="0% L") == ["job-1"]
    assert names(reason="0_ L") == []
    assert names(until=1.0) == []
    assert desk_board.sources() == ["MR1", "MR2"]


def test_retry_sends_dead_letters_and_starts_the_rest_anew(common: app.Shared) -> None:
    """Only what is dead is sent; what is on its way is left alone."""
    dead = (Sending("a", State.DELIVERED), Sending("b", State.DEAD_LETTER))
    for one in (job("j-1", State.DEAD_LETTER, sendings=dead), job("j-2", State.FAILED), job("j-3", State.ANALYSING)):
        common.records.put(one)
    chain, current = TwinChain(), Settings()
    pressed = desk.NodeBoard(lambda: current, common, chain, watched(current))  # type: ignore[arg-type]
    pressed.retry("j-1")
    pressed.retry("j-2")
    with pytest.raises(Unusable, match="cancel it first"):
        pressed.retry("j-3")
    pressed.cancel("j-3")
    pressed.rerun("j-1", ("t2w",))
    assert chain.done == [("resend", "j-1", "b"), ("rerun", "j-2"), ("cancel", "j-3"), ("rerun", "j-1", "t2w")]


def test_what_is_arriving_is_what_is_no_job_yet(common: app.Shared) -> None:
    """A series with an image that the reception has not taken; nothing more once it has."""
    common.inbox.add("key", "one.dcm", b"image")
    common.inbox.add("taken", "one.dcm", b"image")
    for key in ("key", "taken"):
        common.notes.put(key, "source", '{"series_uid": "1.2.3", "name": "MR1", "priority": 100}')
    common.notes.put("taken", "taken", repr(common.inbox.changed("taken")))
    (found,) = board(common).arriving()
    assert (found.series_uid, found.source, found.images) == ("1.2.3", "MR1", 1)
    common.notes.put("key", "taken", repr(found.last))
    assert board(common).arriving() == []


def test_models_are_a_choice_where_there_are_several(common: app.Shared, tmp_path: Path) -> None:
    """Two of a kind are named; the embedded ones, a folder that is missing, and phantoms are none."""
    embedded = embedded_folder()
    assert embedded is not None
    for name in ("t2w", "another"):
        shutil.copytree(embedded / "semantic", tmp_path / "models" / name, ignore=shutil.ignore_patterns("fold_*"))
    shutil.copytree(embedded / "instance", tmp_path / "models" / "instance")
    text = '[models]\nfolder = "models"\n'
    assert board(common, text).choices() == {"semantic": ["another", "t2w"]}
    assert board(common).choices() == {}
    assert board(common, text.replace('models"', 'nowhere"')).choices() == {}


def test_pictures_go_with_the_data_of_their_job(common: app.Shared) -> None:
    """Kept while the job is, gone when it was erased or nobody knows it; no name leads out of the folder."""
    for name in ("kept", "erased"):
        common.records.put(job(name, State.DELIVERED))
    for name in ("kept", "erased", "unknown"):
        desk.write_page(common.folder, name, {"report.json": b"{}", "sagittal-0.png": b"png"})
    common.records.erase("erased")
    assert sorted(desk.forget_pages(common.folder, common.records)) == ["erased", "unknown"]
    shown = board(common)
    assert shown.file("kept", "sagittal-0.png") is not None
    assert shown.file("erased", "sagittal-0.png") is None
    assert shown.file("kept", "../kept/report.json") is None
    assert shown.file("../pages/kept", "report.json") is None
    assert shown.file("..", "node.sqlite") is None


def test_how_long_an_analysis_takes_is_learned(common: app.Shared) -> None:
    """The median of what the timelines say."""
    clock = [1000.0]
    records = SqlRecords(common.database, str, lambda: clock[0])
    for name, seconds in (("a", 10.0), ("b", 30.0), ("c", 20.0)):
        records.put(job(name, State.WAITING))
        records.event(name, "analysing", "")
        clock[0] += seconds
        records.event(name, "analysed", "")
    assert board(common).eta_s() == 20.0


def test_health_names_disk_and_peers(common: app.Shared, tmp_path: Path) -> None:
    """Below the watermark the disk is not well; a folder that is missing does not answer, one that is there does."""
    (tmp_path / "there").mkdir()
    text = "[node]\nmin_free_gb = 1e9\n"
    for name in ("there", "missing"):
        text += f'[[destination]]\nname = "{name}"\nkind = "folder"\nfolder = "{name}"\n'
    current = settings.parse(text, "node.toml", tmp_path)
    looked = watched(current)
    shown = desk.NodeBoard(lambda: current, common, TwinChain(), looked)  # type: ignore[arg-type]
    assert [peer.good for peer in shown.health().peers] == [None, None]
    looked.peers.step()
    health = shown.health()
    assert {fact.name: fact.good for fact in health.facts}["Disk"] is False
    assert [peer.good for peer in health.peers] == [True, False]
    assert not health.good
    assert not shown.ready()


def test_drift_and_tally_read_what_was_remembered(common: app.Shared) -> None:
    """Lines of analysed series and verdicts meet in one row; phases are summed."""
    now = time.time()
    common.records.put(job("a", State.DELIVERED, verdict=TAKEN, created=now))
    common.records.put(job("b", State.SKIPPED, verdict=SKIPPED, created=now))
    drift.remember(common.folder / desk.DRIFT, drift.line("a", "MR1", now, REPORT))
    (row,) = board(common).drift()
    assert (row.taken, row.skipped, row.levels, row.reasons) == (1, 1, 1.0, (("T2 weighting", 1),))
    tally = board(common).tally()
    assert tally.verdicts == {"taken": 1, "T2 weighting": 1}
    assert tally.phases_s == {"semantic": (1, 3.5)}


def test_a_verdict_that_changes_is_counted_anew(common: app.Shared) -> None:
    """Verdicts are read once; a job that changed since is read again. Quotes in a rule's texts lead nowhere."""
    trap = Finding("modality", True, '"rule": "trap", "passed": false', "MR")
    skipped = replace(SKIPPED, findings=(trap, *SKIPPED.findings[1:]))
    common.records.put(job("a", State.SKIPPED, verdict=skipped, changed=1.0))
    looking = board(common)
    for _ in range(2):
        assert looking.tally().verdicts == {"T2 weighting": 1}
    with common.database.begin() as connection:
        connection.execute(JOBS.delete())
        connection.execute(JOBS.insert(), [_row(job("a", State.WAITING, verdict=TAKEN, changed=2.0))])
    assert looking.tally().verdicts == {"taken": 1}


def test_beyond_loopback_somebody_must_be_asked() -> None:
    """Neither token nor proxy: the node refuses to serve pages to others."""
    with pytest.raises(SettingsError, match="token_file or a trusted_proxy"):
        desk.access(Settings(web={"host": "192.0.2.9"}).web)
    assert desk.access(Settings(web={"host": "192.0.2.9", "trusted_proxy": "192.0.2.1"}).web).proxy == "192.0.2.1"
