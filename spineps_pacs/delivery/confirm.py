"""Does a destination keep what it accepted? Asked by C-FIND, by QIDO-RS, or by looking into the folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from spineps_pacs.delivery.peer import Peer
from spineps_pacs.delivery.web import NONSENSE, WebPeer, unreachable
from spineps_pacs.domain.errors import TryAgain

PENDING = (0xFF00, 0xFF01)


class FindConfirmation:
    """`Confirmation` by C-FIND at the image level of the study root model."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def kept(self, datasets: Sequence[Dataset], transaction: str) -> frozenset[str]:  # noqa: ARG002  one way of asking
        """The instances that the peer finds."""
        contexts = [build_context(StudyRootQueryRetrieveInformationModelFind)]
        with self._peer.association(contexts) as association:
            return frozenset(str(ds.SOPInstanceUID) for ds in datasets if self._found(association, ds))

    def _found(self, association: Association, dataset: Dataset) -> bool:
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "IMAGE"
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(wanted, keyword, dataset.get(keyword))
        found = False
        for status, answer in association.send_c_find(wanted, StudyRootQueryRetrieveInformationModelFind):
            if "Status" not in status:
                raise TryAgain(f"{self._peer.called_ae} hung up during C-FIND")
            if status.Status in PENDING:
                found = found or (answer is not None and answer.get("SOPInstanceUID") == dataset.SOPInstanceUID)
            elif status.Status != 0:
                raise TryAgain(f"{self._peer.called_ae} answers C-FIND with 0x{int(status.Status):04X}")
        return found


class QidoConfirmation:
    """`Confirmation` by QIDO-RS."""

    def __init__(self, name: str, peer: WebPeer) -> None:
        self._name = name
        self._peer = peer

    def kept(self, datasets: Sequence[Dataset], transaction: str) -> frozenset[str]:  # noqa: ARG002  one way of asking
        """The instances that the server finds."""
        with self._peer.session() as session:
            client = DICOMwebClient(self._peer.url, session=session)
            client.set_http_retry_params(retry=False)
            return frozenset(str(ds.SOPInstanceUID) for ds in datasets if self._found(client, ds))

    def _found(self, client: DICOMwebClient, dataset: Dataset) -> bool:
        uid = str(dataset.SOPInstanceUID)
        try:
            answers = client.search_for_instances(
                dataset.StudyInstanceUID, dataset.SeriesInstanceUID, search_filters={"SOPInstanceUID": uid}
            )
            return any(uid in answer.get("00080018", {}).get("Value", []) for answer in answers)
        except requests.HTTPError as error:
            if error.response is not None and error.response.status_code == requests.codes.not_found:
                return False
            raise unreachable(self._name, error) from error
        except (requests.RequestException, OSError, *NONSENSE) as error:
            raise unreachable(self._name, error) from error


class FolderConfirmation:
    """`Confirmation` by the files that lie there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def kept(self, datasets: Sequence[Dataset], transaction: str) -> frozenset[str]:  # noqa: ARG002  one way of asking
        """The instances whose file is there."""
        return frozenset(str(ds.SOPInstanceUID) for ds in datasets if self._file(ds).is_file())

    def _file(self, ds: Dataset) -> Path:
        return self._folder / str(ds.StudyInstanceUID) / str(ds.SeriesInstanceUID) / f"{ds.SOPInstanceUID}.dcm"
