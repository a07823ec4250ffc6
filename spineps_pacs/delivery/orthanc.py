"""Results out by Orthanc's REST, and whether it still has them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

import requests
from pydicom.dataset import Dataset

from spineps_pacs.delivery.web import NONSENSE, WebPeer, unreachable
from spineps_pacs.domain.ports import Receipt


class OrthancDestination:
    """`Destination` over Orthanc's REST."""

    def __init__(self, name: str, peer: WebPeer) -> None:
        self.name = name
        self._peer = peer

    def send(self, datasets: Iterable[Dataset]) -> Iterator[Receipt]:
        """One receipt a dataset; raises TryAgain when Orthanc cannot be reached or is not well."""
        with self._peer.session() as session:
            for dataset in datasets:
                yield self._upload(session, dataset)

    def _upload(self, session: requests.Session, dataset: Dataset) -> Receipt:
        content, uid = io.BytesIO(), str(dataset.SOPInstanceUID)
        dataset.save_as(content, enforce_file_format=True)
        headers = {"Content-Type": "application/dicom"}
        try:
            answer = session.post(f"{self._peer.url}/instances", data=content.getvalue(), headers=headers)
            if answer.status_code == requests.codes.bad_request:
                return Receipt(uid, accepted=False, status="HTTP 400")
            answer.raise_for_status()
            status = str(answer.json().get("Status", ""))
        except (requests.RequestException, *NONSENSE) as error:
            raise unreachable(self.name, error) from error
        return Receipt(uid, accepted=status in {"Success", "AlreadyStored"}, status=status)


class OrthancConfirmation:
    """`Confirmation` by looking each instance up."""

    def __init__(self, name: str, peer: WebPeer) -> None:
        self._name = name
        self._peer = peer

    def kept(self, datasets: Sequence[Dataset], transaction: str) -> frozenset[str]:  # noqa: ARG002  one way of asking
        """The instances that Orthanc finds."""
        uids = [str(ds.SOPInstanceUID) for ds in datasets]
        with self._peer.session() as session:
            return frozenset(uid for uid in uids if self._has(session, uid))

    def _has(self, session: requests.Session, uid: str) -> bool:
        try:
            answer = session.post(f"{self._peer.url}/tools/lookup", data=uid)
            answer.raise_for_status()
            return any(found.get("Type") == "Instance" for found in answer.json())
        except (requests.RequestException, *NONSENSE) as error:
            raise unreachable(self._name, error) from error
