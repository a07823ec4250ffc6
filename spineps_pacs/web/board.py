"""What the pages need from the rest of the node: one socket, and the plain things that come through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from spineps_pacs.domain.job import Job, State
from spineps_pacs.domain.ports import Event, Receipt

PAGE = 50
"""Series on one page of a list."""


@dataclass(frozen=True)
class Wanted:
    """Which jobs a list shows; empty fields let everything through. Times are seconds since the epoch."""

    state: State | None = None
    source: str = ""
    reason: str = ""
    since: float = 0.0
    until: float = 0.0
    page: int = 1
    size: int = PAGE


@dataclass(frozen=True)
class Listing:
    """One page of jobs, newest first, and how many there are in all."""

    jobs: tuple[Job, ...]
    total: int


@dataclass(frozen=True)
class Detail:
    """All that is known of one job. `receipts` by destination; `report` is report.json while it is kept.

    `study` is study.json of a job that joins the stations of a study: their levels, and where they disagree.
    """

    job: Job
    timeline: tuple[Event, ...] = ()
    receipts: Mapping[str, Sequence[Receipt]] = field(default_factory=dict)
    erased: bool = False
    report: Mapping[str, Any] | None = None
    patient: str = ""
    study: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Incoming:
    """A series of which images still come in: how many are here, and when the last one came."""

    series_uid: str
    source: str
    images: int
    last: float


@dataclass(frozen=True)
class Pictures:
    """Which layers are kept of a result: slices from the patient's right, the one to begin with, and the coronal one.

    Slice n is the file `sagittal-n.png` and its overlay `sagittal-n-overlay.png`; the coronal view likewise.
    """

    slices: tuple[int, ...]
    middle: int
    coronal: bool


@dataclass(frozen=True)
class Fact:
    """One line of health: what was looked at, whether it is well, what was found, and what to do when it is not."""

    name: str
    good: bool
    text: str
    advice: str = ""


@dataclass(frozen=True)
class PeerFact:
    """How a destination answered when it was last asked (C-ECHO, or its web interface)."""

    name: str
    kind: str
    good: bool | None
    text: str
    asked: float = 0.0


@dataclass(frozen=True)
class ModelFact:
    """A model that the node has or used."""

    role: str
    name: str
    version: str
    digest: str
    demonstration: bool = False


@dataclass(frozen=True)
class GpuFact:
    """A GPU of this host: its number and name, bytes used and in all, and which part of the time it computes."""

    number: str
    name: str
    used_bytes: float | None
    total_bytes: float | None
    busy: float | None


@dataclass(frozen=True)
class Health:
    """How the node is."""

    facts: tuple[Fact, ...] = ()
    peers: tuple[PeerFact, ...] = ()
    models: tuple[ModelFact, ...] = ()
    gpus: tuple[GpuFact, ...] = ()
    free_bytes: int = 0
    total_bytes: int = 0

    @property
    def good(self) -> bool:
        """True when nothing needs a person."""
        return all(fact.good for fact in self.facts) and all(peer.good is not False for peer in self.peers)


@dataclass(frozen=True)
class DriftRow:
    """One scanner in one week: means over its analysed series, and how many were taken, skipped, and why."""

    source: str
    week: str
    taken: int = 0
    skipped: int = 0
    levels: float | None = None
    confidence: float | None = None
    volume_cm3: float | None = None
    reasons: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Tally:
    """Counts for the metrics: oldest job and number by state, sendings by destination and state, verdicts by rule.

    `opinions` counts series by the second labeller's verdict and whether they were flagged, `refusals` what the DICOM
    port turned away since the process began.
    """

    states: Mapping[State, int]
    oldest: Mapping[State, float]
    sendings: Mapping[tuple[str, State], int]
    verdicts: Mapping[str, int]
    phases_s: Mapping[str, tuple[int, float]]
    opinions: Mapping[tuple[str, bool], int] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)


class Board(Protocol):
    """What pages read, and the three buttons."""

    def jobs(self, wanted: Wanted) -> Listing: ...

    def arriving(self) -> Sequence[Incoming]:
        """Series that are not complete yet, newest first."""
        ...

    def active(self) -> Sequence[Job]:
        """Jobs that are on their way, newest first."""
        ...

    def eta_s(self) -> float | None:
        """How long an analysis usually takes; None before the first."""
        ...

    def sources(self) -> Sequence[str]: ...

    def job(self, job_id: str) -> Detail | None: ...

    def counts(self) -> Mapping[State, int]: ...

    def pictures(self, job_id: str) -> Pictures | None: ...

    def file(self, job_id: str, name: str) -> Path | None:
        """A kept page file (PNG, report.json, levels.csv); None when there is none of that name."""
        ...

    def object(self, job_id: str, name: str) -> Path | None:
        """A result object; only where the site shows patients."""
        ...

    def objects(self, job_id: str) -> Sequence[str]:
        """Names of the result objects that are kept."""
        ...

    def health(self) -> Health: ...

    def ready(self) -> bool:
        """True when the database answers and the disk takes more."""
        ...

    def choices(self) -> Mapping[str, Sequence[str]]:
        """Models that a re-run may take, by what they do; what has only one model is left out."""
        ...

    def drift(self) -> Sequence[DriftRow]: ...

    def tally(self) -> Tally: ...

    def retry(self, job_id: str) -> None:
        """Sends again what is in the dead letters, else starts anew; raises Unusable when it cannot be."""
        ...

    def cancel(self, job_id: str) -> None: ...

    def rerun(self, job_id: str, models: Sequence[str] | None = None) -> None:
        """Analyses it anew; with these models in the place of the node's own, () for its own, None for those it had."""
        ...
