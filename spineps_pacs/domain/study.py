"""Stations of one study: what is kept of each for joining, and the one numbering that they make together."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from spineps_pacs.domain.report import Point


@dataclass(frozen=True)
class Body:
    """One vertebra of a station: instance, centre of its body (LPS mm), level or None where it was only counted."""

    instance: int
    centre: Point
    level: int | None
    confidence: float


@dataclass(frozen=True)
class Station:
    """What joining needs of one report, and nothing that names a patient.

    `frame` is the digest of its frame of reference, empty where it has none.
    """

    frame: str
    bodies: tuple[Body, ...]
    demonstration: bool = False

    def to_json(self) -> str:
        """To be kept beside the result."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, kept: str) -> Station:
        """As it was kept."""
        found = json.loads(kept)
        bodies = (Body(b["instance"], tuple(b["centre"]), b["level"], b["confidence"]) for b in found["bodies"])
        return cls(found["frame"], tuple(bodies), found["demonstration"])


@dataclass(frozen=True)
class Seen:
    """One vertebra as one station saw it; `station` counts from 0."""

    station: int
    body: Body

    @property
    def level(self) -> int | None:
        """What the station calls it."""
        return self.body.level


@dataclass(frozen=True)
class JoinedLevel:
    """One vertebra of the study: its name (None where no station could tell), and what each station said."""

    level: int | None
    seen: tuple[Seen, ...]

    @property
    def agreed(self) -> bool:
        """True when every station that named it gave it the name that it has."""
        return all(s.level == self.level for s in self.seen if s.level is not None)

    @property
    def confidence(self) -> float | None:
        """That of the surest station that gives it its name."""
        said = [s.body.confidence for s in self.seen if s.level is not None and s.level == self.level]
        return max(said, default=None)


@dataclass(frozen=True)
class JoinedLevels:
    """All vertebrae from the head down; `margin` is how much support the best different numbering lacks."""

    levels: tuple[JoinedLevel, ...]
    margin: float | None
    flags: tuple[str, ...]
