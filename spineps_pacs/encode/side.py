"""What stands beside the standard objects: the report as JSON, the masks as NIfTI, one CSV row per level."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import asdict
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.anatomy import DISC_OFFSET, FLAGS, MEASUREMENTS, STRUCTURES, Code
from spineps_pacs.domain.report import Measurement, Report, SecondOpinion
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.encode.numbers import instance_of, quantity, rounded
from spineps_pacs.encode.segments import Segment, level_segments

SCHEMA = "spineps-pacs report 1"
"""Raised when a reader of an older report.json would misunderstand a newer one; docs/report.schema.json names it."""

_ROW_OF = {"vertebra", "level", "disc"}


def report_json(report: Report) -> dict[str, Any]:
    """The report as plain values, by docs/report.schema.json; no UID, no patient."""
    levels = level_segments(report)
    names = {segment.instance: segment.label for segment in levels}
    geometry = report.volume.geometry
    return {
        "schema": SCHEMA,
        "demonstration": report.demonstration,
        "mode": report.mode,
        "grid": {
            "shape": list(geometry.shape),
            "spacing_mm": [round(v, 6) for v in geometry.spacing],
            "affine_lps": [[round(float(v), 6) for v in row] for row in geometry.affine],
        },
        "models": [asdict(model) for model in report.models],
        "levels": {
            "method": str(report.levels.method),
            "margin": report.levels.margin,
            "reason": report.levels.reason,
            "flags": list(report.levels.flags),
            "found": [_level(segment, report) for segment in levels],
        },
        "second_opinion": _second(report.second),
        "structures": [_structure(item, report) for item in STRUCTURES],
        "measurements": [_measurement(m, names) for m in report.measurements],
        "flags": [
            {"kind": f.kind, "meaning": FLAGS.get(f.kind, ""), "sentence": f.sentence, "instances": list(f.instances)}
            for f in report.flags
        ],
        "folds": [asdict(fold) for fold in report.folds],
        "notes": list(report.volume.notes),
        "timings_s": [{"phase": phase, "seconds": round(seconds, 3)} for phase, seconds in report.timings_s],
    }


def side_outputs(report: Report) -> dict[str, bytes]:
    """All of them by file name."""
    return {
        "report.json": json.dumps(report_json(report), indent=1).encode(),
        "levels.csv": level_rows(report).encode(),
        "structures.nii.gz": structures_nifti(report),
        "instances.nii.gz": instances_nifti(report),
    }


def level_rows(report: Report) -> str:
    """CSV: a row per vertebra, with its numbers and those of the disc below it; empty where there is none."""
    kinds = [kind for kind, q in MEASUREMENTS.items() if q.of in _ROW_OF]
    head = ["position", "instance", "label", "method", "confidence", "flags"]
    for kind in kinds:
        head += [f"{kind} [{MEASUREMENTS[kind].unit}]", f"{kind} +-"]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(head)
    for segment in level_segments(report):
        if segment.choice is not None and not segment.disc:
            writer.writerow([*_who(segment, report), *_cells(segment, report, kinds)])
    return table.getvalue()


def structures_nifti(report: Report) -> bytes:
    """structures.nii.gz: all SPINEPS ids as they are, endplates still apart."""
    return _nifti(report.structures.labels.astype(np.uint8), report.structures.geometry)


def instances_nifti(report: Report) -> bytes:
    """instances.nii.gz: vertebrae, 100+X discs, 200+X endplates."""
    return _nifti(report.instances.labels.astype(np.uint16), report.instances.geometry)


def _nifti(labels: NDArray[np.generic], geometry: Geometry) -> bytes:
    """Columns first as NIfTI readers expect, RAS millimetres; the same bytes on every run."""
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine
    affine = to_ras[:, [2, 1, 0, 3]]
    image = nibabel.Nifti1Image(labels.transpose(2, 1, 0), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    return gzip.compress(image.to_bytes(), mtime=0)


def _code(code: Code) -> dict[str, str]:
    return {"value": code.value, "scheme": code.scheme, "meaning": code.meaning}


def _level(segment: Segment, report: Report) -> dict[str, Any]:
    choice = segment.choice
    return {
        "instance": segment.instance,
        "label": segment.label,
        "kind": "disc" if segment.disc else "vertebra",
        "code": _code(segment.level),
        "position": choice.position if choice else None,
        "level": choice.level if choice and not segment.disc else None,
        "confidence": choice.confidence if choice and not segment.disc else None,
        "flags": list(choice.flags) if choice and not segment.disc else [],
        "voxels": int(np.count_nonzero(report.instances.labels == segment.instance)),
        "rgb": list(segment.rgb),
    }


def _second(said: SecondOpinion | None) -> dict[str, Any] | None:
    if said is None:
        return None
    return asdict(said) | {"names": [{"instance": i, "name": name} for i, name in said.names]}


def _structure(item: Any, report: Report) -> dict[str, Any]:
    voxels = int(np.isin(report.structures.labels, item.ids).sum())
    return {
        "ids": list(item.ids),
        "name": item.name,
        "code": _code(item.code),
        "side": item.side.meaning if item.side else None,
        "voxels": voxels,
        "volume_mm3": round(voxels * report.structures.geometry.voxel_volume, 1),
        "rgb": list(item.rgb),
    }


def _measurement(m: Measurement, names: dict[int, str]) -> dict[str, Any]:
    kind = quantity(m)
    return {
        "kind": m.kind,
        "name": kind.name,
        "unit": kind.unit,
        "subject": m.subject,
        "subject_name": _name(m, names),
        "other": m.other,
        "other_name": names.get(m.other) if m.other else None,
        "value": None if m.value is None else rounded(m.value, kind.unit),
        "uncertainty": None if m.uncertainty is None else rounded(m.uncertainty, kind.unit),
        "missing": None if m.missing is None else str(m.missing),
        "reason": m.reason,
        "points_lps": [[round(float(v), 3) for v in point] for point in m.points],
    }


def _name(m: Measurement, names: dict[int, str]) -> str | None:
    if quantity(m).of == "structure":
        return next((item.name for item in STRUCTURES if m.subject in item.ids), None)
    return "spine" if m.subject == 0 else names.get(instance_of(m))


def _who(segment: Segment, report: Report) -> list[Any]:
    assert segment.choice is not None  # noqa: S101, rows are made of segments with a choice
    confidence = "" if segment.choice.confidence is None else round(segment.choice.confidence, 4)
    flags = "; ".join(segment.choice.flags)
    return [segment.choice.position, segment.instance, segment.label, str(report.levels.method), confidence, flags]


def _cells(segment: Segment, report: Report, kinds: list[str]) -> list[Any]:
    own = {segment.instance, segment.instance + DISC_OFFSET}
    found = {m.kind: m for m in report.measurements if quantity(m).of in _ROW_OF and instance_of(m) in own}
    cells: list[Any] = []
    for kind in kinds:
        m, unit = found.get(kind), MEASUREMENTS[kind].unit
        cells.append("" if m is None or m.value is None else rounded(m.value, unit))
        cells.append("" if m is None or m.uncertainty is None else rounded(m.uncertainty, unit))
    return cells
