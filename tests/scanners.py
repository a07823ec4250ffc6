"""Real scanner images: archives of tests/data, unpacked once a session."""

from __future__ import annotations

import atexit
import shutil
import tarfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from pydicom import dcmread
from pydicom.dataset import Dataset

from spineps_pacs.domain.attributes import quietly
from spineps_pacs.domain.series import Series

DATA = Path(__file__).parent / "data"
NAMES = tuple(
    sorted(path.name.removesuffix(".tar.xz") for path in DATA.glob("*.tar.xz") if not path.name.startswith("store-"))
)


def unpacked(prefix: str) -> Path:
    """A folder for what all tests of this process share; it goes when the process ends."""
    place = Path(mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


@cache
def folder(name: str) -> Path:
    """The files of one archive; read-only by custom."""
    place = unpacked(prefix="scanner-")
    with tarfile.open(DATA / f"{name}.tar.xz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has none yet
        archive.extractall(place)  # noqa: S202  our own archive
    return place / name


def datasets(name: str, *, pixels: bool = True) -> list[Dataset]:
    """Every dataset of one archive."""
    with quietly():
        return [dcmread(path, stop_before_pixels=not pixels) for path in sorted(folder(name).iterdir())]


def series(name: str) -> Series:
    """One archive as a series."""
    found = datasets(name)
    return Series(str(found[0].SeriesInstanceUID), tuple(found))
