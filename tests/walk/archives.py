"""An archive on loopback that can be asked and fetched from: C-FIND and C-MOVE, with the faults that archives have."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove as Move

NOT_NEGOTIATED = "1.2.840.10008.5.1.4.1.1.2"
KEYS = ("AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID", "Modality")


class FakeArchive:
    """Answers as PS3.4 annex C has it; `destinations` are the AE titles that it knows, each with its port."""

    def __init__(self, images: Sequence[Dataset], destinations: dict[str, int], deaf: bool = False) -> None:
        self.images = list(images)
        self.destinations = destinations
        self.keeps_back = 0
        self.asked: list[Dataset] = []
        ae = AE("ARCHIVE")
        ae.supported_contexts = [] if deaf else [build_context(Find), build_context(Move)]
        ae.add_supported_context("1.2.840.10008.1.1")
        handlers = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_MOVE, self._move)]
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = int(self._server.server_address[1])

    def close(self) -> None:
        """Hangs up."""
        self._server.shutdown()

    def _fitting(self, asked: Dataset) -> list[Dataset]:
        def fits(ds: Dataset) -> bool:
            days = str(asked.get("StudyDate") or "")
            first, _, last = days.partition("-")
            inside = not days or first <= str(ds.StudyDate) <= (last or "99999999")
            return inside and all(asked.get(key) in (None, "", ds.get(key)) for key in KEYS)

        return [ds for ds in self.images if fits(ds)]

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        self.asked.append(asked)
        key = "StudyInstanceUID" if asked.QueryRetrieveLevel == "STUDY" else "SeriesInstanceUID"
        fitting = self._fitting(asked)
        for uid in dict.fromkeys(ds[key].value for ds in fitting):
            members = [ds for ds in fitting if ds[key].value == uid]
            answer = Dataset()
            answer.QueryRetrieveLevel = asked.QueryRetrieveLevel
            for keyword in (*KEYS, "SeriesDescription"):
                setattr(answer, keyword, members[0].get(keyword))
            answer.NumberOfSeriesRelatedInstances = len(members)
            yield 0xFF00, answer

    def _move(self, event: Any) -> Iterator[Any]:
        port = self.destinations.get(event.move_destination)
        fitting = self._fitting(event.identifier)
        if port is None:
            yield None, None
            return
        yield "127.0.0.1", port, {"contexts": [build_context(ds.SOPClassUID) for ds in fitting[:1]]}
        yield len(fitting)
        for number, ds in enumerate(fitting):
            yield 0xFF00, ds if number < len(fitting) - self.keeps_back else _unfit(ds)


def _unfit(ds: Dataset) -> Dataset:
    """The image as one of a class that was not negotiated, so that it cannot be sent."""
    changed = copy.deepcopy(ds)
    changed.SOPClassUID = NOT_NEGOTIATED
    return changed
