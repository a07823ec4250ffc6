"""Results out by STOW-RS, one request an instance, so that each has its own answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset

from spineps_pacs.delivery.web import NONSENSE, WebPeer, unreachable
from spineps_pacs.domain.ports import Receipt

REFUSED = {requests.codes.conflict, requests.codes.unsupported_media_type, requests.codes.bad_request}


class StowDestination:
    """`Destination` over STOW-RS (PS3.18 10.5)."""

    def __init__(self, name: str, peer: WebPeer) -> None:
        self.name = name
        self._peer = peer

    def send(self, datasets: Iterable[Dataset]) -> Iterator[Receipt]:
        """One receipt a dataset; raises TryAgain when the server cannot be reached or is not well."""
        with self._peer.session() as session:
            client = DICOMwebClient(self._peer.url, session=session)
            client.set_http_retry_params(retry=False)  # trying again is the chain's business
            for dataset in datasets:
                yield self._store(client, dataset)

    def _store(self, client: DICOMwebClient, dataset: Dataset) -> Receipt:
        uid = str(dataset.SOPInstanceUID)
        # without a preamble the client would write no DICOM file
        dataset.preamble = getattr(dataset, "preamble", None) or bytes(128)
        try:
            answer = client.store_instances([dataset])
        except requests.HTTPError as error:
            if error.response is not None and error.response.status_code in REFUSED:
                return Receipt(uid, accepted=False, status=f"HTTP {error.response.status_code}")
            raise unreachable(self.name, error) from error
        except (requests.RequestException, OSError, *NONSENSE) as error:
            raise unreachable(self.name, error) from error
        failed = answer.get("FailedSOPSequence") or []
        if failed:
            return Receipt(uid, accepted=False, status=f"0x{int(failed[0].get('FailureReason') or 0):04X}")
        return Receipt(uid, accepted=True, status="stored")
