"""The ways by which images come into Orthanc: as a scanner, a web client or another Orthanc sends them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import requests
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pynetdicom import AE

from scripts.viewing.orthanc_server import address, post, running
from tests.orthanc.place import PASSWORD, USER, Place

Files = Sequence[Path]


def by_dimse(place: Place, files: Files) -> None:
    """C-STORE."""
    datasets = [dcmread(file) for file in files]
    entity = AE("SCANNER")
    entity.add_requested_context(datasets[0].SOPClassUID, datasets[0].file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", place.options.ports.dicom, ae_title="ORTHANC")
    for dataset in datasets:
        association.send_c_store(dataset)
    association.release()


def by_rest(place: Place, files: Files) -> None:
    """Orthanc's own REST."""
    for file in files:
        post(place.url, "/instances", file.read_bytes())


def by_stow(place: Place, files: Files) -> None:
    """STOW-RS."""
    with requests.Session() as session:
        session.auth = (USER, PASSWORD)
        DICOMwebClient(f"{place.url}/dicom-web", session=session).store_instances([dcmread(file) for file in files])


def by_peer(place: Place, files: Files) -> None:
    """From another Orthanc, to its peer."""
    with running(place.neighbour) as neighbour:
        told = [post(address(place.neighbour), "/instances", file.read_bytes()) for file in files]
        post(neighbour, "/peers/spine/store", json.dumps([one["ID"] for one in told]).encode())


DOORS = {"C-STORE": by_dimse, "REST": by_rest, "STOW-RS": by_stow, "peer": by_peer}


def whole_study(place: Place) -> None:
    """The whole study by REST."""
    for files in place.images.values():
        by_rest(place, files)
