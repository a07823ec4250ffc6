"""`status`, `jobs` and `explain`: what the node knows of each series, and the buttons of a person."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from spineps_pacs.domain.audit import ACCESSED, READ, AuditEvent
from spineps_pacs.domain.errors import SettingsError, Unusable
from spineps_pacs.domain.job import Job, State, Verdict

if TYPE_CHECKING:
    from spineps_pacs.app import Shared
    from spineps_pacs.workflow.chain import DbosChain

Config = Annotated[Path | None, Parameter(name=["--config", "-c"], help="The configuration file of the node.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Write JSON, for machines.")]
Why = Annotated[
    Path | None, Parameter(help="A changed configuration, tried on the stored verdicts; nothing is changed by it.")
]
Day = Annotated[str, Parameter(help="A day or time, as 2026-03-01 or 2026-03-01T12:30 (UTC).")]
MOST_TRIED = 100_000
"""Verdicts that a changed configuration is tried on at once, the newest first."""

DAY_S = 86400.0

jobs = App(name="jobs", help="List, show, retry, cancel and re-run jobs.")


def status(config: Config = None, *, as_json: Json = False) -> int:
    """How many series are in which state, and what stands in the queues."""
    with _node(config) as (common, chain):
        counts = {str(state): count for state, count in sorted(common.records.counts().items())}
        depth = chain.depth()
    if as_json:
        print(json.dumps({"states": counts, "queues": depth}))
        return 0
    _table("state", "series", counts.items())
    if depth:
        _table("queue", "waiting", sorted(depth.items()))
    return 0


@jobs.command(name="list")
def list_jobs(config: Config = None, *, state: State | None = None, limit: int = 50, as_json: Json = False) -> int:
    """The newest jobs, all or those in one state."""
    with _node(config) as (common, _):
        found = common.records.find(state=state, limit=limit)
    if as_json:
        print(json.dumps([_plain(job) for job in found]))
        return 0
    rows = [(job.id, _time(job.created), job.source, str(job.state), job.reason) for job in found]
    _table("job", "arrived", "source", "state", "reason", rows)
    return 0


@jobs.command
def show(job: str, config: Config = None, *, as_json: Json = False) -> int:
    """One job: where it stands, its deliveries, and what happened to it."""
    with _node(config) as (common, _):
        found = _known(common, job)
        events = [asdict(event) for event in common.records.timeline(job)]
    if as_json:
        print(json.dumps(_plain(found) | {"timeline": events}))
        return 0
    print(f"{found.id}  {found.state}  {found.reason}".rstrip())
    _table("delivery", "state", "attempts", "reason", [
        (s.destination, str(s.state), s.attempts, s.reason) for s in found.sendings
    ])  # fmt: skip
    _table("at", "what", "", [(_time(e["at"]), e["kind"], e["text"]) for e in events])
    return 0


@jobs.command
def retry(job: str, config: Config = None) -> int:
    """Deliver again what is in the dead letters; start anew what has failed, was cancelled or skipped."""
    with _node(config) as (common, chain):
        found = _known(common, job)
        dead = [s.destination for s in found.sendings if s.state is State.DEAD_LETTER]
        works = [chain.resend(job, name) for name in dead] or [chain.rerun(job)]
    print("\n".join(works))
    return 0


@jobs.command
def cancel(job: str, config: Config = None) -> int:
    """Stop a job; a running analysis ends within seconds."""
    with _node(config) as (common, chain):
        _known(common, job)
        chain.cancel(job)
        print(_known(common, job).state)
    return 0


@jobs.command
def rerun(
    job: Annotated[str | None, Parameter(help="One job.")] = None,
    config: Config = None,
    *,
    since: Day = "",
    until: Annotated[str, Parameter(help="Last day, or the time at which the span ends (UTC).")] = "",
    model: Annotated[tuple[str, ...], Parameter(help="Models in the place of the node's own of their kind.")] = (),
    own_models: Annotated[bool, Parameter(help="The node's own models again.", negative="")] = False,
) -> int:
    """Analyse one job anew, or all that arrived in a span of time and whose images are still kept.

    With other models, or when the node's own have changed, a new job takes the place of the old one, and its report
    names the old one's as its predecessor.
    """
    if (job is None) == (not since):
        raise SettingsError("name one job, or a span of time with --since and --until")
    models = () if own_models else model or None
    with _node(config) as (common, chain):
        if job is not None:
            found = [_at_rest(_known(common, job))]
        else:
            span = common.records.between(moment(since), _end(until) if until else float("inf"))
            found = [one for one in span if _rests(one) and _present(one)]
        begun = [_rerun(chain, one, models) for one in found]
    return 0 if all(begun) else 1


@jobs.command
def reveal(hashed: Annotated[str, Parameter(help="As a log line has it.")], config: Config = None) -> int:
    """The UID behind a hash of the log, while its data is kept; the audit trail hears who asked."""
    from spineps_pacs.logs import hashed as pseudonym

    with _node(config) as (common, _):
        for job in common.records.between(0.0, float("inf")):
            if common.records.erased(job.id):
                continue
            for kind, uid in (("series", job.series_uid), ("study", job.study_uid)):
                if uid and pseudonym(common.salt, uid) == hashed:
                    common.audit(AuditEvent(ACCESSED, READ, getpass.getuser(), study_uid=job.study_uid))
                    print(f"{kind}  {uid}")
                    return 0
    raise Unusable("no series whose data is still kept has that hash")


@jobs.command
def recall(
    job: str,
    config: Config = None,
    *,
    reason: Annotated[str, Parameter(help="Stands in the note; no names, no dates of a patient.")] = "",
) -> int:
    """Take back what a job has sent: a rejection note (IHE IOCM) goes to everybody who accepted any of it."""
    from spineps_pacs.cli.node import opened
    from spineps_pacs.lineage import Recaller
    from spineps_pacs.producing import encode_options

    with _node(config) as (common, chain):
        options = encode_options(opened(config)())
        done = Recaller(common.records, common.outbox, chain, options).recall(job, reason)
    _table("destination", "objects received", sorted(done.received.items()))
    print("\n".join(done.works))
    return 0


def explain(series: str | None = None, config: Config = None, *, why: Why = None, as_json: Json = False) -> int:
    """Why a series was taken or skipped: each rule with its value and its limit."""
    if why is not None:
        return _dry_run(series, config, why, as_json=as_json)
    if series is None:
        raise Unusable("name a series by its UID, or with --why a changed configuration to try on all of them")
    with _node(config) as (common, _):
        found = common.records.find(series_uid=series)
    if not found:
        raise Unusable("this node knows no series of that UID")
    if as_json:
        print(json.dumps([_plain(job) for job in found]))
        return 0
    for job in found:
        print(f"{job.id}  {_time(job.created)}  {job.state}  {job.reason}".rstrip())
        if job.verdict is not None:
            _rules(job.verdict)
    return 0


def _dry_run(series: str | None, config: Path | None, changed: Path, *, as_json: bool) -> int:
    from spineps_pacs.cli.inspect import limits_of
    from spineps_pacs.cli.why import tried

    with _node(config) as (common, _):
        judged = common.records.find(series_uid=series, limit=MOST_TRIED)
    found, without = tried(judged, limits_of(changed))
    changes = [it for it in found if it.changes]
    if as_json:
        print(json.dumps({"tried": len(found), "without": without, "changes": [it.plain() for it in changes]}))
        return 0
    for it in changes if series is None else found:
        print(f"{it.job.id}  {'taken' if it.would.taken else 'skipped'}  {it.would.reason}")
        print(f"  was {'taken' if it.was.taken else 'skipped'}: {it.was.reason}")
        if series is not None:
            _rules(it.would)
    unknown = f"; {without} were stored without what they rest on" if without else ""
    print(f"{len(changes)} of {len(found)} verdicts would change{unknown}")
    return 0


def _rules(verdict: Verdict) -> None:
    rows = [(f.rule, "passed" if f.passed else "failed", f.value, f.limit) for f in verdict.findings]
    _table("rule", "", "value", "limit", rows)


@contextmanager
def _node(config: Path | None) -> Iterator[tuple[Shared, DbosChain]]:
    from spineps_pacs.app import chain, shared
    from spineps_pacs.cli.node import opened

    current = opened(config)()
    if not current.node.data_folder.is_dir():
        raise SettingsError(f"no node has run with the data folder {current.node.data_folder}")
    common = shared(current)
    queue = chain(common, current)
    try:
        yield common, queue
    finally:
        queue.close()
        common.database.dispose()


def _known(common: Shared, job_id: str) -> Job:
    found = common.records.known(job_id)
    if found is None:
        raise Unusable(f"no job has the id {job_id}")
    return found


def _at_rest(job: Job) -> Job:
    if not _rests(job):
        raise Unusable(f"job {job.id} is on its way ({job.state}): wait for its end, or cancel it first")
    return job


def _rests(job: Job) -> bool:
    return job.ended or job.state is State.DELIVERED


def _rerun(chain: DbosChain, job: Job, models: tuple[str, ...] | None) -> bool:
    """False where it was refused, with the reason."""
    try:
        print(chain.rerun(job.id, models))
    except Unusable as reason:
        print(f"{job.id}: {reason}")
        return False
    return True


def _present(job: Job) -> bool:
    """False for what another job has taken the place of: in a span of time, that one is analysed."""
    return job.state is not State.SUPERSEDED


def _plain(job: Job) -> dict[str, Any]:
    return asdict(job)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def moment(text: str) -> float:
    """Seconds since the epoch of a day or time that a person wrote."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"{text!r} is no day or time; write 2026-03-01 or 2026-03-01T12:30") from error
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _end(text: str) -> float:
    """Seconds since the epoch of the end of a day, or of a time that a person wrote."""
    whole_day = "T" not in text and " " not in text
    return moment(text) + (DAY_S if whole_day else 0.0)


def _table(*parts: Any) -> None:
    """A table: its headings, then its rows."""
    from rich.console import Console
    from rich.table import Table

    *headings, rows = parts
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)
