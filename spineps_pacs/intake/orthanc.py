"""Series handed over by Orthanc's plugin: their ids by HTTP on loopback, their images by Orthanc's REST.

What was handed over is a note until all of its images are in the inbox; a restart goes on with what is noted.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import requests

from spineps_pacs.domain.errors import TryAgain, Unusable
from spineps_pacs.intake.dimse import Log
from spineps_pacs.intake.reception import Arrival, Source, series_key

ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
HANDED, SERIES, NOW, LATER = "handed", "series", "now", "later"
NORMAL = 100
OURS_ALONE = {"SEG", "SR", "PR", "KO", "RTSTRUCT", "OT", "DOC"}
CHUNK = 1 << 20


class Door(Protocol):
    """Where images enter, and where one may say that all of a series is there."""

    def arrived(self, path: Path, source: Source) -> Arrival: ...

    def complete(self, series_uid: str) -> None: ...


class Notes(Protocol):
    """Notes by key and kind."""

    def put(self, key: str, kind: str, text: str) -> None: ...

    def get(self, key: str, kind: str) -> str | None: ...

    def forget(self, key: str, *kinds: str) -> None: ...

    def keys(self, kind: str) -> list[str]: ...


@dataclass(frozen=True)
class OrthancPeer:
    """Orthanc's REST, with a session that is bounded in time."""

    url: str
    session: Callable[[], requests.Session]


class OrthancIntake:
    """Pulls the series that were handed over; `step` pulls all that are noted."""

    def __init__(self, door: Door, notes: Notes, peer: OrthancPeer, staging: Path, log: Log) -> None:
        self._door = door
        self._notes = notes
        self._peer = peer
        self._staging = staging
        self._log = log
        self._noting = threading.Lock()

    def hand_over(self, orthanc_id: str, now: bool = False, priority: int = NORMAL) -> None:
        """Notes the id of a series; on disk when this returns. `now`: whatever its modality.

        No two notes are alike: one that comes during a pull is not taken for the one that the pull began with.
        """
        note = f"{priority} {NOW if now else LATER} {uuid.uuid4().hex}"
        with self._noting:
            self._notes.put(orthanc_id, HANDED, note)

    def series_of(self, orthanc_id: str) -> str | None:
        """The SeriesInstanceUID behind an id of Orthanc, once it was pulled."""
        return self._notes.get(orthanc_id, SERIES)

    def step(self) -> int:
        """Pulls what was handed over; gives how many series. One that fails stays noted."""
        pulled = 0
        for orthanc_id in self._notes.keys(HANDED):
            note = self._notes.get(orthanc_id, HANDED) or ""
            try:
                self._pull(orthanc_id, note)
            except (TryAgain, requests.RequestException, OSError, ValueError) as error:
                self._log("a series cannot be pulled from Orthanc yet", reason=type(error).__name__)
                continue
            self._done(orthanc_id, note)
            pulled += 1
        return pulled

    def tidy(self) -> int:
        """Forgets the UIDs of series that were erased; gives how many."""
        known = {orthanc_id: self.series_of(orthanc_id) for orthanc_id in self._notes.keys(SERIES)}
        gone = [one for one, series in known.items() if self._notes.get(series_key(series or ""), "source") is None]
        for orthanc_id in gone:
            self._notes.forget(orthanc_id, SERIES)
        return len(gone)

    def _done(self, orthanc_id: str, note: str) -> None:
        """Forgets what was pulled, unless it was handed over once more: Orthanc may have more of it than was listed."""
        with self._noting:
            if (self._notes.get(orthanc_id, HANDED) or "") == note:
                self._notes.forget(orthanc_id, HANDED)

    def _pull(self, orthanc_id: str, note: str) -> None:
        priority, now = _noted(note)
        with self._peer.session() as session:
            answer = session.get(f"{self._peer.url}/series/{orthanc_id}")
            if answer.status_code == requests.codes.not_found:
                return
            answer.raise_for_status()
            found = answer.json()
            tags = found.get("MainDicomTags", {})
            if tags.get("Modality") in OURS_ALONE and not now:
                return
            for instance in found["Instances"]:
                self._fetch(session, str(instance), Source("orthanc", priority))
        self._notes.put(orthanc_id, SERIES, str(tags["SeriesInstanceUID"]))
        self._door.complete(str(tags["SeriesInstanceUID"]))

    def _fetch(self, session: requests.Session, instance: str, source: Source) -> None:
        if not ORTHANC_ID.fullmatch(instance):
            raise ValueError("an instance without a proper id")
        path = self._staging / f"{uuid.uuid4().hex}.part"
        try:
            with session.get(f"{self._peer.url}/instances/{instance}/file", stream=True) as answer:
                answer.raise_for_status()
                with path.open("wb") as file:
                    for chunk in answer.iter_content(CHUNK):
                        file.write(chunk)
            self._door.arrived(path, source)
        except Unusable as reason:
            self._log("an image from Orthanc was left", reason=str(reason))
        finally:
            path.unlink(missing_ok=True)


def _noted(text: str) -> tuple[int, bool]:
    """Priority, and whether a person wants it; releases before wrote "urgent" for both, or nothing after a priority."""
    if text == "urgent":
        return 1, True
    priority, *rest = text.split() or [str(NORMAL)]
    return int(priority), NOW in rest[:1]
