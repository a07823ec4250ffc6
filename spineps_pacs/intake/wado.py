"""Series out of an archive by QIDO-RS and WADO-RS (PS3.18 10.6, 10.4): bytes go to disk as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import requests
from python_multipart.multipart import parse_options_header

from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.intake.multipart import Parts
from spineps_pacs.intake.query import Found, Query, number

PAGE = 200
CHUNK = 1 << 20
STUDY, SERIES, MODALITY, DESCRIPTION, INSTANCES = "0020000D", "0020000E", "00080060", "0008103E", "00201209"
FILES = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class Peer(Protocol):
    """An HTTP peer with a session that is bounded in time."""

    @property
    def url(self) -> str: ...

    def session(self) -> requests.Session: ...


class WebArchive:
    """`Archive` over DICOMweb; `take` is given each file, in `staging`, and moves it on or leaves it to be removed."""

    def __init__(self, name: str, peer: Peer, staging: Path, take: Callable[[Path], object], page: int = PAGE) -> None:
        self._name = name
        self._peer = peer
        self._staging = staging
        self._take = take
        self._page = page

    def find(self, query: Query) -> Iterator[Found]:
        """Series by series of each study."""
        with self._peer.session() as session:
            for study in self._studies(session, query):
                asked = {"Modality": query.modality, "SeriesInstanceUID": query.series_uid}
                for answer in self._pages(session, f"studies/{study}/series", asked, SERIES):
                    found = _found(study, answer)
                    if query.takes(found):
                        yield found

    def fetch(self, found: Found) -> int:
        """Takes every image of a series; gives how many."""
        path = f"studies/{found.study_uid}/series/{found.series_uid}"
        with self._peer.session() as session, self._get(session, path, {}, FILES, stream=True) as answer:
            kind, options = parse_options_header(answer.headers.get("content-type"))
            if kind != b"multipart/related" or b"boundary" not in options:
                raise TryAgain(f"{self._name} answers WADO-RS with {kind.decode(errors='replace') or 'no type'}")
            return self._kept(answer, Parts(options[b"boundary"], self._staging), found)

    def _kept(self, answer: requests.Response, parts: Parts, found: Found) -> int:
        try:
            for chunk in answer.iter_content(CHUNK):
                parts.write(chunk)
            parts.finish()
            for path in parts.files:
                self._take(path)
        except (ValueError, requests.RequestException) as error:
            raise TryAgain(f"{self._name} broke off in the middle of a series: {type(error).__name__}") from error
        finally:
            parts.tidy()
        if len(parts.files) < found.instances:
            raise TryAgain(f"{self._name} has {found.instances} images of a series and sent {len(parts.files)}")
        return len(parts.files)

    def _studies(self, session: requests.Session, query: Query) -> Iterator[str]:
        if query.study_uid and not query.accession and not query.days:
            yield query.study_uid
            return
        asked = {"AccessionNumber": query.accession, "StudyDate": query.days, "StudyInstanceUID": query.study_uid}
        for answer in self._pages(session, "studies", asked, STUDY):
            yield _value(answer, STUDY)

    def _pages(self, session: requests.Session, path: str, asked: dict[str, str], key: str) -> Iterator[dict[str, Any]]:
        """Every answer, a page at a time; a server that knows no pages gives the same again, and that is the end."""
        offset, before = 0, ""
        while True:
            wanted = {name: value for name, value in asked.items() if value}
            with self._get(session, path, wanted | {"limit": str(self._page), "offset": str(offset)}) as answer:
                page = [] if answer.status_code == requests.codes.no_content else self._json(answer)
            if not page or _value(page[0], key) == before:
                return
            before, offset = _value(page[0], key), offset + len(page)
            yield from page
            if len(page) < self._page:
                return

    def _get(
        self,
        session: requests.Session,
        path: str,
        asked: dict[str, str],
        accept: str = "application/dicom+json",
        stream: bool = False,
    ) -> requests.Response:
        try:
            url = f"{self._peer.url}/{path}"
            answer = session.get(url, params=asked, headers={"Accept": accept}, stream=stream)
        except requests.RequestException as error:
            raise TryAgain(f"{self._name} cannot be reached: {type(error).__name__}") from error
        if answer.status_code >= 400:
            answer.close()
            raise TryAgain(f"{self._name} answers {answer.status_code}")
        return answer

    def _json(self, answer: requests.Response) -> list[dict[str, Any]]:
        try:
            found = answer.json()
        except ValueError as error:
            raise TryAgain(f"{self._name} answers QIDO-RS with what is no JSON") from error
        return found if isinstance(found, list) else []


def _value(answer: dict[str, Any], tag: str) -> str:
    values = answer.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _found(study: str, answer: dict[str, Any]) -> Found:
    series, modality, description = (_value(answer, tag) for tag in (SERIES, MODALITY, DESCRIPTION))
    return Found(study, series, modality, description, number(_value(answer, INSTANCES)))
