"""The one door: every image enters through `arrived`, and `sweep` makes a job of every series that is complete.

The loop remembers nothing: what lies in the inbox and was not yet taken as a job is what is still to come.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydicom import dcmread
from pydicom.dataset import Dataset

from spineps_pacs.domain.audit import CREATE, TRANSFERRED, Audit, AuditEvent, unheard
from spineps_pacs.domain.errors import TryAgain, Unusable
from spineps_pacs.domain.job import Job, State
from spineps_pacs.domain.ports import Chain, Datasets, Records
from spineps_pacs.domain.series import Series, fingerprint

URGENT = ("STAT", "HIGH")
URGENT_PRIORITY, NORMAL_PRIORITY = 1, 100
NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
GIVEN_UP = (State.SUPERSEDED, State.CANCELLED, State.FAILED)
SETTLED_S = 0.05
"""Longer than a tick of the file system's clock: a series that is taken can be told from one that grew just then."""


class Inbox(Datasets, Protocol):
    """The inbox also tells when something was last added."""

    def changed(self, key: str) -> float: ...


class Notes(Protocol):
    """Notes beside the inbox, by key and kind."""

    def put(self, key: str, kind: str, text: str) -> None: ...

    def get(self, key: str, kind: str) -> str | None: ...

    def forget(self, key: str, *kinds: str) -> None: ...


@dataclass(frozen=True)
class Source:
    """Who brought an image: an AE title, or "stow", "watched", "orthanc"; how urgent its series are, and from where."""

    name: str
    priority: int = NORMAL_PRIORITY
    address: str = ""


@dataclass(frozen=True)
class Arrival:
    """An image that is safe in the inbox: the key of its series, and whether it is new."""

    key: str
    sop_class_uid: str
    sop_instance_uid: str
    new: bool


@dataclass(frozen=True)
class Patience:
    """When a series is complete: quiet for so long, or for `after_release_s` after its association ended."""

    quiet_s: float = 30.0
    after_release_s: float | None = 1.0


def series_key(series_uid: str) -> str:
    """Under which key a series lies in the inbox; a hash, so that no attribute of DICOM becomes a path."""
    return fingerprint([series_uid])


