"""A job: one series with one set of instances on its way through the node; its states, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

STUDY = "study"
"""The source of a job that nobody sent: it joins the stations of a study, and has no images of its own."""


class State(StrEnum):
    """Where a job stands."""

    ARRIVING = "arriving"
    WAITING = "waiting"
    ANALYSING = "analysing"
    ANALYSED = "analysed"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    CONFIRMED = "confirmed"
    SKIPPED = "skipped"
    FAILED = "failed"
    DEAD_LETTER = "dead letter"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


_ENDED = frozenset({State.SKIPPED, State.FAILED, State.CANCELLED, State.SUPERSEDED, State.CONFIRMED})

FOLLOWS: dict[State, frozenset[State]] = {
    State.ARRIVING: frozenset({State.WAITING, State.SKIPPED, State.FAILED, State.CANCELLED, State.SUPERSEDED}),
    State.WAITING: frozenset({State.ANALYSING, State.FAILED, State.CANCELLED, State.SUPERSEDED}),
    State.ANALYSING: frozenset({State.ANALYSED, State.WAITING, State.FAILED, State.CANCELLED, State.SUPERSEDED}),
    State.ANALYSED: frozenset({State.DELIVERING, State.DELIVERED, State.FAILED, State.CANCELLED, State.SUPERSEDED}),
    State.DELIVERING: frozenset(
        {State.DELIVERED, State.CONFIRMED, State.DEAD_LETTER, State.FAILED, State.CANCELLED, State.SUPERSEDED}
    ),
    State.DELIVERED: frozenset({State.CONFIRMED, State.DELIVERING, State.DEAD_LETTER, State.SUPERSEDED}),
    State.CONFIRMED: frozenset({State.SUPERSEDED}),
    State.DEAD_LETTER: frozenset({State.DELIVERING, State.CANCELLED, State.SUPERSEDED}),
    State.FAILED: frozenset({State.WAITING, State.CANCELLED, State.SUPERSEDED}),
    State.CANCELLED: frozenset({State.WAITING, State.SUPERSEDED}),
    State.SKIPPED: frozenset({State.WAITING, State.SUPERSEDED}),
    State.SUPERSEDED: frozenset(),
}
"""Which state may follow which. A person may send a failed, cancelled or skipped job back to waiting."""


@dataclass(frozen=True)
class Finding:
    """What one selection rule said: its name, whether the series passed, the measured value, and the limit."""

    rule: str
    passed: bool
    value: str
    limit: str


@dataclass(frozen=True)
class Verdict:
    """All rules on one series; taken when all passed. `reason` is one sentence for people.

    `facts` is what the rules were asked of, as JSON, so that other limits can be tried on it later.
    """

    taken: bool
    reason: str
    findings: tuple[Finding, ...] = ()
    facts: str = ""


@dataclass(frozen=True)
class Sending:
    """How one destination stands with the results of one job."""

    destination: str
    state: State = State.ANALYSED
    attempts: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Job:
    """One series and one set of its instances. Nothing here identifies a patient.

    `id` derives from series UID, fingerprint, models and settings digest. Times are seconds since the epoch. `models`
    names those that take the place of the node's own.
    """

    id: str
    series_uid: str
    study_uid: str
    fingerprint: str
    state: State = State.ARRIVING
    source: str = ""
    reason: str = ""
    priority: int = 100
    attempts: int = 0
    created: float = 0.0
    changed: float = 0.0
    phase: str = ""
    progress: float = 0.0
    verdict: Verdict | None = None
    sendings: tuple[Sending, ...] = ()
    results: tuple[str, ...] = field(default=())
    models: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """True when nothing more happens by itself."""
        return self.state in _ENDED or self.state is State.DEAD_LETTER

    @property
    def cancellable(self) -> bool:
        """True while something is to be done for it, and where a delivery was given up."""
        return self.state is State.DEAD_LETTER or not (self.ended or self.state is State.DELIVERED)

    def becomes(self, state: State, at: float, reason: str = "") -> Job:
        """The job in its next state; an impossible step is a bug and raises."""
        if state is not self.state and state not in FOLLOWS[self.state]:
            raise ValueError(f"job {self.id}: {self.state} cannot become {state}")
        return replace(self, state=state, changed=at, reason=reason)
