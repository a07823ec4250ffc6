"""`spineps-pacs support-bundle`: what a developer needs to understand a fault, and nothing of any patient."""

from __future__ import annotations

import json
import platform
import re
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from spineps_pacs import logs

if TYPE_CHECKING:
    from spineps_pacs.app import Shared
    from spineps_pacs.domain.job import Job
    from spineps_pacs.settings import Settings

Config = Annotated[Path | None, Parameter(name=["--config", "-c"], help="The configuration file of the node.")]
MOST_JOBS = 200
_UID = re.compile(r"\b\d+(?:\.\d+){4,}\b")
_HIDDEN = {"user", "url", "webhook", "receivers", "sender", "descriptions", "include", "exclude", "password", "token"}
"""Keys of the configuration whose values are left out: they may name people or hold credentials."""


def support_bundle(config: Config = None, *, out: Path = Path("support-bundle.zip"), log: Path | None = None) -> int:
    """Write a zip with versions, configuration without secrets, the checks, counts and the newest jobs' timelines.

    UIDs are replaced by the site's salted hashes, as in the log. No image, no result, no patient is in it.

    Parameters
    ----------
    out
        Where the zip is written.
    log
        A file with the node's log, which holds no patient either; its UIDs are replaced once more.
    """
    from spineps_pacs.app import shared
    from spineps_pacs.cli.check import checks
    from spineps_pacs.cli.node import opened

    current = opened(config)()
    common = shared(current)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("versions.txt", "\n".join(_versions()) + "\n")
        bundle.writestr("configuration.json", json.dumps(configuration(current), indent=1))
        bundle.writestr("check.txt", scrubbed("\n".join(line.text() for line in checks(current)), common.salt))
        bundle.writestr("jobs.json", json.dumps(list(jobs(common)), indent=1))
        if log is not None:
            bundle.writestr("node.log", scrubbed(log.read_text(encoding="utf-8", errors="replace"), common.salt))
    common.database.dispose()
    print(f"{out}: read it before you send it; it holds no patient, but names of hosts and AE titles")
    return 0


def scrubbed(text: str, salt: bytes) -> str:
    """The text with each UID replaced by its salted hash."""
    return _UID.sub(lambda found: f"#{logs.hashed(salt, found.group())}", text)


def configuration(current: Settings) -> Any:
    """The settings in force, without what may name people or hold credentials."""
    return _without(current.model_dump(mode="json"))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "(left out)" if k in _HIDDEN and v else _without(v) for k, v in value.items()}
    return [_without(v) for v in value] if isinstance(value, list) else value


def jobs(common: Shared) -> Iterator[dict[str, Any]]:
    """The newest jobs with their timelines, UIDs hashed."""
    for job in common.records.find(limit=MOST_JOBS):
        yield _job(job, common)


def _job(job: Job, common: Shared) -> dict[str, Any]:
    def clean(text: str) -> str:
        return scrubbed(text, common.salt)

    findings = job.verdict.findings if job.verdict else ()
    return {
        "id": job.id,
        "series": logs.hashed(common.salt, job.series_uid),
        "source": job.source,
        "state": str(job.state),
        "reason": clean(job.reason),
        "created": job.created,
        "changed": job.changed,
        "verdict": [(f.rule, f.passed, clean(f.limit)) for f in findings],
        "sendings": [(s.destination, str(s.state), s.attempts, clean(s.reason)) for s in job.sendings],
        "timeline": [(e.at, e.kind, clean(e.text)) for e in common.records.timeline(job.id)],
    }


def _versions() -> list[str]:
    packages = sorted({f"{d.metadata['Name']} {d.version}" for d in distributions()}, key=str.lower)
    return [f"Python {platform.python_version()}", platform.platform(), *packages]
