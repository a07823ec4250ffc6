"""Tests of the RT Structure Set: each level's volume and place, through its own coordinates."""

from __future__ import annotations

import numpy as np
import pytest

from encode.cases import FLIPS, OBLIQUE, OPTIONS, Wish, case, identity, read
from spineps_pacs.encode.contours import contours
from spineps_pacs.encode.header import Sheet
from spineps_pacs.encode.options import KINDS
from spineps_pacs.encode.segments import level_segments
from spineps_pacs.encode.sources import sources


@pytest.mark.parametrize("multiframe", [False, True])
@pytest.mark.parametrize("flips", FLIPS[::3])
def test_contours_enclose_their_level(flips: tuple[int, int, int], multiframe: bool) -> None:
    """Area times slice spacing is the volume of the level, the mean of its polygons lies in its plane and place."""
    report, series = case(Wish(flips=flips, turned=OBLIQUE, multiframe=multiframe))
    sheet = Sheet(KINDS["contours"], report, sources(report, series), identity(report, series), OPTIONS)
    ds = read(contours(sheet))
    geometry = report.volume.geometry
    names = {int(item.ROINumber): str(item.ROIName) for item in ds.StructureSetROISequence}
    assert list(names.values()) == [segment.label for segment in level_segments(report)]
    for item, segment in zip(ds.ROIContourSequence, level_segments(report), strict=True):
        volume = 0.0
        for contour in item.ContourSequence:
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            index = geometry.to_index(points)
            assert np.ptp(index[:, 0]) < 1e-3
            rows, columns = index[:, 1], index[:, 2]
            volume += abs(np.sum(rows * np.roll(columns, 1) - np.roll(rows, 1) * columns)) / 2
            k = round(float(index[0, 0]))
            frame = report.volume.frames[k]
            image = contour.ContourImageSequence[0]
            assert image.ReferencedSOPInstanceUID == frame.sop_instance_uid
            assert image.get("ReferencedFrameNumber") == frame.number
        assert volume == pytest.approx((report.instances.labels == segment.instance).sum(), rel=1e-3)
