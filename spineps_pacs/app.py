"""Joins the parts: the receiving half, the working half, destinations and engines; alone knows all rooms."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from spineps_pacs import logs, settings
from spineps_pacs.auditing import AuditTrail
from spineps_pacs.delivery.rules import Routing
from spineps_pacs.domain.audit import ACTIVITY, EXECUTE, STARTED, STOPPED, Audit, AuditEvent, unheard
from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.domain.job import Job
from spineps_pacs.domain.refusals import Refusals
from spineps_pacs.domain.series import fingerprint
from spineps_pacs.intake.commitment import CallBack, Commitment
from spineps_pacs.intake.dimse import DicomPort, Limits, Port
from spineps_pacs.intake.gate import Caller, GuestList
from spineps_pacs.intake.reception import Desk, Patience, Reception, job_id
from spineps_pacs.intake.serving import Serving
from spineps_pacs.outlets import confirmation, destination, door_tls, rule, web_peer
from spineps_pacs.producing import Loaded, judge, produce, recipe, urgency, with_models
from spineps_pacs.settings import Live, Settings, secret
from spineps_pacs.shadowing import Shadow, tidy
from spineps_pacs.storage.belonging import bind
from spineps_pacs.storage.datasets import DatasetFolder
from spineps_pacs.storage.marks import Marks
from spineps_pacs.storage.records import SqlRecords
from spineps_pacs.storage.tables import open_database, sqlite_url
from spineps_pacs.workflow.chain import DbosChain, Engine, Executor, Store
from spineps_pacs.workflow.leases import Leases, Reaper
from spineps_pacs.workflow.loops import Half, Loop
from spineps_pacs.workflow.retire import Kept, Retirement
from spineps_pacs.workflow.stages import Parts, Stages
from spineps_pacs.workflow.stages import Patience as WorkPatience
from spineps_pacs.workflow.work import Retries, Work

LOOPBACK = ("127.", "::1", "localhost")
AUDIT_S = 5.0
SWEEP_S, STUDY_S, HOUR_S, DAY_S, GRACE_S = 0.5, 10.0, 3600.0, 86400.0, 10
_log = structlog.get_logger("spineps_pacs")


def log(text: str, **keys: Any) -> None:
    """One line in the log; only keys that are allowed get through."""
    _log.info(text, **keys)


def trouble(part: str, error: BaseException) -> None:
    """A loop met something that it did not expect."""
    _log.error("a loop failed and goes on", kind=part, exc_info=error)


@dataclass(frozen=True)
class Shared:
    """What both halves have: the data folder's parts, the database, the chain's store."""

    folder: Path
    salt: bytes
    inbox: DatasetFolder
    outbox: DatasetFolder
    notes: Marks
    records: SqlRecords
    database: Any
    store: Store
    audit: Audit = unheard
    refused: Refusals = field(default_factory=Refusals)


def shared(current: Settings) -> Shared:
    """Opens the data folder and the database, and makes what is missing in them."""
    folder, url = current.node.data_folder, database_url(current)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        database = _bound(url, folder)  # before anything is made in what may be no more than a mount point
        salt = logs.site_salt(current.node.salt_file or folder / "salt")
        inbox, outbox = DatasetFolder(folder / "inbox"), DatasetFolder(folder / "outbox")
    except OSError as error:
        raise SettingsError(f"the data folder {folder} cannot be used: {error.strerror}") from error
    names, asked = tuple(d.name for d in current.destination), current.queue
    store = Store(url, names, asked.poll_s, asked.series_at_once)
    store.prepare()
    records = SqlRecords(database, lambda uid: logs.hashed(salt, uid))
    audit = AuditTrail(current.audit, current.dicom.ae_title, folder)
    return Shared(folder, salt, inbox, outbox, Marks(folder / "marks"), records, database, store, audit)


def _bound(url: str, folder: Path) -> Any:
    """The database, whose data folder this is."""
    database = open_database(url)
    try:
        bind(database, folder)
    except BaseException:
        database.dispose()
        raise
    return database


def chain(common: Shared, current: Settings) -> DbosChain:
    """Enqueues, cancels and starts anew, from any process; a job's name holds the models and settings of today."""

    def name(job: Job) -> str:
        return job_id(job.series_uid, job.fingerprint, recipe(with_models(current, job.models)))

    return DbosChain(common.store, common.records, name)


def database_url(current: Settings) -> str:
    """PostgreSQL where its address is given, else SQLite in the data folder."""
    return secret(current.queue.database_url_file) or sqlite_url(current.node.data_folder / "node.sqlite")


