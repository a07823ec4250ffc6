"""Series out of an archive by C-FIND and C-MOVE (PS3.4 annex C): it sends them to our DICOM port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove as Move

from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.intake.query import Found, Query, number

PENDING = (0xFF00, 0xFF01)
NOBODY_OF_THAT_NAME = 0xA801  # PS3.4 C.4.2.1.5


class Peer(Protocol):
    """Whom we call."""

    @property
    def called_ae(self) -> str: ...

    def association(self, contexts: Sequence[PresentationContext]) -> AbstractContextManager[Association]: ...


class DimseArchive:
    """`Archive` over C-FIND and C-MOVE; `move_to` is the AE title of our port as the archive knows it."""

    def __init__(self, peer: Peer, move_to: str) -> None:
        self._peer = peer
        self._move_to = move_to

    def find(self, query: Query) -> Iterator[Found]:
        """Series by series of each study."""
        for study in self._studies(query):
            asked = _keys("SERIES", StudyInstanceUID=study, SeriesInstanceUID=query.series_uid, Modality=query.modality)
            asked.SeriesDescription = asked.NumberOfSeriesRelatedInstances = ""
            for answer in list(self._answers(asked)):
                found = _found(study, answer)
                if query.takes(found):
                    yield found

    def fetch(self, found: Found) -> int:
        """Has one series sent to our port; gives how many images the archive says it sent."""
        asked = _keys("SERIES", StudyInstanceUID=found.study_uid, SeriesInstanceUID=found.series_uid)
        with self._peer.association([build_context(Move)]) as association:
            statuses = [status for status, _ in association.send_c_move(asked, self._move_to, Move)]
        return self._moved(statuses[-1] if statuses else Dataset())

    def _moved(self, last: Dataset) -> int:
        status = last.get("Status")
        failed = int(last.get("NumberOfFailedSuboperations") or 0)
        if status == NOBODY_OF_THAT_NAME:
            raise TryAgain(f"{self._peer.called_ae} does not know {self._move_to!r}: have our port registered there")
        if status != 0x0000 or failed:
            said = "nothing" if status is None else f"0x{int(status):04X}"
            raise TryAgain(f"{self._peer.called_ae} answers C-MOVE with {said}, {failed} images were not sent")
        return int(last.get("NumberOfCompletedSuboperations") or 0)

    def _studies(self, query: Query) -> list[str]:
        if query.study_uid and not query.accession and not query.days:
            return [query.study_uid]
        asked = _keys("STUDY", StudyInstanceUID=query.study_uid, AccessionNumber=query.accession, StudyDate=query.days)
        return sorted({str(answer.get("StudyInstanceUID", "")) for answer in self._answers(asked)} - {""})

    def _answers(self, asked: Dataset) -> Iterator[Dataset]:
        with self._peer.association([build_context(Find)]) as association:
            for status, answer in association.send_c_find(asked, Find):
                if "Status" not in status:
                    raise TryAgain(f"{self._peer.called_ae} hung up during C-FIND")
                if status.Status in PENDING and answer is not None:
                    yield answer
                elif status.Status != 0x0000:
                    raise TryAgain(f"{self._peer.called_ae} answers C-FIND with 0x{int(status.Status):04X}")


def _keys(level: str, **keys: str) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return asked


def _found(study: str, answer: Any) -> Found:
    series, modality, description = (
        str(answer.get(keyword) or "") for keyword in ("SeriesInstanceUID", "Modality", "SeriesDescription")
    )
    return Found(study, series, modality, description, number(answer.get("NumberOfSeriesRelatedInstances")))
