"""The operator's desk: the pages' board over records, chain, disk and peers; and a result's pictures kept for it."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from spineps_pacs import app, settings
from spineps_pacs.app import Shared
from spineps_pacs.domain.errors import SettingsError, Unusable
from spineps_pacs.domain.job import Job, State
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import fingerprint
from spineps_pacs.opinions import NAMES, PAGES, kept_names
from spineps_pacs.settings import Live
from spineps_pacs.storage.beside import write_folder
from spineps_pacs.storage.overview import Asked, Overview
from spineps_pacs.storage.records import SqlRecords
from spineps_pacs.watching import Gpus, Peers
from spineps_pacs.web import board as shown
from spineps_pacs.web import drift
from spineps_pacs.workflow.chain import DbosChain
from spineps_pacs.workflow.loops import Half, Loop

DRIFT, PICTURES = "drift", "pictures.json"
STATION, STUDY_LEVELS = "station.json", "study.json"
"""What is kept of a result for joining it with other stations of its study; what the page of a study's report shows."""
ON_THE_WAY = (State.ARRIVING, State.WAITING, State.ANALYSING, State.ANALYSED, State.DELIVERING)
MOST_ARRIVING = 50
ASK_S, GPU_S, ALARM_S, TIDY_S = 60.0, 15.0, 30.0, 60.0
WAITS_LONG_S, REMEMBERED_S = 4 * 3600.0, 26 * 7 * 86400.0


def keep_pages(folder: Path, job: Job, report: Report) -> None:
    """Writes what the result page shows, and the line that drift remembers; no fault in it holds a result up."""
    try:
        _keep(folder, job, report)
    except Exception as error:  # noqa: BLE001  results matter more than their pictures; the log tells
        app.trouble("pages", error)


def _keep(folder: Path, job: Job, report: Report) -> None:
    from spineps_pacs.analysis.study import station
    from spineps_pacs.encode.layers import chosen, layers
    from spineps_pacs.encode.side import level_rows, report_json

    plain, layered, names = report_json(report), chosen(report), dict(layers(report))
    names["report.json"] = json.dumps(plain).encode()
    names["levels.csv"] = level_rows(report).encode()
    names[NAMES] = kept_names(report)
    pictures = {"slices": layered.slices, "middle": layered.middle, "coronal": "coronal.png" in names}
    names[PICTURES] = json.dumps(pictures).encode()
    names[STATION] = station(report).to_json().encode()
    write_page(folder, job.id, names)
    drift.remember(folder / DRIFT, drift.line(job.id, job.source, job.created, plain))


def write_page(folder: Path, job_id: str, names: Mapping[str, bytes]) -> None:
    """A page never sees half of a result."""
    write_folder(folder / PAGES / job_id, names)


def forget_pages(folder: Path, records: SqlRecords) -> list[str]:
    """Removes the pictures of jobs whose data was erased; gives the jobs."""
    root = folder / PAGES
    kept = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")] if root.is_dir() else []
    gone = [path for path in kept if records.turn(path.name) < 0 or records.erased(path.name)]
    for path in gone:
        shutil.rmtree(path)
    return [path.name for path in gone]


@dataclass(frozen=True)
class Watched:
    """What is asked now and then, and what it said last."""

    peers: Peers
    gpus: Gpus


