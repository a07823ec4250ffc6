"""The source images as an encoder needs them: one plain dataset per slice with geometry and references, no patient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from spineps_pacs.domain.attributes import Groups, frame_groups, text
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Frame
from spineps_pacs.encode.referable import refuse_several, refuse_unreferable

_PLACEHOLDERS = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_SHARED = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True)
class Plane:
    """Where one source frame lies: position and orientation (LPS), spacing between rows and columns, thickness, mm.

    A thickness of 0 was not stated.
    """

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    spacing: tuple[float, float]
    thickness: float


@dataclass(frozen=True, eq=False)
class Sources:
    """The images behind the slices of a report.

    `slices` are the indices of those slices that have an image (a filled-in slice has none), `planes` and `frames` go
    with them. `images` are what highdicom is given: one dataset a slice, or one multi-frame dataset; they hold no
    patient, since the header is carried over as bytes. `first` is the source dataset whose header is carried over.
    """

    first: Dataset
    slices: tuple[int, ...]
    frames: tuple[Frame, ...]
    planes: tuple[Plane, ...]
    images: tuple[Dataset, ...]

    @property
    def multiframe(self) -> bool:
        """True when the source is one Enhanced (multi-frame) instance."""
        return self.frames[0].number is not None

    def frame_of(self, index: int) -> Frame | None:
        """The source image of a slice, None for a slice that was filled in."""
        return self.frames[self.slices.index(index)] if index in self.slices else None


def sources(report: Report, series: Series) -> Sources:
    """The source image of every slice of the report, in slice order."""
    refuse_unreferable(series)
    datasets = {str(ds.SOPInstanceUID): ds for ds in series.datasets}
    slices = tuple(k for k, frame in enumerate(report.volume.frames) if frame.sop_instance_uid in datasets)
    if not slices:
        raise Unusable(f"none of the {report.volume.geometry.shape[0]} slices has an image in the series")
    frames = tuple(report.volume.frames[k] for k in slices)
    _refuse_tiles(frames, datasets)
    refuse_several("FrameOfReferenceUID", [datasets[uid] for uid in {frame.sop_instance_uid for frame in frames}])
    planes = _alike([plane(datasets[frame.sop_instance_uid], frame.number) for frame in frames], report)
    first = min(datasets.values(), key=lambda ds: str(ds.SOPInstanceUID))
    if frames[0].number is None:
        images = tuple(_single(datasets[f.sop_instance_uid], p) for f, p in zip(frames, planes, strict=True))
    else:
        images = (_multiple(datasets, frames, planes),)
    return Sources(first, slices, frames, planes, images)


def _alike(planes: list[Plane], report: Report) -> tuple[Plane, ...]:
    """One orientation for all, as an object says it once: cosines of a volume differ by rounding at most.

    A thickness that nobody states is the distance from slice to slice, which is never 0 as the source's may be.
    """
    step = float(report.volume.geometry.spacing[0])
    orientation = planes[0].orientation
    return tuple(replace(it, orientation=orientation, thickness=it.thickness or step) for it in planes)


def _refuse_tiles(frames: tuple[Frame, ...], datasets: dict[str, Dataset]) -> None:
    """A slice that is a tile of a larger picture has no frame of its own that an object could refer to."""
    places = {(frame.sop_instance_uid, frame.number) for frame in frames}
    tiled = any(f.number and "NumberOfFrames" not in datasets[f.sop_instance_uid] for f in frames)
    if tiled or len(places) < len(frames):
        raise Unusable(f"{len(frames)} slices lie in {len(places)} images: tiles of a mosaic cannot be referred to")


def plane(dataset: Dataset, number: int | None) -> Plane:
    """The plane of a single-frame image, or of frame `number` (1-based) of a multi-frame one."""
    groups = Groups(dataset) if number is None else frame_groups(dataset)[number - 1]
    position = groups.numbers("PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = groups.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = groups.numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    if not (position and orientation and spacing):
        raise Unusable(
            f"a source image lacks position, orientation or spacing{'' if number is None else f' of frame {number}'}"
        )
    stated = (groups.number("PixelMeasuresSequence", key) for key in ("SliceThickness", "SpacingBetweenSlices"))
    thickness = next((abs(value) for value in stated if value), 0.0)
    return Plane(position, orientation, spacing, thickness)  # type: ignore[arg-type]


def decimal(value: float) -> Any:
    """A decimal string of at most 16 characters, as DS demands."""
    return DSfloat(float(value), auto_format=True)


def decimals(values: Iterable[float]) -> list[Any]:
    """Several of them."""
    return [decimal(value) for value in values]


def _bare(source: Dataset) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in _PLACEHOLDERS:
        setattr(image, keyword, "")
    for keyword in ("SOPClassUID", "SOPInstanceUID", *_SHARED):
        setattr(image, keyword, text(source, keyword))
    image.PositionReferenceIndicator = ""
    image.Modality = "MR"
    image.Rows, image.Columns = int(source.Rows), int(source.Columns)
    image.SamplesPerPixel, image.LossyImageCompression = 1, "00"
    return image


def _single(source: Dataset, where: Plane) -> Dataset:
    image = _bare(source)
    image.ImagePositionPatient = decimals(where.position)
    image.ImageOrientationPatient = decimals(where.orientation)
    image.PixelSpacing = decimals(where.spacing)
    image.SliceThickness = decimal(where.thickness)
    return image


def _multiple(datasets: dict[str, Dataset], frames: tuple[Frame, ...], planes: tuple[Plane, ...]) -> Dataset:
    uids = {frame.sop_instance_uid for frame in frames}
    if len(uids) > 1:
        raise Unusable(f"the slices come from {len(uids)} multi-frame instances; only one can be referred to")
    image = _bare(datasets[frames[0].sop_instance_uid])
    image.NumberOfFrames = len(frames)
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = decimals(planes[0].orientation)
    measures.PixelSpacing = decimals(planes[0].spacing)
    measures.SliceThickness = decimal(planes[0].thickness)
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    image.SharedFunctionalGroupsSequence = [shared]
    image.PerFrameFunctionalGroupsSequence = [_positioned(where) for where in planes]
    return image


def _positioned(where: Plane) -> Dataset:
    position, item = Dataset(), Dataset()
    position.ImagePositionPatient = decimals(where.position)
    item.PlanePositionSequence = [position]
    return item
