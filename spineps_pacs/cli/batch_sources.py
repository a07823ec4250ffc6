"""Where a batch has its series from: a folder tree, or the answer of an archive, fetched one series at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spineps_pacs.domain.errors import TryAgain, Unusable
from spineps_pacs.domain.series import fingerprint
from spineps_pacs.intake import scan

if TYPE_CHECKING:
    from spineps_pacs.intake.query import Archive, Query
    from spineps_pacs.intake.reception import Arrival, Source
    from spineps_pacs.settings import Pacs, Settings
    from spineps_pacs.storage.ledger import Ledger

INCOMING = ".incoming"


class SeriesSource(Protocol):
    """Says which series there are, and has the files of one at hand for as long as they are needed."""

    def index(self, ledger: Ledger) -> None: ...

    @contextmanager
    def files(self, ledger: Ledger, uid: str) -> Iterator[list[Path]]: ...


@dataclass(frozen=True)
class FolderSource:
    """A folder tree; what was looked at before is not read again."""

    root: Path

    def index(self, ledger: Ledger) -> None:
        """Notes which file belongs to which series."""
        for path in scan.files(self.root):
            if ledger.knows(path):
                continue
            try:
                uid = str(scan.header(path).get("SeriesInstanceUID", "") or "")
            except Unusable as reason:
                ledger.note_unreadable(path, str(reason))
                continue
            if uid:
                ledger.note(path, uid)
            else:
                ledger.note_unreadable(path, "no SeriesInstanceUID")

    @contextmanager
    def files(self, ledger: Ledger, uid: str) -> Iterator[list[Path]]:
        """They lie where they are."""
        yield ledger.files_of(uid)


class ArchiveSource:
    """The answer of an archive; the images of one series at a time lie in a folder beside the results."""

    def __init__(self, archive: Archive, queries: Sequence[Query], caught: Catch) -> None:
        self._archive = archive
        self._queries = queries
        self._caught = caught

    def index(self, ledger: Ledger) -> None:
        """Asks anew, since an archive grows; what is known stays as it stands."""
        for query in self._queries:
            for found in self._archive.find(query):
                ledger.note_remote(found.series_uid, found.study_uid, found.instances)

    @contextmanager
    def files(self, ledger: Ledger, uid: str) -> Iterator[list[Path]]:
        """Fetched, and removed afterwards."""
        from spineps_pacs.intake.query import Found

        study, instances = ledger.remote(uid)
        try:
            sent = self._archive.fetch(Found(study, uid, instances=instances))
            paths = self._caught.files_of(uid)
            if len(paths) < sent:
                raise TryAgain(f"the archive sent {sent} images, {len(paths)} came here: where does move_to lead?")
            yield paths
        finally:
            self._caught.forget(uid)


class Catch:
    """Keeps what an archive sends, a folder a series; names are hashes."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.staging = folder / "staging"
        self.staging.mkdir(parents=True)
        self._folder = folder

    def arrived(self, path: Path, source: Source, study_uid: str | None = None) -> Arrival:  # noqa: ARG002  as every door
        """One file, which moves in."""
        from spineps_pacs.intake.reception import Arrival

        header = scan.header(path)
        series, sop_class, instance = (
            str(header.get(key, "")) for key in ("SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
        )
        key = fingerprint([series])
        (self._folder / key).mkdir(exist_ok=True)
        path.replace(self._folder / key / f"{fingerprint([instance])}.dcm")
        return Arrival(key, sop_class, instance, new=True)

    def released(self, keys: Sequence[str]) -> None:
        """The archive says itself when a series is whole."""

    def files_of(self, series_uid: str) -> list[Path]:
        """What came of a series."""
        return sorted((self._folder / fingerprint([series_uid])).glob("*.dcm"))

    def forget(self, series_uid: str) -> None:
        """Removes it."""
        shutil.rmtree(self._folder / fingerprint([series_uid]), ignore_errors=True)


@contextmanager
def opened_archive(current: Settings, name: str, queries: Sequence[Query], out: Path) -> Iterator[ArchiveSource]:
    """An archive of the configuration; for C-MOVE the DICOM port of the configuration is ours for that time."""
    from spineps_pacs import outlets
    from spineps_pacs.intake.reception import Source

    chosen, caught = outlets.named_pacs(current, name), Catch(out / INCOMING)
    source = Source(chosen.name)
    archive = outlets.archive(chosen, current, caught.staging, lambda path: caught.arrived(path, source))
    port = _port(current, chosen, caught) if chosen.kind == "dicom" else None
    try:
        yield ArchiveSource(archive, queries, caught)
    finally:
        if port is not None:
            port.close()
        shutil.rmtree(out / INCOMING, ignore_errors=True)


def _port(current: Settings, chosen: Pacs, caught: Catch) -> Any:
    from spineps_pacs.intake.dimse import DicomPort, Limits, Port
    from spineps_pacs.intake.gate import Caller, GuestList
    from spineps_pacs.outlets import door_tls

    guests = GuestList((Caller(chosen.called_ae or "ANY-SCP"),), called_ae="")
    now = current.dicom
    at = Port(chosen.move_to or now.ae_title, now.host, now.port, max_pdu=now.max_pdu)
    port = DicomPort(caught, at, lambda: Limits(guests), lambda: True, lambda *_, **__: None)
    port.open(caught.staging, door_tls(now))
    return port
