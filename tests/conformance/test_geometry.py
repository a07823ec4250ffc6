"""Every frame of every SEG against the source's pixels, with pydicom and numpy and none of our code."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from conformance.gallery import GALLERY, exhibit

IDS = {
    "54735007": {26}, "3572006": {49}, "61853006": {61}, "2748008": {60}, "ENDPLATE": {52, 53, 62},
    "360499006": {100}, "73400003": {43},
}  # fmt: skip
"""Code of a structure to the ids that the made images show as grey value / 8 (all 73400003 are of the left side)."""


def planes(ds: Dataset) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Position, orientation and pixels of every frame of a source."""
    if "PerFrameFunctionalGroupsSequence" not in ds:
        orientation = np.array(ds.ImageOrientationPatient, dtype=float)
        return [(np.array(ds.ImagePositionPatient, dtype=float), orientation, ds.pixel_array)]
    shared = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    orientation = np.array(shared.ImageOrientationPatient, dtype=float)
    return [
        (np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float), orientation, pixels)
        for group, pixels in zip(ds.PerFrameFunctionalGroupsSequence, ds.pixel_array, strict=True)
    ]


@pytest.mark.parametrize("name", [name for name in GALLERY if name != "nothing found"])
def test_segments_lie_on_what_they_name(name: str) -> None:
    """Found by position alone, each source slice shows exactly the structure that the SEG marks there."""
    shown = exhibit(name)
    sources = [plane for path in shown.sources for plane in planes(pydicom.dcmread(path))]
    ds = pydicom.dcmread(shown.file("structures"))
    codes = {
        int(item.SegmentNumber): str(item.SegmentedPropertyTypeCodeSequence[0].CodeValue) for item in ds.SegmentSequence
    }
    orientation = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    marked = dict.fromkeys(codes, 0)
    pixels = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    for frame, group in zip(pixels, ds.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        here = [
            s for s in sources if np.allclose(s[0], position, atol=1e-4) and np.allclose(s[1], orientation, atol=1e-6)
        ]
        assert here, "a frame lies where no source image lies"
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        wanted = np.isin(here[0][2] // 8, list(IDS[codes[number]]))
        np.testing.assert_array_equal(frame.astype(bool), wanted)
        marked[number] += int(frame.sum())
    for number, count in marked.items():
        shown_by_source = sum(int(np.isin(s[2] // 8, list(IDS[codes[number]])).sum()) for s in _once(sources))
        assert count == shown_by_source


def _once(sources: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, ...]]:
    """Each place once; spare frames of an Enhanced image show the same slice again."""
    return list({tuple(np.round(s[0], 3)): s for s in sources}.values())
