"""The report: all that was found in one series, the single source of every object that we write."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from spineps_pacs.domain.masks import InstanceMask, Levels, SemanticMask
from spineps_pacs.domain.volume import Volume

Point = tuple[float, float, float]


class Missing(StrEnum):
    """Why a number was not given; each has its code in DICOM context group 42."""

    FAILED = "measurement failure"
    NOT_ATTEMPTED = "measurement not attempted"
    OUT_OF_RANGE = "value out of range"


@dataclass(frozen=True)
class Measurement:
    """One number. `kind` is a key of anatomy.MEASUREMENTS, `subject` an instance id, or 0 for the whole spine.

    `other` is the second instance of a pair (slip, angle). Exactly one of `value` and `missing` is set.
    `uncertainty` is the half width of the 95 % interval, same unit. `points` (LPS mm) are the line that was measured.
    """

    kind: str
    subject: int
    value: float | None
    other: int | None = None
    uncertainty: float | None = None
    missing: Missing | None = None
    reason: str = ""
    points: tuple[Point, ...] = ()

    def __post_init__(self) -> None:
        if (self.value is None) == (self.missing is None):
            raise ValueError(f"{self.kind} of {self.subject}: either a value or a reason why there is none")


@dataclass(frozen=True)
class ModelUsed:
    """One model that took part: role (semantic, instance, labeling, small-fov), name, version, SHA-256 of its files.

    `demonstration` is true for the embedded model trained on synthetic spines.
    """

    role: str
    name: str
    version: str
    digest: str
    demonstration: bool = False


@dataclass(frozen=True)
class FoldSpread:
    """How far the folds of the semantic model disagree on one structure: mean and spread of its volume, mm3."""

    structure: int
    mean_mm3: float
    spread_mm3: float


@dataclass(frozen=True)
class Flag:
    """Something a reader must know: a key of anatomy.FLAGS, a sentence, and the instances it concerns."""

    kind: str
    sentence: str
    instances: tuple[int, ...] = ()


@dataclass(frozen=True)
class SecondOpinion:
    """What a second labeller said of the names: the verdict on the series, and why, in a sentence.

    `shift` is by how many levels its names lie lower when all do; `confidence` the least joined one of the names shown.
    `flagged` is whether a reader is warned. `names` is what it calls each instance of the report that it saw.
    """

    verdict: str
    sentence: str
    flagged: bool
    shift: int | None = None
    confidence: float | None = None
    names: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Report:
    """What was found in one series, on the source grid. Timings are kept apart: they take no part in identity."""

    volume: Volume
    structures: SemanticMask
    instances: InstanceMask
    levels: Levels
    measurements: tuple[Measurement, ...]
    models: tuple[ModelUsed, ...]
    mode: str
    flags: tuple[Flag, ...] = ()
    folds: tuple[FoldSpread, ...] = ()
    timings_s: tuple[tuple[str, float], ...] = field(default=())
    second: SecondOpinion | None = None

    @property
    def demonstration(self) -> bool:
        """True when any model that took part is the embedded demonstration model."""
        return any(model.demonstration for model in self.models)
