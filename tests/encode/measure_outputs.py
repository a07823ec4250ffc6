"""Measures size and processor time of every object for a whole spine; prints the rows of docs/outputs.md.

Run as `PYTHONPATH=.:tests python tests/encode/measure_outputs.py 20`, or 200: each slice of the phantom ten times.
Names of rows after the number choose some of them.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from encode.cases import OPTIONS, Wish, _classic, identity
from encode.phantoms import phantom
from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.encode import results
from spineps_pacs.encode.capture import pictures
from spineps_pacs.encode.contours import contours
from spineps_pacs.encode.header import Sheet
from spineps_pacs.encode.options import KINDS
from spineps_pacs.encode.presentation import presentation
from spineps_pacs.encode.report_groups import Written
from spineps_pacs.encode.results import encode
from spineps_pacs.encode.segmentation import frames_of, segmentation
from spineps_pacs.encode.segments import level_segments, structure_segments
from spineps_pacs.encode.sources import sources
from spineps_pacs.encode.structured_report import structured_report
from spineps_pacs.encode.verify import verify_all
from spineps_pacs.phantom.study import WHOLE, StudyRequest
from spineps_pacs.phantom.wishes import Wishes


def thicker(report: Report, times: int) -> tuple[Report, Series]:
    """The same spine with each slice several times, as a series of thin slices."""
    old = report.volume.geometry
    affine = old.affine.copy()
    affine[:3, 0] /= times
    shape = (old.shape[0] * times, *old.shape[1:])
    geometry = Geometry(affine, shape, "1.2.3.4.99")
    voxels = np.repeat(report.volume.voxels, times, axis=0).astype(np.uint16)
    wish = Wish(slices=shape[0], rows=shape[1], columns=shape[2])
    datasets, frames = _classic(wish, geometry, voxels)
    report = replace(
        report,
        volume=Volume(voxels, geometry, frames),
        structures=SemanticMask(np.repeat(report.structures.labels, times, axis=0), geometry),
        instances=InstanceMask(np.repeat(report.instances.labels, times, axis=0), geometry),
    )
    return report, Series("1.2.3.4.2", datasets)


def told(name: str, made: Callable[[], tuple[Result, ...]]) -> tuple[Result, ...]:
    """One row: what was made, its size and the processor time that it took."""
    before = time.process_time()
    found = made()
    seconds = time.process_time() - before
    size = sum(len(result.content) for result in found) / 1e6
    frames = f", {frames_of(found[0])} frames" if name.endswith(("structures", "levels")) else ""
    sys.stdout.write(f"{name}: {size:.2f} MB{frames}, {seconds:.2f} s\n")
    sys.stdout.flush()
    return found


class Measured:
    """A spine, and each object of it by the name of its row."""

    def __init__(self, slices: int) -> None:
        request = StudyRequest(Wishes(levels=WHOLE), only_t2=True, slices=20, rows=896, columns=320, slice_spacing=3.5)
        with tempfile.TemporaryDirectory() as folder:
            self.report, self.series = phantom(Path(folder), request)
        if slices > 20:
            self.report, self.series = thicker(self.report, slices // 20)
        self.known = sources(self.report, self.series)
        report = self.report
        self.segments = {"structures": structure_segments(report), "levels": level_segments(report)}
        self.labels = {"structures": report.structures.labels, "levels": report.instances.labels}

    def sheet(self, kind: str) -> Sheet:
        return Sheet(KINDS[kind], self.report, self.known, identity(self.report, self.series), OPTIONS)

    def seg(self, row: str) -> tuple[Result, ...]:
        kind = row.removesuffix("-labelmap")
        return (segmentation(self.sheet(row), self.segments[kind], self.labels[kind]),)

    def structured(self) -> tuple[Result, ...]:
        """The report alone; what it refers to need not exist for that."""
        structures, levels = (
            Written("1.2.840.10008.5.1.4.1.1.66.4", f"1.2.3.{n}", f"1.2.4.{n}", self.segments[kind])
            for n, kind in enumerate(("structures", "levels"))
        )
        return (structured_report(self.sheet("report"), structures, [levels]),)

    def together(self) -> tuple[Result, ...]:
        """Both SEGs and the report, and how long it takes to read them back."""
        plain = replace(OPTIONS, pictures=False)
        objects = encode(self.report, self.series, identity(self.report, self.series, plain), plain)
        before = time.process_time()
        verify_all(objects, self.report, self.series)
        sys.stdout.write(
            f"{results.notes(objects)}; of the next row, reading back: {time.process_time() - before:.2f} s\n"
        )
        return objects

    def rows(self) -> dict[str, Callable[[], tuple[Result, ...]]]:
        """What is made for each row."""
        segs = ("structures", "structures-labelmap", "levels", "levels-labelmap")
        return {
            **{row: functools.partial(self.seg, row) for row in segs},
            "report": self.structured,
            "picture": lambda: pictures(self.sheet("picture")),
            "presentation": lambda: (presentation(self.sheet("presentation")),),
            "contours": lambda: (contours(self.sheet("contours")),),
            "together": self.together,
        }


def main(slices: int, wanted: Sequence[str]) -> None:
    """The rows that are wanted, or all."""
    measured = Measured(slices)
    counts = {kind: len(segments) for kind, segments in measured.segments.items()}
    sys.stdout.write(f"{measured.report.volume.geometry.shape}, segments: {counts}\n")
    for row, made in measured.rows().items():
        if not wanted or row in wanted:
            told(row, made)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
