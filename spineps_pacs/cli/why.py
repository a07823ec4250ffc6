"""What a changed configuration would have said of the series that a node has judged; nothing is changed by asking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from spineps_pacs.domain.job import Job, Verdict
from spineps_pacs.intake.facts import Facts
from spineps_pacs.intake.limits import Limits
from spineps_pacs.intake.selection import judge_facts


@dataclass(frozen=True)
class Tried:
    """A job, what was said of its series, and what other limits would say."""

    job: Job
    was: Verdict
    would: Verdict

    @property
    def changes(self) -> bool:
        """True when it would be taken instead of skipped, or the other way round."""
        return self.was.taken != self.would.taken

    def plain(self) -> dict[str, Any]:
        """For machines."""
        told = {
            name: {"taken": it.taken, "reason": it.reason} for name, it in (("was", self.was), ("would", self.would))
        }
        return {"job": self.job.id, "source": self.job.source, **told}


def tried(jobs: Iterable[Job], limits: Limits) -> tuple[list[Tried], int]:
    """Every stored verdict under other limits, and how many verdicts were stored without what they rest on."""
    found, without = [], 0
    for job in jobs:
        if job.verdict is not None and job.verdict.facts:
            would = judge_facts(Facts.from_json(job.verdict.facts), limits, job.source)
            found.append(Tried(job, job.verdict, would))
        else:
            without += job.verdict is not None
    return found, without
