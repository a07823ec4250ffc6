"""HTTP peers on loopback: an Orthanc that keeps what it is sent, and our own STOW-RS door as a server."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.intake.reception import Arrival, Source
from spineps_pacs.intake.serving import Serving
from spineps_pacs.intake.stow import StowLimits, stow_app


class FakeStow:
    """A STOW-RS server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "stow"
        (folder / "staging").mkdir()
        self._folder.mkdir()
        self._refuses = False
        app = stow_app(self, folder / "staging", lambda: True, lambda: StowLimits("secret"))
        self._serving = Serving(app, "127.0.0.1", 0)
        self.port = self._serving.start()

    def arrived(self, path: Path, source: Source, study_uid: str | None = None) -> Arrival:
        if self._refuses:
            raise Unusable("refused")
        ds = dcmread(path)
        path.replace(self._folder / f"{ds.SOPInstanceUID}.dcm")
        return Arrival("key", str(ds.SOPClassUID), str(ds.SOPInstanceUID), True)

    def released(self, keys: Sequence[str]) -> None:
        """Nothing follows."""

    def kept(self) -> list[Dataset]:
        return [dcmread(path) for path in sorted(self._folder.glob("*.dcm"))]

    def refuse(self) -> None:
        self._refuses = True

    def stop(self) -> None:
        self._serving.stop()


def orthanc_id(*parts: str) -> str:
    """An id as Orthanc makes them: SHA-1 in five groups."""
    digest = hashlib.sha1("|".join(parts).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[n : n + 8] for n in range(0, 40, 8))


class FakeOrthanc:
    """As much of Orthanc's REST as we use."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._refuses = False
        self.broken = False
        routes = [
            Route("/instances", self._store, methods=["POST"]),
            Route("/tools/lookup", self._lookup, methods=["POST"]),
            Route("/series/{id}", self._series),
            Route("/instances/{id}/file", self._file),
        ]
        self._serving = Serving(Starlette(routes=routes), "127.0.0.1", 0)
        self.port = self._serving.start()

    def kept(self) -> list[Dataset]:
        return [dcmread(io.BytesIO(content)) for content in self._kept.values()]

    def keep(self, content: bytes) -> str:
        """An instance that Orthanc has; gives the id of its series."""
        ds = dcmread(io.BytesIO(content))
        self._kept[orthanc_id(ds.SOPInstanceUID)] = content
        return orthanc_id(ds.SeriesInstanceUID)

    def refuse(self) -> None:
        self._refuses = True

    def stop(self) -> None:
        self._serving.stop()

    @staticmethod
    def _known(request: Request) -> bool:
        return request.headers.get("authorization") == "Basic " + base64.b64encode(b"u:p").decode()

    async def _store(self, request: Request) -> Response:
        if not self._known(request):
            return Response(status_code=401)
        if self._refuses:
            return Response(status_code=400)
        content = await request.body()
        known = orthanc_id(dcmread(io.BytesIO(content)).SOPInstanceUID) in self._kept
        self.keep(content)
        return JSONResponse({"Status": "AlreadyStored" if known else "Success"})

    async def _lookup(self, request: Request) -> Response:
        found = orthanc_id((await request.body()).decode()) in self._kept
        return JSONResponse([{"Type": "Instance"}] if found else [])

    async def _series(self, request: Request) -> Response:
        members = [ds for ds in self.kept() if orthanc_id(ds.SeriesInstanceUID) == request.path_params["id"]]
        if self.broken or not members:
            return Response(status_code=503 if self.broken else 404)
        tags = {"SeriesInstanceUID": members[0].SeriesInstanceUID, "Modality": members[0].Modality}
        answer = {"MainDicomTags": tags, "Instances": [orthanc_id(ds.SOPInstanceUID) for ds in members]}
        return Response(json.dumps(answer), media_type="application/json")

    async def _file(self, request: Request) -> Response:
        return Response(self._kept[request.path_params["id"]], media_type="application/dicom")
