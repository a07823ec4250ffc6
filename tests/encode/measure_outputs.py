"""Measures size and processor time of every object for a whole spine; prints the rows of docs/outputs.md.

Run as `PYTHONPATH=.:tests python tests/encode/measure_outputs.py 20` (or 200: each slice of the phantom ten times).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
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
from spineps_pacs.encode.side import instances_nifti, structures_nifti
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
    return found


def main(slices: int) -> None:
    """All rows."""
    request = StudyRequest(Wishes(levels=WHOLE), only_t2=True, slices=20, rows=896, columns=320, slice_spacing=3.5)
    with tempfile.TemporaryDirectory() as folder:
        report, series = phantom(Path(folder), request)
    if slices > 20:
        report, series = thicker(report, slices // 20)
    plan = (structure_segments(report), level_segments(report))
    sys.stdout.write(f"{report.volume.geometry.shape}, {len(plan[0])} structures, {len(plan[1])} levels\n")
    known = sources(report, series)

    def sheet(kind: str) -> Sheet:
        return Sheet(KINDS[kind], report, known, identity(report, series), OPTIONS)

    masks = {"structures": (plan[0], report.structures.labels), "levels": (plan[1], report.instances.labels)}
    written = {}
    for kind, (segments, labels) in masks.items():
        (seg,) = told(kind, lambda k=kind, s=segments, m=labels: (segmentation(sheet(k), s, m),))  # type: ignore[misc]
        written[kind] = Written(seg.sop_class_uid, seg.sop_instance_uid, sheet(kind).series_uid, segments)
        told(f"{kind}-labelmap", lambda k=f"{kind}-labelmap", s=segments, m=labels: (segmentation(sheet(k), s, m),))  # type: ignore[misc]
    told("report", lambda: (structured_report(sheet("report"), written["structures"], [written["levels"]]),))
    told("picture", lambda: pictures(sheet("picture")))
    told("presentation", lambda: (presentation(sheet("presentation")),))
    told("contours", lambda: (contours(sheet("contours")),))
    sides = (structures_nifti(report), instances_nifti(report))
    sys.stdout.write(f"NIfTI: {len(sides[0]) / 1e6:.2f} and {len(sides[1]) / 1e6:.2f} MB\n")
    plain = replace(OPTIONS, pictures=False)
    objects = told("both SEGs and report", lambda: encode(report, series, identity(report, series, plain), plain))
    sys.stdout.write(f"notes: {results.notes(objects)}\n")
    before = time.process_time()
    verify_all(objects, report, series)
    sys.stdout.write(f"verify: {time.process_time() - before:.2f} s\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
