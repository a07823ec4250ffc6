"""Made-up DICOM series whose every voxel is known: a field of values over the patient's space, sampled on any grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Volume

MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
ROOT = "2.25.7331"

Floats = NDArray[np.float64]


def field(world: Floats, seed: int = 0) -> NDArray[np.int64]:
    """The value at LPS millimetres (..., 3): smooth, without any symmetry, from 100 to 3100."""
    x, y, z = world[..., 0], world[..., 1], world[..., 2]
    waves = np.sin(x / 37 + seed) + np.cos(y / 53 + 0.4) * np.sin(z / 71) + 0.3 * np.sin((x + 2 * y - z) / 97)
    return np.round(1600 + 600 * waves).astype(np.int64)


def grid(
    shape: tuple[int, int, int] = (7, 16, 12),
    spacing: tuple[float, float, float] = (4.0, 1.5, 1.25),
    rotation: Floats | None = None,
    origin: tuple[float, float, float] = (-20.0, -90.0, 120.0),
) -> tuple[Floats, tuple[int, int, int]]:
    """An affine (slice, row, column) to LPS mm and its shape; sagittal, rows to the back, unless turned."""
    axes = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # slices to the left, rows down, columns to the back
    axes = axes if rotation is None else rotation @ axes
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(spacing)
    affine[:3, 3] = origin
    return affine, shape


def places(affine: Floats, shape: tuple[int, int, int]) -> Floats:
    """LPS mm of every voxel (slice, row, column, 3)."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.asarray(index @ affine[:3, :3].T + affine[:3, 3])


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters."""
    for digits in range(14, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(value)


def series(affine: Floats, shape: tuple[int, int, int], seed: int = 0, **attributes: object) -> list[Dataset]:
    """A classic MR series, one dataset a slice; `attributes` are set on each, a callable gets the slice's number."""
    values = field(places(affine, shape), seed)
    made = []
    for at in range(shape[0]):
        dataset = blank(MR)
        dataset.SOPInstanceUID = f"{ROOT}.{seed}.{at + 1}"
        dataset.InstanceNumber = at + 1
        dataset.PixelSpacing = [decimal(float(np.linalg.norm(affine[:3, axis]))) for axis in (1, 2)]
        dataset.ImageOrientationPatient = orientation(affine)
        dataset.ImagePositionPatient = [decimal(v) for v in affine[:3, 3] + at * affine[:3, 0]]
        dataset.SliceThickness = decimal(float(np.linalg.norm(affine[:3, 0])))
        set_pixels(dataset, values[at])
        for name, value in attributes.items():
            setattr(dataset, name, value(at) if callable(value) else value)
        made.append(dataset)
    return made


def orientation(affine: Floats) -> list[str]:
    """Image Orientation (Patient): the way along which columns, then rows, are counted."""
    row, column = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (2, 1))
    return [decimal(value) for value in (*row, *column)]


def blank(sop_class: str) -> Dataset:
    """What every image of these tests shares: a sagittal T2w spine by its header."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPClassUID = sop_class
    dataset.Modality = "MR"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2"
    dataset.FrameOfReferenceUID = f"{ROOT}.3"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    dataset.SeriesDescription = "t2_tse_sag"
    dataset.BodyPartExamined = "LSPINE"
    dataset.ScanningSequence, dataset.SequenceVariant = "SE", "SK"
    dataset.EchoTime, dataset.RepetitionTime = "102", "3500"
    dataset.SeriesNumber, dataset.AcquisitionNumber = 4, 1
    return dataset


def set_pixels(dataset: Dataset, values: NDArray[np.generic], signed: bool = False) -> None:
    """16-bit pixels; frames are stacked along the first of three axes."""
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(signed)
    dataset.add_new("PixelData", "OW", values.astype("<i2" if signed else "<u2").tobytes())


def item(**attributes: object) -> Dataset:
    """One item of a sequence."""
    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def enhanced(affine: Floats, shape: tuple[int, int, int], *, shared: bool = False, seed: int = 0) -> Dataset:
    """An Enhanced MR image with one frame a slice; orientation, spacing, echo and rescale shared or in each frame."""
    values = field(places(affine, shape), seed)
    dataset = blank(ENHANCED_MR)
    for name in ("EchoTime", "RepetitionTime", "ScanningSequence"):
        delattr(dataset, name)
    dataset.EchoPulseSequence = "SPIN"
    dataset.SOPInstanceUID = f"{ROOT}.9.{seed}"
    dataset.NumberOfFrames = shape[0]
    common = {
        "PlaneOrientationSequence": item(ImageOrientationPatient=orientation(affine)),
        "PixelMeasuresSequence": item(
            PixelSpacing=[decimal(float(np.linalg.norm(affine[:3, axis]))) for axis in (1, 2)],
            SliceThickness=decimal(float(np.linalg.norm(affine[:3, 0]))),
        ),
        "MREchoSequence": item(EffectiveEchoTime=102.0),
        "MRTimingAndRelatedParametersSequence": item(RepetitionTime="3500", FlipAngle="150"),
        "PixelValueTransformationSequence": item(RescaleSlope="1", RescaleIntercept="0", RescaleType="US"),
        "MRImageFrameTypeSequence": item(
            FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"], ComplexImageComponent="MAGNITUDE"
        ),
    }
    frames = []
    for at in range(shape[0]):
        frame = item(
            FrameContentSequence=Sequence(
                [item(StackID="1", InStackPositionNumber=at + 1, DimensionIndexValues=[1, at + 1])]
            ),
            PlanePositionSequence=Sequence(
                [item(ImagePositionPatient=[decimal(v) for v in affine[:3, 3] + at * affine[:3, 0]])]
            ),
        )
        for name, group in () if shared else common.items():
            setattr(frame, name, Sequence([group]))
        frames.append(frame)
    holder = item(**{name: Sequence([group]) for name, group in common.items()}) if shared else Dataset()
    dataset.SharedFunctionalGroupsSequence = Sequence([holder])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    set_pixels(dataset, values)
    return dataset


def gathered(datasets: list[Dataset]) -> Series:
    """Datasets as a series."""
    return Series(f"{ROOT}.2", tuple(datasets))


def differs(volume: Volume, seed: int = 0) -> float:
    """The largest difference between a volume's voxels and the field at the places where its affine puts them."""
    world = places(volume.geometry.affine, volume.geometry.shape)
    return float(np.abs(field(world, seed) - volume.voxels.astype(np.float64)).max())
