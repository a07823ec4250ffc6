"""Round trip through dcmqi: the voxels of every segment and the numbers of the report come back."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from conformance.gallery import GALLERY, exhibit, run
from spineps_pacs.domain.anatomy import MEASUREMENTS
from spineps_pacs.encode.segments import Segment, level_segments, structure_segments

SHOWN = [name for name in GALLERY if name != "nothing found" and not name.startswith("charset")]


def _voxels(path: Path, geometry) -> np.ndarray:  # type: ignore[no-untyped-def]
    """A NIfTI of dcmqi as a set of voxels (slice, row, column) of the report's grid."""
    image = nibabel.load(path)
    ras = nibabel.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) > 0))
    index = geometry.to_index(ras * (-1, -1, 1))
    rounded = np.rint(index).astype(int)
    assert np.abs(index - rounded).max() < 0.05, "voxels lie on the grid of the source"
    return rounded


@pytest.mark.real("segimage2itkimage")
@pytest.mark.parametrize("kind", ["structures", "levels", "levels-labelmap"])
@pytest.mark.parametrize("name", SHOWN)
def test_every_segment_comes_back_voxel_by_voxel(name: str, kind: str, tmp_path: Path) -> None:
    """Each segment, read by dcmqi, is its mask, at its place, under its label."""
    shown = exhibit(name)
    options = ["--inputDICOM", shown.file(kind), "--outputType", "nifti", "--outputDirectory", tmp_path]
    code, said = run("segimage2itkimage", options)
    assert code == 0, said
    report = shown.report
    structures = kind.startswith("structures")
    segments: tuple[Segment, ...] = structure_segments(report) if structures else level_segments(report)
    mask = (report.structures if structures else report.instances).labels
    meta = json.loads((tmp_path / "meta.json").read_text())
    labels = {item["labelID"]: item["SegmentLabel"] for group in meta["segmentAttributes"] for item in group}
    for segment in segments:
        assert labels[segment.number] == segment.label
        if kind.endswith("labelmap"):
            continue
        found = _voxels(tmp_path / f"{segment.number}.nii.gz", report.volume.geometry)
        expected = np.argwhere(np.isin(mask, segment.ids))
        assert set(map(tuple, found)) == set(map(tuple, expected))


@pytest.mark.real("segimage2itkimage")
def test_laterality_comes_back(tmp_path: Path) -> None:
    """The side is found by a foreign reader, inside the type."""
    options = ["--inputDICOM", exhibit("one level").file("structures"), "--outputType", "nifti"]
    run("segimage2itkimage", [*options, "--outputDirectory", tmp_path])
    groups = json.loads((tmp_path / "meta.json").read_text())["segmentAttributes"]
    sides = {
        item["SegmentLabel"]: item.get("SegmentedPropertyTypeModifierCodeSequence", {}).get("CodeMeaning")
        for group in groups
        for item in group
    }
    assert {label: side for label, side in sides.items() if side} == {"Costal process, left": "Left"}


@pytest.mark.real("tid1500reader")
@pytest.mark.parametrize("name", SHOWN)
def test_every_number_comes_back(name: str, tmp_path: Path) -> None:
    """Each measured volume, height, ratio, diameter and slip is read by dcmqi in the group of its level."""
    shown = exhibit(name)
    out = tmp_path / "report.json"
    code, said = run("tid1500reader", ["--inputDICOM", shown.file("report"), "--outputMetadata", out])
    assert code == 0, said
    groups = json.loads(out.read_text())["Measurements"]
    found: dict[str, list[float]] = {}
    for group in groups:
        items = group.get("measurementItems", [])
        found.setdefault(group["TrackingIdentifier"], []).extend(
            float(item["value"]) for item in items if item["value"]
        )
    for segment in level_segments(shown.report):
        mine = [m for m in shown.report.measurements if m.value is not None and m.subject == segment.instance]
        expected = [m.value for m in mine if MEASUREMENTS[m.kind].of in {"vertebra", "disc", "level"}]
        assert expected, "every level of the gallery has numbers"
        for value in expected:
            assert value is not None
            assert np.isclose(found[segment.label], value, atol=0.051).any(), (segment.label, value)
