"""Tests of the presentation state: the right name on the right slice."""

from __future__ import annotations

import numpy as np
import pytest

from encode.cases import OPTIONS, Wish, case, identity, read
from spineps_pacs.encode.header import Sheet
from spineps_pacs.encode.options import KINDS
from spineps_pacs.encode.presentation import presentation
from spineps_pacs.encode.sources import sources


@pytest.mark.parametrize("multiframe", [False, True])
def test_names_stand_on_their_vertebrae(multiframe: bool) -> None:
    """Every text is a level's name, anchored on a voxel of that level, on each slice that shows it."""
    report, series = case(Wish(multiframe=multiframe, spare_frames=2 * multiframe))
    sheet = Sheet(KINDS["presentation"], report, sources(report, series), identity(report, series), OPTIONS)
    ds = read(presentation(sheet))
    instances = {"L3": 22, "L4": 23, "L5": 24, "Sacrum": 26}
    seen = []
    for annotation in ds.GraphicAnnotationSequence:
        (image,) = annotation.ReferencedImageSequence
        wanted = (image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber"))
        k = next(k for k, f in enumerate(report.volume.frames) if (f.sop_instance_uid, f.number) == wanted)
        for text in annotation.TextObjectSequence:
            column, row = (int(v) - 1 for v in text.AnchorPoint)
            label = str(text.UnformattedTextValue)
            near = report.instances.labels[k, row - 1 : row + 2, column - 1 : column + 2]
            assert instances[label] in near
            seen.append((k, label))
    expected = [(k, n) for k in range(7) for n, i in instances.items() if (report.instances.labels[k] == i).any()]
    assert sorted(seen) == sorted(expected)


def test_pixels_keep_their_proportions() -> None:
    """The displayed area states the source's pixel spacing."""
    report, series = case()
    sheet = Sheet(KINDS["presentation"], report, sources(report, series), identity(report, series), OPTIONS)
    (area,) = read(presentation(sheet)).DisplayedAreaSelectionSequence
    np.testing.assert_allclose(np.array(area.PresentationPixelSpacing, dtype=float), report.volume.geometry.spacing[1:])
    assert "PresentationPixelAspectRatio" not in area
