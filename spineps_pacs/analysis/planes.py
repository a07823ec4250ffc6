"""One record for each image plane of a series, whatever object it came in: file, frame of a file, tile of a mosaic."""

from __future__ import annotations

import zlib
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import numpy as np
from pydicom.dataset import Dataset

from spineps_pacs.analysis.mosaics import Mosaic, is_mosaic, mosaic
from spineps_pacs.domain.attributes import Groups, frame_groups, number, numbers, private_tag, quietly, text, whole

Triple = tuple[float, float, float]

MARKS = (
    "stack",
    "echo time",
    "echo number",
    "component",
    "image type",
    "inversion time",
    "flip angle",
    "b-value",
    "gradient direction",
    "time point",
    "cardiac phase",
    "acquisition",
    "instance",
)
"""What may tell two images of one place apart, in the order in which it is asked."""

_MOST_FRAMES = 100_000
_LARGEST_INTEGER = 2**31
_FARTHEST_MM = 1e6
_GE_COMPONENTS = ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY")
_UNCUT = "a mosaic does not divide into the slices that its header states, or does not say where they lie"
_OFFSETS = "GridFrameOffsetVector"


@dataclass(frozen=True)
class Rescale:
    """Stored value to real value (PS3.3 C.11.1): slope and intercept of one frame."""

    slope: float = 1.0
    intercept: float = 0.0

    @property
    def integral(self) -> bool:
        """True when integers stay integers."""
        small = max(abs(self.slope), abs(self.intercept)) < _LARGEST_INTEGER
        return small and self.slope == int(self.slope) and self.intercept == int(self.intercept)


@dataclass(frozen=True)
class Plane:
    """One plane: where its pixels are, where it lies (LPS mm), and what tells it from others. No pixel, no patient."""

    source: int
    frame: int | None
    tile: tuple[int, int, int] | None  # index of the tile, tiles in a row, tiles in a column
    sop_class_uid: str
    sop_instance_uid: str
    shape: tuple[int, int]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    spacing: tuple[float, ...]
    thickness: float | None
    frame_of_reference_uid: str
    rescale: Rescale
    marks: dict[str, Hashable] = field(default_factory=dict, compare=False)
    order: tuple[float, float, float] = (0.0, 0.0, 0.0)
    digest: int | None = None
    refusal: str = ""
    inverse: bool = False

    @property
    def flaw(self) -> str:
        """Why this plane has no place in space; empty when it has one."""
        if self.refusal:
            return self.refusal
        if min(self.shape) < 1:
            return f"an image has {self.shape[0]} rows and {self.shape[1]} columns"
        if len(self.orientation) != 6:
            return "Image Orientation (Patient) is missing or not six numbers"
        if len(self.position) != 3 or max(map(abs, self.position)) > _FARTHEST_MM:
            return "Image Position (Patient) is missing or not three numbers of millimetres"
        if len(self.spacing) != 2 or not all(1 / _FARTHEST_MM < size < _FARTHEST_MM for size in self.spacing):
            return "Pixel Spacing is missing or not two positive numbers"
        return _crooked(self.orientation)


