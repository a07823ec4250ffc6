"""What is asked of an archive, and what it has: plain questions and answers, whichever protocol carries them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from spineps_pacs.domain.errors import SettingsError

UID = re.compile(r"[0-9]+(\.[0-9]+)*")
DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")


@dataclass(frozen=True)
class Query:
    """Which series; empty fields let everything through. Days are written 2026-03-01, both ends belong to the span."""

    accession: str = ""
    study_uid: str = ""
    series_uid: str = ""
    since: str = ""
    until: str = ""
    description: str = ""
    modality: str = "MR"

    def __post_init__(self) -> None:
        if not (self.accession or self.study_uid or self.since):
            raise SettingsError("name an accession number, a study, or days with --since and --until")
        for day in filter(None, (self.since, self.until)):
            if not DAY.fullmatch(day):
                raise SettingsError(f"{day!r} is no day; write it as 2026-03-01")
        for uid in filter(None, (self.study_uid, self.series_uid)):
            if not UID.fullmatch(uid):
                raise SettingsError(f"{uid!r} is no UID")

    @property
    def days(self) -> str:
        """The span of study dates as DICOM writes it (PS3.4 C.2.2.2.5); "" for any."""
        if not self.since and not self.until:
            return ""
        return f"{self.since.replace('-', '')}-{self.until.replace('-', '')}"

    def takes(self, found: Found) -> bool:
        """True when what an archive answered was asked for; not every archive heeds every key."""
        return (
            (not found.modality or found.modality == self.modality)
            and (not self.series_uid or found.series_uid == self.series_uid)
            and self.description.lower() in found.description.lower()
            and bool(UID.fullmatch(found.study_uid) and UID.fullmatch(found.series_uid))
        )


@dataclass(frozen=True)
class Found:
    """One series that an archive has; `instances` is 0 where it does not say how many."""

    study_uid: str
    series_uid: str
    modality: str = ""
    description: str = ""
    instances: int = 0


class Archive(Protocol):
    """Somewhere series can be fetched from."""

    def find(self, query: Query) -> Iterator[Found]:
        """Raises TryAgain when it gives no answer."""
        ...

    def fetch(self, found: Found) -> int:
        """Has the images of a series sent; gives how many. Raises TryAgain when not all of them came."""
        ...


def number(text: object) -> int:
    """A count as archives write it; 0 for what is none."""
    written = str(text or "").strip()
    return int(written) if written.isascii() and written.isdecimal() else 0