def job_id(series_uid: str, instances: str, recipe: str) -> str:
    """The id of a job: series, set of instances, and the recipe (models and settings) that it is analysed with."""
    return hashlib.sha256(f"{series_uid}\n{instances}\n{recipe}".encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Desk:
    """The sockets that meet at the door."""

    inbox: Inbox
    notes: Notes
    records: Records
    chain: Chain
    audit: Audit = unheard
    urgent: Callable[[Series, str], bool] = lambda _series, _source: False
    """Whether the site wants a series of this sender before the others."""


class Reception:
    """Makes jobs of what arrives. `recipe` names models and settings, `salt` hides patients, `clock` gives seconds."""

    def __init__(
        self,
        desk: Desk,
        recipe: str,
        salt: bytes,
        patience: Callable[[], Patience],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._inbox, self._notes = desk.inbox, desk.notes
        self._records, self._chain = desk.records, desk.chain
        self._urgent = desk.urgent
        self._audit = desk.audit
        self._recipe = recipe
        self._salt = salt
        self._patience = patience
        self._clock = clock
        self._believed: set[str] = set()
        """Series whose mark "taken" was held against the records once: these may be older, out of a back-up."""

    def arrived(self, path: Path, source: Source, study_uid: str | None = None) -> Arrival:
        """Takes in one complete file; safe in the inbox when this returns.

        Raises Unusable when it is no DICOM, or not of the study that was named.
        """
        header = _header(path)
        if study_uid is not None and str(header.StudyInstanceUID) != study_uid:
            raise Unusable("the image belongs to another study than the one that was named")
        key = series_key(header.SeriesInstanceUID)
        self._remember(key, str(header.SeriesInstanceUID), source)
        new = self._inbox.add(key, fingerprint([header.SOPInstanceUID]) + ".dcm", path)
        return Arrival(key, str(header.SOPClassUID), str(header.SOPInstanceUID), new)

    def released(self, keys: Sequence[str]) -> None:
        """The association that brought these series has ended; on disk when this returns."""
        for key in keys:
            self._notes.put(key, "released", repr(self._clock()))

    def complete(self, series_uid: str) -> None:
        """Somebody who knows says that all of the series is here."""
        self._notes.put(series_key(series_uid), "complete", repr(self._clock()))

    def expect(self, series_uid: str, count: int) -> None:
        """Somebody who knows says how many instances the series has."""
        self._notes.put(series_key(series_uid), "expected", str(count))

    def sweep(self) -> list[str]:
        """Makes a job of each complete series that has none yet; gives their ids.

        A series that the disk does not give just now, or never, holds no other up; that is raised when those are done.
        """
        made: list[str] = []
        later: TryAgain | OSError | None = None
        keys = self._inbox.quiet(self._clock())
        self._believed.intersection_update(keys)
        for key in keys:
            try:
                if self._open(key) and self._is_complete(key):
                    made += self._take(key)
            except (TryAgain, OSError) as reason:
                later = reason
        if later is not None:
            raise later
        return made

    def step(self) -> None:
        """One turn of the loop."""
        self.sweep()

    def waiting(self) -> int:
        """How many series have arrived and are not yet a job."""
        return sum(self._open(key) for key in self._inbox.quiet(self._clock()))

    def _remember(self, key: str, series_uid: str, source: Source) -> None:
        if self._notes.get(key, "source") is None:
            note = {"series_uid": series_uid, "name": source.name, "priority": source.priority}
            note |= {"address": source.address} if source.address else {}
            self._notes.put(key, "source", json.dumps(note))

    def _open(self, key: str) -> bool:
        """True when something of the series was not yet taken; a folder that was made for an image is nothing yet."""
        taken = self._notes.get(key, "taken") == repr(self._inbox.changed(key))
        return not (taken and self._is_believed(key)) and bool(self._inbox.names(key))

    def _is_believed(self, key: str) -> bool:
        """True when the records know the job of a series that is marked as taken; asked once for each series."""
        if key not in self._believed and self._is_recorded(key):
            self._believed.add(key)
        return key in self._believed

    def _is_recorded(self, key: str) -> bool:
        """An erased job counts while a younger one of the series still needs the images; else they came after it."""
        named = self._notes.get(key, "job")  # a release before named none
        job = self._records.known(named) if named else None
        if named and job is None:
            return False
        note = json.loads(self._notes.get(key, "source") or "{}")
        series_uid = note.get("series_uid") or (job.series_uid if job else "")
        return any(not self._records.erased(one.id) for one in self._records.find(series_uid=str(series_uid)))

    def _is_complete(self, key: str) -> bool:
        patience, last, now = self._patience(), self._inbox.changed(key), self._clock()
        if now - last < SETTLED_S:
            return False
        if now - last >= patience.quiet_s or _time(self._notes.get(key, "complete")) >= last:
            return True
        expected = self._notes.get(key, "expected")
        if expected is not None and len(self._inbox.names(key)) >= int(expected):
            return True
        released = _time(self._notes.get(key, "released"))
        if patience.after_release_s is None or released < last:
            return False
        return now - released >= patience.after_release_s

    def _take(self, key: str) -> list[str]:
        """The job that the series makes or continues, by id; none when all of it is known."""
        changed = self._inbox.changed(key)  # before the look: what comes after it reopens the series
        note = json.loads(self._notes.get(key, "source") or "{}")
        try:
            series = self._inbox.load(key, pixels=False)
            job = self._job(series, note)
        except TryAgain:
            raise
        except Exception as error:  # noqa: BLE001  whatever a broken file raises, it must not hold the others up
            job, series = self._unreadable(key, note, error), None
        new = self._add(job, note)
        known = self._records.known(job.id)
        begins = known is not None and known.state is State.ARRIVING
        if series is not None and known is not None and begins:
            self._records.link(job.id, self._patient(series))
            self._supersede(job)
            self._chain.enqueue(known)
        self._notes.put(key, "job", job.id)
        self._notes.put(key, "taken", repr(changed))
        self._believed.add(key)
        return [job.id] if new or begins else []

    def _add(self, job: Job, note: dict[str, Any]) -> bool:
        """True when the job is new; one whose data was erased begins anew, unless its successor is still kept."""
        if self._records.known(job.id) is None:
            who, address = str(note.get("name", "")), str(note.get("address", ""))
            self._audit(AuditEvent(TRANSFERRED, CREATE, who, address=address, study_uid=job.study_uid))
            return self._records.add(job)
        if self._records.erased(job.id) and not self._is_replaced(job):
            self._records.again(job.id, State.ARRIVING, "arrived again after its data was erased")
        return False

    def _job(self, series: Series, note: dict[str, Any]) -> Job:
        stat = any(str(ds.get("RequestedProcedurePriority", "")).upper() in URGENT for ds in series.datasets)
        urgent = stat or self._urgent(series, str(note.get("name", "")))
        return Job(
            id=job_id(series.series_uid, series.fingerprint, self._recipe),
            series_uid=series.series_uid,
            study_uid=str(series.datasets[0].get("StudyInstanceUID", "")),
            fingerprint=series.fingerprint,
            source=str(note.get("name", "")),
            priority=URGENT_PRIORITY if urgent else int(note.get("priority", NORMAL_PRIORITY)),
            created=self._clock(),
            changed=self._clock(),
        )

    def _unreadable(self, key: str, note: dict[str, Any], error: Exception) -> Job:
        """A series that cannot be read is a failed job that says so, not one that vanishes."""
        instances, series_uid = fingerprint(self._inbox.names(key)), str(note.get("series_uid", ""))
        return Job(
            id=job_id(series_uid, instances, self._recipe),
            series_uid=series_uid,
            study_uid="",
            fingerprint=instances,
            state=State.FAILED,
            source=str(note.get("name", "")),
            reason=f"the series cannot be read: {type(error).__name__}",
            created=self._clock(),
            changed=self._clock(),
        )

    def _supersede(self, job: Job) -> None:
        """Older jobs of the same series saw another set of slices, or were of other models or settings; they end."""
        for old in self._records.find(series_uid=job.series_uid):
            if old.id != job.id and old.state is not State.SUPERSEDED:
                same = old.fingerprint == job.fingerprint
                reason = "analysed with other models or settings" if same else "the series changed"
                turn = self._records.again(old.id, old.state, reason)
                self._records.move(old.id, turn, State.SUPERSEDED, f"{reason}: see job {job.id}")
                self._chain.cancel(old.id)

    def _is_replaced(self, job: Job) -> bool:
        """True when another job has these slices in hand, as when a person named other models for them."""
        return any(
            old.id != job.id
            and old.fingerprint == job.fingerprint
            and old.state not in GIVEN_UP
            and not self._records.erased(old.id)
            for old in self._records.find(series_uid=job.series_uid)
        )

    def _patient(self, series: Series) -> str:
        header = series.datasets[0]
        parts = (str(header.get("PatientID", "")), str(header.get("IssuerOfPatientID", "")))
        if not parts[0]:
            return ""
        return hmac.new(self._salt, "\n".join(parts).encode(), hashlib.sha256).hexdigest()[:32]


def _header(path: Path) -> Dataset:
    """What names an image. No reason quotes the file: it may be a patient's name that stands where a UID should."""
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=list(NEEDED))
        values = {keyword: header.get(keyword) for keyword in NEEDED}  # only here are they converted
    except Exception as error:  # broken files raise many kinds
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault, not the file's
        raise Unusable(f"the file cannot be read as DICOM: {type(error).__name__}") from error
    for keyword, value in values.items():
        if not value or not isinstance(value, str):
            raise Unusable(f"the image has {'several values' if value else 'no value'} in {keyword}")
    return header


def _time(text: str | None) -> float:
    return float("-inf") if text is None else float(text)
