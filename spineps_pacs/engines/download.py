"""Downloads one file so that a connection that breaks off costs nothing but time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from spineps_pacs.domain.errors import ModelError, TryAgain

Progress = Callable[[int, int | None], None]
"""Called with bytes done and bytes in all (None when the server does not say)."""

_BLOCK = 1 << 18
_TIMEOUT_S = (10, 60)
_ATTEMPTS = 5
_PAUSE_S = 2.0


def unreported(done: int, total: int | None) -> None:
    """A Progress that tells nobody."""


def download(
    address: str, part: Path, progress: Progress = unreported, pause: Callable[[float], None] = time.sleep
) -> None:
    """Fetches an address into a file, going on from what the file already holds.

    What breaks off is tried again, five times; then the part stays for the next call. Anything else raises ModelError.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _fetch(address, part, progress)
        except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
            if attempt == _ATTEMPTS:
                raise TryAgain(_broken_off(address, part, error)) from error
            pause(_PAUSE_S * attempt)
        except requests.RequestException as error:
            raise ModelError(f"{address} cannot be fetched: {error}") from error
        else:
            _version_file(part).unlink(missing_ok=True)
            return


def _broken_off(address: str, part: Path, error: Exception) -> str:
    got = part.stat().st_size if part.exists() else 0
    return f"{address} broke off after {got} bytes ({type(error).__name__}); the same command goes on from there"


def _fetch(address: str, part: Path, progress: Progress) -> None:
    done, version = _held(part)
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": version}
    with requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
            raise requests.ConnectionError("the part that was kept is longer than the file")
        if answer.status_code not in {requests.codes.ok, requests.codes.partial_content}:
            raise ModelError(f"{address} answers {answer.status_code} {answer.reason}")
        done = _agreed_start(answer, done)
        _version_file(part).write_text(_version(answer), encoding="utf-8")
        _store(answer, part, done, progress)


def _store(answer: requests.Response, part: Path, done: int, progress: Progress) -> None:
    length = answer.headers.get("Content-Length", "")
    total = done + int(length) if length.isdigit() else None
    with part.open("r+b" if done else "wb") as file:
        file.seek(done)
        progress(done, total)
        while block := answer.raw.read1(_BLOCK):  # what has come is kept, also when the rest does not
            file.write(block)
            done += len(block)
            progress(done, total)
        file.truncate()
    if total is not None and done < total:
        raise requests.ConnectionError(f"{done} of {total} bytes came")


def _agreed_start(answer: requests.Response, wanted: int) -> int:
    """Where the answer begins: at the beginning, unless the server goes on just where we asked it to."""
    if answer.status_code != requests.codes.partial_content:
        return 0
    stated = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if stated != str(wanted):
        raise ModelError(f"{answer.url} goes on at byte {stated or '?'}, {wanted} was asked for")
    return wanted


def _held(part: Path) -> tuple[int, str]:
    """How much of which version of the file is already here; without a version it cannot be gone on with."""
    version = _version_file(part)
    if not part.exists() or not version.exists():
        return 0, ""
    text = version.read_text(encoding="utf-8")
    return (part.stat().st_size, text) if text else (0, "")


def _version(answer: requests.Response) -> str:
    """What tells this file from a later one at the same address; weak marks do not count."""
    mark = answer.headers.get("ETag", "")
    return mark if mark and not mark.startswith("W/") else answer.headers.get("Last-Modified", "")


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")
