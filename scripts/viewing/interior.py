"""One point well inside each segment of a SEG, in the patient's coordinates; pydicom alone, none of our code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from scipy import ndimage
from skimage.color import lab2rgb


@dataclass(frozen=True)
class Spot:
    """A point to look at: the segment's label and colour, the source image it lies on, the point (LPS mm)."""

    label: str
    rgb: tuple[int, int, int]
    image_uid: str
    point: tuple[float, float, float]


def spots(path: Path) -> tuple[str, tuple[Spot, ...]]:
    """Series UID of the SEG, and one spot per segment: the pixel farthest from the segment's edge, over all frames."""
    seg = pydicom.dcmread(path)
    frames = np.atleast_3d(seg.pixel_array).reshape(int(seg.NumberOfFrames), seg.Rows, seg.Columns)
    best: dict[int, tuple[float, Spot]] = {}
    labels = {int(s.SegmentNumber): s for s in seg.SegmentSequence}
    for group, frame in zip(seg.PerFrameFunctionalGroupsSequence, frames, strict=True):
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        depth = ndimage.distance_transform_edt(np.pad(frame, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        if number not in best or depth[row, column] > best[number][0]:
            best[number] = (float(depth[row, column]), _spot(seg, group, labels[number], int(row), int(column)))
    return str(seg.SeriesInstanceUID), tuple(spot for _, (_, spot) in sorted(best.items()))


def _spot(seg: Any, group: Any, segment: Any, row: int, column: int) -> Spot:
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    spacing = [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing]
    origin = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
    point = origin + orientation[:3] * spacing[1] * column + orientation[3:] * spacing[0] * row
    source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
    return Spot(str(segment.SegmentLabel), _rgb(segment), str(source), tuple(float(v) for v in point))


def _rgb(segment: Any) -> tuple[int, int, int]:
    """RecommendedDisplayCIELabValue as it is meant: 16-bit L 0..100, a and b -128..127, white of D65."""
    lab = np.array(segment.RecommendedDisplayCIELabValue, dtype=float)
    scaled = np.array([lab[0] * 100 / 65535, lab[1] * 255 / 65535 - 128, lab[2] * 255 / 65535 - 128])
    r, g, b = (round(float(v) * 255) for v in lab2rgb(scaled[None, None])[0, 0])
    return (r, g, b)