def host_name(current: Settings) -> str:
    """The stable name of this host in the queue."""
    return current.queue.executor or socket.gethostname()


def guests(current: Settings) -> GuestList:
    """Who may call the DICOM port."""
    callers = tuple(Caller(c.ae_title, c.address, c.priority) for c in current.dicom.callers)
    called = current.dicom.ae_title if current.dicom.require_called_ae else ""
    return GuestList(callers, is_loopback(current.dicom.host), called)


def is_loopback(host: str) -> bool:
    """True when only this machine can be heard."""
    return host.startswith(LOOPBACK)


def has_room(common: Shared, live: Live) -> Callable[[], bool]:
    """Whether the disk takes more, by the watermark of the settings."""
    return lambda: shutil.disk_usage(common.folder).free >= live().node.min_free_gb * 1e9


def front(live: Live) -> Half:
    """The receiving half: light, needs no torch. Started, it hears and makes jobs."""
    common, now, half = shared(live()), live().dicom, Half()
    queue = chain(common, live())
    half.add(lambda: None, queue.close)
    door = main_door(live, common, queue)
    calls = CallBack(now.ae_title, lambda: live().dicom.commitment_peers)
    holds = lambda uid: common.inbox.holds(fingerprint([uid]) + ".dcm")  # noqa: E731
    committing = Commitment(holds, common.notes, calls, log)
    rules, room = lambda: limits(live()), has_room(common, live)
    port = DicomPort(door, _port(now), rules, room, log, audit=common.audit, refused=common.refused)
    more = committing.handlers() if now.storage_commitment else []
    _told_of_life(half, common, "receiver")
    half.listen("dicom", lambda: port.open(common.inbox.staging, door_tls(now), more), port.close)
    _other_doors(half, live, common, door)
    _orthanc_door(half, live, common, door, queue)
    _operators_desk(half, live, common, queue)
    half.loop(Loop("sweep", SWEEP_S, door.step, trouble))
    half.loop(Loop("commitment", SWEEP_S, committing.step, trouble))
    half.loop(Loop("tidy", HOUR_S, common.inbox.tidy, trouble))
    return half


def _told_of_life(half: Half, common: Shared, name: str) -> None:
    """The audit trail hears of a process that starts or stops, and what waits for its server is sent."""
    starts, stops = (AuditEvent(ACTIVITY, EXECUTE, f"spineps-pacs {name}", kind) for kind in (STARTED, STOPPED))
    half.add(lambda: common.audit(starts), lambda: common.audit(stops))
    if isinstance(common.audit, AuditTrail):
        half.loop(Loop("audit", AUDIT_S, common.audit.step, trouble))


def main_door(live: Live, common: Shared, queue: DbosChain) -> Reception:
    """Where images enter, whoever brings them."""
    desk = Desk(common.inbox, common.notes, common.records, queue, common.audit, urgency(live))
    return Reception(desk, recipe(live()), common.salt, lambda: patience(live()))


def patience(current: Settings) -> Patience:
    """When a series is complete."""
    wanted = current.dicom
    return Patience(wanted.quiet_s, wanted.release_quiet_s if wanted.complete_on_release else None)


def limits(current: Settings) -> Limits:
    """Who may send, and how much."""
    wanted = current.dicom
    return Limits(guests(current), wanted.max_dataset_mb << 20, wanted.max_images_per_second)


def _port(now: settings.Dicom) -> Port:
    names = ("ae_title", "host", "port", "max_associations", "max_pdu", "idle_timeout_s")
    return Port(**{name: getattr(now, name) for name in (*names, "sop_classes", "transfer_syntaxes")})


def _other_doors(half: Half, live: Live, common: Shared, door: Reception) -> None:
    """STOW-RS and the watched folder, where they are wanted."""
    now = live()
    if now.stow.enabled:
        from spineps_pacs.intake.stow import StowLimits, stow_app

        token = secret(now.stow.token_file)
        if not token and not is_loopback(now.stow.host):
            raise SettingsError("stow: beyond loopback a token_file is needed")
        take = lambda: StowLimits(token, live().stow.max_body_mb << 20)  # noqa: E731
        app = stow_app(door, common.inbox.staging, has_room(common, live), take)
        serving = Serving(app, now.stow.host, now.stow.port)
        half.listen("stow", serving.start, serving.stop)
    if now.watched.folder is not None:
        from spineps_pacs.intake.watched import Drop, WatchedFolder

        drop = Drop(now.watched.folder, now.watched.remove, has_room(common, live))
        watched = WatchedFolder(door, common.notes, drop, common.inbox.staging, log)
        half.loop(Loop("watched", now.watched.every_s, watched.step, trouble))


