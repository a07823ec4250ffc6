"""Tests of the pictures: true proportions, the patient the right way round, names, no identifiers."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from encode.cases import DEMONSTRATION, FLIPS, OPTIONS, Wish, case, identity, read
from spineps_pacs.encode.capture import pictures
from spineps_pacs.encode.header import Sheet
from spineps_pacs.encode.options import KINDS
from spineps_pacs.encode.picture import PLANES, middle_picture, montage, preview, slice_count, slice_png
from spineps_pacs.encode.segments import level_segments
from spineps_pacs.encode.sources import sources


def pixels(png: bytes) -> np.ndarray:
    """A PNG as an array."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.mark.parametrize("spacing", [(3.3, 0.9, 0.7), (4.0, 0.5, 1.0)])
def test_proportions_are_the_patients(spacing: tuple[float, float, float]) -> None:
    """Width to height of each plane is that of the millimetres, not of the voxels."""
    report, _ = case(Wish(spacing=spacing))
    lengths = dict(zip("xzy", np.array(report.volume.geometry.shape) * spacing, strict=True))
    for plane, (wide, tall) in {"sagittal": "yz", "coronal": "xz", "axial": "xy"}.items():
        height, width = pixels(slice_png(report, 0, plane)).shape[:2]
        assert width / height == pytest.approx(lengths[wide] / lengths[tall], rel=0.02)


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("plane", PLANES)
def test_a_mirrored_grid_gives_the_same_picture(flips: tuple[int, int, int], plane: str) -> None:
    """However the index axes run, the patient is drawn the same way up and round, and the same slice is asked for."""
    plain = case()[0]
    turned = _regridded(plain, flips)
    index = slice_count(plain, plane) // 3
    first, second = (pixels(slice_png(r, index, plane, overlay=False)) for r in (plain, turned))
    assert np.abs(first - second).max() <= 2  # the grey window is taken from a sample of voxels


def _regridded(report, flips):  # type: ignore[no-untyped-def]
    """The same patient on a grid whose axes run the other way."""
    geometry = report.volume.geometry
    affine, step = geometry.affine.copy(), tuple(slice(None, None, f) for f in flips)
    for axis, flip in enumerate(flips):
        if flip < 0:
            affine[:3, 3] += affine[:3, axis] * (geometry.shape[axis] - 1)
            affine[:3, axis] *= -1
    there = replace(geometry, affine=affine)
    volume = replace(report.volume, voxels=report.volume.voxels[step].copy(), geometry=there)
    structures = replace(report.structures, labels=report.structures.labels[step].copy(), geometry=there)
    instances = replace(report.instances, labels=report.instances.labels[step].copy(), geometry=there)
    return replace(report, volume=volume, structures=structures, instances=instances)


def test_the_head_is_up_and_the_front_is_left() -> None:
    """Sagittal: the first vertebra is above the last, bodies are left of the processes."""
    report = case()[0]
    picture = pixels(slice_png(report, 3, "sagittal", overlay=True))
    grey = pixels(slice_png(report, 3, "sagittal", overlay=False))
    colours = {s.label: np.array(s.rgb) for s in level_segments(report)}
    coloured = np.abs(picture - grey).sum(axis=2) > 0

    def centre(label: str) -> np.ndarray:
        expected = grey * 0.55 + colours[label] * 0.45
        return np.argwhere(coloured & (np.abs(picture - expected).max(axis=2) < 4)).mean(axis=0)

    assert centre("L3")[0] < centre("L4")[0] < centre("Sacrum")[0]
    bodies = centre("L4")[1]
    assert bodies < picture.shape[1] / 2


def test_overlay_and_names_can_be_left_out() -> None:
    """Without overlay the picture is grey; with it, it has the colours of the levels."""
    report = case()[0]
    plain = pixels(slice_png(report, 3, overlay=False))
    assert (plain.max(axis=2) == plain.min(axis=2)).all()
    coloured = pixels(slice_png(report, 3, overlay=True))
    assert (coloured.max(axis=2) - coloured.min(axis=2)).max() > 60


def test_a_demonstration_is_marked_in_the_picture() -> None:
    """The picture of a demonstration model differs by its caption, at the top."""
    models = (replace(DEMONSTRATION, demonstration=False), DEMONSTRATION)
    real, demonstration = (pixels(preview(case(Wish(model=model))[0])) for model in models)
    rows = np.flatnonzero((real != demonstration).any(axis=(1, 2)))
    assert len(rows)
    assert rows.max() < real.shape[0] // 10


def test_the_same_report_gives_the_same_png() -> None:
    """No time, no chance in a picture."""
    assert preview(case()[0]) == preview(case()[0])


def test_a_montage_shows_the_slices_with_something_on_them() -> None:
    """Four tiles wide at most, as many as slices show a label, twelve at most."""
    report = case()[0]
    tile = middle_picture(report).size
    ratio = tile[0] / tile[1]
    wide, tall = montage(report).size
    assert (wide, tall) == (4 * round(320 * ratio), 320)  # slices 1 to 4 of 7
    assert montage(case(Wish(slices=20))[0]).size[1] == 3 * 320


def test_nothing_found_is_still_a_picture() -> None:
    """An empty report can be looked at."""
    report = case(Wish(empty=True))[0]
    assert pixels(preview(report)).shape[0] == 768
    assert montage(report).size[1] > 0


def test_captures_hold_the_pictures_and_no_patient() -> None:
    """One series, two images, RGB as drawn, referring to the sources, no burned-in identifiers."""
    report, series = case()
    sheet = Sheet(KINDS["picture"], report, sources(report, series), identity(report, series), OPTIONS)
    first, second = (read(result) for result in pictures(sheet))
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert (first.BurnedInAnnotation, first.RecognizableVisualFeatures) == ("NO", "NO")
    np.testing.assert_array_equal(first.pixel_array, pixels(preview(report)))
    assert {i.ReferencedSOPInstanceUID for i in first.SourceImageSequence} == set(series.instance_uids)