def _crooked(orientation: tuple[float, ...]) -> str:
    """Why six cosines span no plane (PS3.3 C.7.6.2.1.1: two orthogonal unit vectors); empty when they do."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if not all(0.9 < length < 1.1 for length in lengths):
        return f"the cosines of Image Orientation (Patient) have lengths {lengths[0]:.3f} and {lengths[1]:.3f}, not 1"
    dot = abs(float(row @ column)) / (lengths[0] * lengths[1])
    return f"rows and columns are not at right angles: the cosines' product is {dot:.3f}" if dot > 0.02 else ""


def planes(dataset: Dataset, source: int = 0, digest: int | None = None) -> tuple[Plane, ...]:
    """The planes of one dataset, which is number `source` of its series; never raises on what a header holds.

    What has no Rows, Columns or Bits Allocated is no image: a report, a spectrum, raw data.
    """
    with quietly():
        if not all(whole(dataset, keyword) for keyword in ("Rows", "Columns", "BitsAllocated")):
            return ()
        if is_mosaic(dataset):
            return _tiled(dataset, source, mosaic(dataset), digest)
        groups = frame_groups(dataset)[:_MOST_FRAMES]
        frames = min(whole(dataset, "NumberOfFrames") or len(groups), _MOST_FRAMES)
        described = "PerFrameFunctionalGroupsSequence" in dataset
        if frames > 1 and not described:
            return _offset(_plane(dataset, source, 0, groups[0], digest), frames, numbers(dataset, _OFFSETS))
        return tuple(
            _plane(dataset, source, index if described else None, it, digest)
            for index, it in enumerate(groups[:frames])
        )


def pixel_digest(dataset: Dataset) -> int | None:
    """A checksum of the pixel data as stored; none when they were not read."""
    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        content = dataset.get(keyword)
        if isinstance(content, bytes):
            return zlib.crc32(content)
    return None


def _plane(dataset: Dataset, source: int, frame: int | None, groups: Groups, digest: int | None) -> Plane:
    measures = "PixelMeasuresSequence"
    return Plane(
        source=source,
        frame=frame,
        tile=None,
        sop_class_uid=text(dataset, "SOPClassUID"),
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        shape=(whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0),
        orientation=groups.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        position=groups.numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        spacing=groups.numbers(measures, "PixelSpacing", 2),
        thickness=groups.number(measures, "SpacingBetweenSlices") or groups.number(measures, "SliceThickness"),
        frame_of_reference_uid=text(dataset, "FrameOfReferenceUID"),
        rescale=_rescale(groups),
        marks=_marks(dataset, groups),
        order=_order(dataset, frame),
        digest=digest,
        refusal=colours(dataset),
        inverse=_is_inverse(dataset),
    )


def colours(dataset: Dataset) -> str:
    """Why an image is no field of values: it has colours; empty when it is grey."""
    samples, kind = whole(dataset, "SamplesPerPixel") or 1, text(dataset, "PhotometricInterpretation")
    if samples == 1 and kind in ("", "MONOCHROME1", "MONOCHROME2"):
        return ""
    return f"a colour image is no volume: {samples} samples per pixel, {kind[:16] or 'unknown colours'}"


def _is_inverse(dataset: Dataset) -> bool:
    """True where the least value is to be seen white (PS3.3 C.7.6.3.1.2); the values of CT are Hounsfield units."""
    return text(dataset, "PhotometricInterpretation") == "MONOCHROME1" and text(dataset, "Modality") != "CT"


def _offset(first: Plane, frames: int, offsets: tuple[float, ...]) -> tuple[Plane, ...]:
    """Frames without functional groups: each lies its Grid Frame Offset along the normal (PS3.3 C.8.8.3.2)."""
    if len(offsets) != frames or first.flaw:
        return (replace(first, refusal=first.flaw or f"{frames} frames do not say where they lie"),)
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    start = np.array(first.position) - offsets[0] * normal
    return tuple(
        replace(first, frame=index, position=tuple(map(float, start + offset * normal)))
        for index, offset in enumerate(offsets)
    )


def _tiled(dataset: Dataset, source: int, tiles: Mosaic | None, digest: int | None) -> tuple[Plane, ...]:
    """The planes of a mosaic, one a tile."""
    picture = _plane(dataset, source, None, Groups(dataset), digest)
    if tiles is None:
        return (replace(picture, refusal=_UNCUT),)
    return tuple(
        replace(picture, tile=(index, *tiles.grid), shape=tiles.shape, position=position, thickness=tiles.step)
        for index, position in enumerate(tiles.positions)
    )


def _rescale(groups: Groups) -> Rescale:
    """Rescale Slope and Intercept; a slope of 0 would erase the image and is read as 1."""
    sequence = "PixelValueTransformationSequence"
    slope = groups.number(sequence, "RescaleSlope")
    return Rescale(slope or 1.0, groups.number(sequence, "RescaleIntercept") or 0.0)


def _order(dataset: Dataset, frame: int | None) -> tuple[float, float, float]:
    """When the image was made, for images that nothing else tells apart."""
    return (number(dataset, "AcquisitionNumber") or 0.0, number(dataset, "InstanceNumber") or 0.0, float(frame or 0))


def _marks(dataset: Dataset, groups: Groups) -> dict[str, Hashable]:
    """What may tell this image from another one of the same place; `MARKS` names them."""
    content = "FrameContentSequence"
    marks: dict[str, Hashable] = {
        "stack": groups.text(content, "StackID"),
        "echo time": echo_time(groups),
        "echo number": groups.number("MREchoSequence", "EchoNumbers"),
        "component": groups.text("MRImageFrameTypeSequence", "ComplexImageComponent") or _ge_component(dataset),
        "image type": groups.text("MRImageFrameTypeSequence", "FrameType") or text(dataset, "ImageType"),
        "inversion time": _rounded(
            groups.number("MRModifierSequence", "InversionTimes")
            or groups.number("MRModifierSequence", "InversionTime")
        ),
        "flip angle": _rounded(groups.number("MRTimingAndRelatedParametersSequence", "FlipAngle")),
        "b-value": _b_value(dataset, groups),
        "gradient direction": _direction(dataset, groups),
        "time point": groups.number(content, "TemporalPositionIndex")
        or groups.number("TemporalPositionSequence", "TemporalPositionIdentifier"),
        "cardiac phase": groups.number("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime")
        or groups.number("CardiacSynchronizationSequence", "TriggerTime"),
        "acquisition": groups.number(content, "FrameAcquisitionNumber") or groups.number(content, "AcquisitionNumber"),
        "instance": number(dataset, "InstanceNumber") if _holds_several(dataset) else None,
    }
    for index, value in enumerate(groups.numbers(content, "DimensionIndexValues")):
        marks[f"dimension {index + 1}"] = value
    return {name: value for name, value in marks.items() if value not in (None, "", ())}


def _holds_several(dataset: Dataset) -> bool:
    """True for files of many slices, which are often a volume each."""
    return is_mosaic(dataset) or "PerFrameFunctionalGroupsSequence" in dataset


def echo_time(groups: Groups) -> float | None:
    """Echo time in ms; Effective Echo Time in Enhanced MR. 0 is what converters write for "unknown"."""
    found = groups.number("MREchoSequence", "EffectiveEchoTime") or groups.number("MREchoSequence", "EchoTime")
    return round(found, 3) if found is not None and 0 < found < 1e5 else None


def _ge_component(dataset: Dataset) -> str:
    """GE tells magnitude, phase, real and imaginary images of one series apart by a number of its own."""
    tag = private_tag(dataset, 0x0043, "GEMS_PARM_01", 0x2F)
    code = None if tag is None else whole(dataset, tag)
    return _GE_COMPONENTS[code] if code is not None and 0 <= code < len(_GE_COMPONENTS) else ""


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _b_value(dataset: Dataset, groups: Groups) -> float | None:
    """s/mm2: the standard's attribute, else Siemens', GE's or UIH's own."""
    found = groups.number("MRDiffusionSequence", "DiffusionBValue")
    if found is not None:
        return round(found, 3)
    for group, creator, element in (
        (0x0019, "SIEMENS MR HEADER", 0x0C),
        (0x0043, "GEMS_PARM_01", 0x39),
        (0x2001, "Philips Imaging DD 001", 0x03),
        (0x0065, "Image Private Header", 0x09),
    ):
        tag = private_tag(dataset, group, creator, element)
        value = None if tag is None else number(dataset, tag)
        if value is not None:
            return round(value % 1e9, 3)
    return None


def _direction(dataset: Dataset, groups: Groups) -> tuple[float, ...]:
    """The diffusion gradient's direction, rounded so that it is the same in every slice."""
    own = groups.numbers("DiffusionGradientDirectionSequence", "DiffusionGradientOrientation", 3)
    tag = private_tag(dataset, 0x0019, "SIEMENS MR HEADER", 0x0E)
    found = own or (numbers(dataset, tag, 3) if tag is not None else ())
    return tuple(round(value, 4) for value in found)