class NodeBoard:
    """`Board` over a running node."""

    def __init__(self, live: Live, common: Shared, queue: DbosChain, watched: Watched) -> None:
        self._live = live
        self._common = common
        self._queue = queue
        self._watched = watched
        self._overview = Overview(common.database)

    def jobs(self, wanted: shown.Wanted) -> shown.Listing:
        """One page of the list."""
        states = () if wanted.state is None else (wanted.state,)
        span = wanted.since, wanted.until, (wanted.page - 1) * wanted.size, wanted.size
        return shown.Listing(*self._overview.jobs(Asked(states, wanted.source, wanted.reason, *span)))

    def arriving(self) -> Sequence[shown.Incoming]:
        """Series in the inbox that are no job yet; only the newest can be."""
        inbox, notes = self._common.inbox, self._common.notes
        dated = sorted(((inbox.changed(key), key) for key in inbox.quiet(time.time())), reverse=True)[:MOST_ARRIVING]
        found = []
        for changed, key in dated:
            note = notes.get(key, "source")
            if note is not None and notes.get(key, "taken") != repr(changed):
                known = json.loads(note)
                found.append(shown.Incoming(known["series_uid"], known["name"], len(inbox.names(key)), changed))
        return found

    def active(self) -> Sequence[Job]:
        """What is on its way."""
        return self._overview.jobs(Asked(ON_THE_WAY, limit=200))[0]

    def eta_s(self) -> float | None:
        """The median of the last analyses."""
        spans = self._overview.analyses_s()
        return statistics.median(spans) if spans else None

    def sources(self) -> Sequence[str]:
        """Who ever sent something."""
        return self._overview.sources()

    def job(self, job_id: str) -> shown.Detail | None:
        """All about one job."""
        records = self._common.records
        job = records.known(job_id)
        if job is None:
            return None
        receipts = {s.destination: records.receipts(job_id, s.destination) for s in job.sendings}
        report, study = self._kept(job_id, "report.json"), self._kept(job_id, STUDY_LEVELS)
        timeline = tuple(records.timeline(job_id))
        return shown.Detail(job, timeline, receipts, records.erased(job_id), report, self._patient(job), study)

    def _kept(self, job_id: str, name: str) -> Mapping[str, Any] | None:
        """Plain values that were kept for the pages of a job."""
        path = self.file(job_id, name)
        found: Mapping[str, Any] | None = None if path is None else json.loads(path.read_text(encoding="utf-8"))
        return found

    def counts(self) -> Mapping[State, int]:
        """How many jobs are in which state."""
        return self._common.records.counts()

    def pictures(self, job_id: str) -> shown.Pictures | None:
        """Which slices are kept."""
        path = self.file(job_id, PICTURES)
        if path is None:
            return None
        said = json.loads(path.read_text(encoding="utf-8"))
        return shown.Pictures(tuple(said["slices"]), said["middle"], said["coronal"])

    def file(self, job_id: str, name: str) -> Path | None:
        """A file of the result page; only names that lie in its folder."""
        folder = self._common.folder / PAGES / job_id
        if "/" in job_id or job_id.startswith(".") or not folder.is_dir():
            return None
        return next((path for path in folder.iterdir() if path.name == name), None)

    def objects(self, job_id: str) -> Sequence[str]:
        """Names of the result objects."""
        known = self._common.records.known(job_id)
        return () if known is None else self._common.outbox.names(known.id)

    def object(self, job_id: str, name: str) -> Path | None:
        """A result object."""
        return self._common.outbox.path(job_id, name) if name in self.objects(job_id) else None

    def health(self) -> shown.Health:
        """Disk, queue, GPU, peers, models."""
        disk = shutil.disk_usage(self._common.folder)
        facts = (self._disk(disk.free), self._waiting(), self._watched.gpus.fact())
        peers, gpus = self._watched.peers.facts(), self._watched.gpus.seen()
        return shown.Health(facts, peers, self._models(), gpus, disk.free, disk.total)

    def ready(self) -> bool:
        """The database answers and the disk takes more."""
        try:
            with self._common.database.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
        except sa.exc.SQLAlchemyError:
            return False
        return app.has_room(self._common, self._live)()

    def drift(self) -> Sequence[shown.DriftRow]:
        """Half a year, by scanner and week."""
        judged = self._overview.judged(time.time() - REMEMBERED_S)
        return drift.rows(drift.remembered(self._common.folder / DRIFT), judged)

    def tally(self) -> shown.Tally:
        """What is counted for Prometheus."""
        lines, seen = drift.remembered(self._common.folder / DRIFT), self._overview
        found = self.counts(), seen.oldest(), seen.sendings(), seen.verdicts()
        phases, opinions = drift.phase_totals(lines), drift.opinion_totals(lines)
        return shown.Tally(*found, phases, opinions, self._common.refused.counts())

    def retry(self, job_id: str) -> None:
        """The dead letters again, else all of it."""
        job = self._common.records.known(job_id)
        if job is None:
            raise Unusable("no job has that id")
        dead = [s.destination for s in job.sendings if s.state is State.DEAD_LETTER]
        for name in dead:
            self._queue.resend(job_id, name)
        if not dead:
            self.rerun(job_id)

    def cancel(self, job_id: str) -> None:
        """Stops it."""
        self._queue.cancel(job_id)

    def rerun(self, job_id: str, models: Sequence[str] | None = None) -> None:
        """Starts it anew, unless it is on its way; with other models, by name, another job takes its place."""
        job = self._common.records.known(job_id)
        if job is not None and job.state in ON_THE_WAY:
            raise Unusable(f"it is {job.state}; cancel it first")
        self._queue.rerun(job_id, models)

    def choices(self) -> Mapping[str, Sequence[str]]:
        """The models of the folder, by what they do; one that stands alone is no choice."""
        from spineps_pacs.engines import weights

        root = self._live().models.folder or weights.embedded_folder()
        found: dict[str, list[str]] = {}
        for model in weights.find_models(root)[0] if root is not None and root.is_dir() else ():
            found.setdefault(model.kind, []).append(model.name)
        return {kind: names for kind, names in found.items() if len(names) > 1}

    def _patient(self, job: Job) -> str:
        """Name and id out of the images, where the site shows them."""
        if not self._live().web.show_patient:
            return ""
        try:
            header = self._common.inbox.load(fingerprint([job.series_uid]), pixels=False).datasets[0]
        except Unusable:
            return ""
        return f"{header.get('PatientName', '')} ({header.get('PatientID', '')})"

    def _disk(self, free: int) -> shown.Fact:
        least = self._live().node.min_free_gb
        text = f"{free / 1e9:.1f} GB are free, {least:.1f} GB are the least."
        return shown.Fact("Disk", free >= least * 1e9, text, "Make room: the node refuses images until there is some.")

    def _waiting(self) -> shown.Fact:
        since = self._overview.oldest().get(State.WAITING)
        waited = 0.0 if since is None else time.time() - since
        text = "Nothing waits." if since is None else f"The oldest series has waited {waited / 60:.0f} min."
        advice = "See whether a worker runs (spineps-pacs status, the log), or start one more."
        return shown.Fact("Queue", waited < WAITS_LONG_S, text, advice)

    def _models(self) -> tuple[shown.ModelFact, ...]:
        """Those of the newest result."""
        try:
            with os.scandir(self._common.folder / PAGES) as entries:
                _, newest = max((entry.stat().st_mtime, entry.path) for entry in entries if entry.name[0] != ".")
            plain = json.loads((Path(newest) / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or just erased
            return ()
        return tuple(shown.ModelFact(**model) for model in plain["models"])


def join(half: Half, live: Live, common: Shared, queue: DbosChain) -> None:
    """Serves the pages from the receiving half, asks the peers, and tells of trouble."""
    from spineps_pacs.intake.serving import Serving
    from spineps_pacs.web.pages import Desk
    from spineps_pacs.web.site import site

    now, watched = live().web, Watched(Peers(live), Gpus(live))
    board = NodeBoard(live, common, queue, watched)
    half.loop(Loop("peers", ASK_S, watched.peers.step, app.trouble))
    half.loop(Loop("gpus", GPU_S, watched.gpus.step, app.trouble))
    half.loop(Loop("pages", TIDY_S, lambda: forget_pages(common.folder, common.records), app.trouble))
    _alarms(half, live().alerts, board)
    if now.enabled:
        serving = Serving(site(Desk(board, access(now), now.show_patient, audit=common.audit)), now.host, now.port)
        half.listen("web", serving.start, serving.stop)


def access(now: settings.Web) -> Any:
    """Who may see the pages; beyond loopback nobody without token or proxy."""
    from spineps_pacs.web.guard import Access

    token = settings.secret(now.token_file)
    if not token and not now.trusted_proxy and not app.is_loopback(now.host):
        raise SettingsError("web: beyond loopback a token_file or a trusted_proxy is needed")
    return Access(token, now.trusted_proxy, now.proxy_user_header)


def _alarms(half: Half, wanted: settings.Alerts, board: NodeBoard) -> None:
    from spineps_pacs.web.alerts import Alarm, Mail, Webhook

    if wanted.webhook:
        half.loop(Loop("webhook", ALARM_S, Alarm(board, Webhook(wanted.webhook)).step, app.trouble))
    if wanted.smtp_host and wanted.receivers:
        mail = Mail(wanted.smtp_host, wanted.smtp_port, wanted.sender or "spineps-pacs@localhost", wanted.receivers)
        half.loop(Loop("mail", ALARM_S, Alarm(board, mail).step, app.trouble))