def _orthanc_door(half: Half, live: Live, common: Shared, door: Reception, queue: DbosChain) -> None:
    """What an Orthanc's plugin hands over, where one is named."""
    now = live().orthanc
    if not now.url:
        return
    from spineps_pacs.intake.orthanc import OrthancIntake, OrthancPeer
    from spineps_pacs.intake.orthanc_desk import Back, OrthancDesk

    source = OrthancPeer(now.url.rstrip("/"), lambda: web_peer(live().orthanc).session())
    intake = OrthancIntake(door, common.notes, source, common.inbox.staging, log)
    desk = OrthancDesk(Back(intake, common.notes, common.records, queue, lambda names: with_models(live(), names)))
    serving = Serving(desk.app(), "127.0.0.1", now.listen_port)
    half.listen("orthanc", serving.start, serving.stop)
    half.loop(Loop("orthanc", 1.0, desk.step, trouble))
    half.loop(Loop("orthanc notes", HOUR_S, intake.tidy, trouble))


def _operators_desk(half: Half, live: Live, common: Shared, queue: DbosChain) -> None:
    """The pages, and what they need."""
    from spineps_pacs.desk import join

    join(half, live, common, queue)


def back(live: Live, slot: int) -> Half:
    """The working half: one worker, which loads the networks when the first series comes."""
    from spineps_pacs.stations import StudyReports

    common, now, half = shared(live()), live().queue, Half()
    executor = Executor(f"{host_name(live())}:{slot}", common.folder / "locks")
    half.add(lambda: None, executor.release)
    queue = chain(common, live())
    half.add(lambda: None, queue.close)
    leases = Leases(common.database)
    stages = Stages(parts(live, common), work_patience(live()), told)
    engine = Engine(common.store, executor.name, stages.run)
    reaper = Reaper(leases, queue, common.records, now.lease_s)
    retirement = Retirement(
        Kept(common.inbox, common.outbox, common.notes, common.audit), common.records, lambda: live().node.keep_hours
    )
    half.loop(Loop("study", STUDY_S, StudyReports(live, common, queue).step, trouble))
    _told_of_life(half, common, f"worker {slot}")
    half.loop(Loop("lease", now.lease_s / 4, lambda: leases.beat(executor.name), trouble))
    half.add(lambda: None, stages.put_down)
    half.add(engine.start, lambda: engine.stop(GRACE_S))
    half.loop(Loop("reaper", now.lease_s / 4, reaper.step, trouble))
    half.loop(Loop("revive", now.lease_s, reaper.revive, trouble))
    half.loop(Loop("retire", 60.0, retirement.step, trouble))
    half.loop(Loop("forget", HOUR_S, lambda: queue.forget(_oldest(live())), trouble))
    half.loop(Loop("outbox", HOUR_S, common.outbox.tidy, trouble))
    half.loop(Loop("shadow", HOUR_S, lambda: tidy(common.folder, live().node.keep_hours), trouble))
    return half


def _oldest(current: Settings) -> float:
    return time.time() - current.queue.keep_finished_days * DAY_S


def parts(live: Live, common: Shared) -> Parts:
    """What the stages are given."""
    now, loaded = live(), Loaded()
    asked = {d.name: confirmation(d, now, common.notes) for d in now.destination}
    shadow = Shadow(now, loaded.engines)
    return Parts(
        inbox=common.inbox,
        outbox=common.outbox,
        records=common.records,
        judge=judge(live),
        produce=produce(live, common.records, common.outbox, loaded, shadow),
        rules=Routing([rule(d) for d in now.destination]),
        destinations={d.name: destination(d, now) for d in now.destination},
        confirmations={name: asks for name, asks in asked.items() if asks is not None},
        shadow=shadow.run if shadow.wanted else None,
        audit=common.audit,
    )


def work_patience(current: Settings) -> WorkPatience:
    """How often work is tried."""
    q = current.queue
    analysis = Retries(q.max_attempts, q.delivery_delay_s, q.delivery_delay_max_s)
    delivery = Retries(q.delivery_attempts, q.delivery_delay_s, q.delivery_delay_max_s)
    return WorkPatience(analysis, delivery, q.max_recoveries, q.series_at_once)


def told(text: str, work: Work, error: BaseException | None) -> None:
    """A stage says why a job did not go on."""
    keys = {"job": work.job_id, "phase": work.stage, "destination": work.destination, "attempt": work.attempt}
    if error is None:
        _log.info("a stage ended", reason=text, **keys)
    else:
        _log.error("a stage failed", reason=text, exc_info=error, **keys)
