"""What every validator sees: orientations, sources, levels, character sets, each written to a folder once."""

from __future__ import annotations

import io
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from conftest import find_program
from encode.cases import DEMONSTRATION, FLIPS, OBLIQUE, OPTIONS, Wish, case, identity

from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.results import encode

EVERYTHING = replace(OPTIONS, labelmap=True, gsps=True, rtstruct=True)
SMALL = Wish(levels=(23, 24), rows=72, columns=56, slices=6)


def _named(family: str, charset: str | tuple[str, ...], name: str) -> tuple[str, Wish]:
    patient = (("PatientName", name), ("StudyDescription", name.replace("^", " ").split("=")[0]))
    return f"charset {family}", replace(SMALL, charset=charset, patient=patient)


GALLERY: dict[str, Wish] = {
    **{
        f"orientation {n}": replace(
            SMALL, flips=f, turned=OBLIQUE if n % 2 else (0, 0, 0), multiframe=n in {2, 3, 6, 7}
        )
        for n, f in enumerate(FLIPS)
    },
    "Enhanced with spare frames": replace(SMALL, multiframe=True, spare_frames=3, turned=OBLIQUE),
    "one level": replace(SMALL, levels=(24,)),
    "26 levels": Wish(levels=tuple(range(1, 27)), rows=200, columns=56, slices=6),
    "T13": replace(SMALL, levels=(19, 28, 20), rows=100),
    "counted": replace(SMALL, levels=(None, None, None), rows=100),
    "demonstration": replace(SMALL, model=DEMONSTRATION),
    "nothing found": replace(SMALL, empty=True),
    "implicit VR": replace(SMALL, implicit=True),
    **dict(
        (
            _named("latin-1", "ISO_IR 100", "Müller^Jürgen"),
            _named("cyrillic", "ISO_IR 144", "Люкceмбypг"),
            _named("utf-8", "ISO_IR 192", "Wang^XiaoDong=王^小東"),
            _named("gb18030", "GB18030", "Wang^XiaoDong=王^小东"),
            _named("japanese", ("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎"),
            _named("korean", ("", "ISO 2022 IR 149"), "Hong^Gildong=洪^吉洞"),
        )
    ),
}


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One case as files: the sources and the results, by kind."""

    report: Report
    series: Series
    results: tuple[Result, ...]
    sources: tuple[Path, ...]
    files: tuple[Path, ...]

    def file(self, kind: str) -> Path:
        """The first file of a kind."""
        return next(path for path, result in zip(self.files, self.results, strict=True) if result.kind == kind)


@cache
def exhibit(name: str) -> Exhibit:
    """A case of the gallery, encoded and written once a process."""
    return written(*case(GALLERY[name]))


def written(report: Report, series: Series) -> Exhibit:
    """A report encoded with every option, and all files on disk."""
    folder = Path(tempfile.mkdtemp(dir=_root()))
    results = encode(report, series, identity(report, series, EVERYTHING), EVERYTHING)
    sources, files = [], []
    for n, ds in enumerate(series.datasets):
        buffer = io.BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        sources.append(_put(folder / f"source-{n}.dcm", buffer.getvalue()))
    for n, result in enumerate(results):
        files.append(_put(folder / f"{n}-{result.kind}.dcm", result.content))
    return Exhibit(report, series, results, tuple(sources), tuple(files))


def run(program: str, arguments: Iterable[str | Path]) -> tuple[int, str]:
    """Exit code and everything said by a real program, in the order said."""
    path = find_program(program)
    assert path, f"{program} is gone"
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, check=False, timeout=120)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


@cache
def _root() -> str:
    folder = tempfile.TemporaryDirectory(prefix="conformance-")
    _FOLDERS.append(folder)
    return folder.name


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Kept until the process ends, then removed."""


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
