"""Small reports with blobs in known places, and the source images that belong to them, for tests of the encoders."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from spineps_pacs.domain.anatomy import CORD_ID, HEAD_TO_TAIL, SACRUM_ID
from spineps_pacs.domain.masks import InstanceMask, LevelChoice, LevelMethod, Levels, SemanticMask
from spineps_pacs.domain.ports import Result
from spineps_pacs.domain.report import Flag, Measurement, Missing, ModelUsed, Report
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Frame, Geometry, Volume
from spineps_pacs.encode.header import Sheet
from spineps_pacs.encode.identity import Identity, Origin, identify
from spineps_pacs.encode.options import KINDS, Options
from spineps_pacs.encode.segmentation import segmentation
from spineps_pacs.encode.segments import level_segments, picked, structure_segments
from spineps_pacs.encode.sources import sources

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
OPTIONS = Options(version="0.1.0")
CREATED = datetime(2026, 3, 4, 10, 20, 30, 456000, tzinfo=UTC)
MODEL = ModelUsed("semantic", "t2w", "1.0.9", "ab" * 32)
DEMONSTRATION = replace(MODEL, name="phantom", version="1", demonstration=True)
FLIPS = [(a, b, c) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
OBLIQUE = (20.0, -12.0, 7.0)


@dataclass(frozen=True)
class Wish:
    """What a case shall look like. `levels` names the vertebrae from the head down, None where they are counted."""

    levels: tuple[int | None, ...] = (22, 23, 24, SACRUM_ID)
    flips: tuple[int, int, int] = (1, 1, 1)
    turned: tuple[float, float, float] = (0.0, 0.0, 0.0)
    multiframe: bool = False
    slices: int = 7
    rows: int = 160
    columns: int = 72
    spacing: tuple[float, float, float] = (3.3, 0.9, 0.7)
    patient: tuple[tuple[str, object], ...] = ()
    charset: str | Sequence[str] | None = "ISO_IR 192"
    implicit: bool = False
    empty: bool = False
    model: ModelUsed = MODEL
    spare_frames: int = 0


def case(wish: Wish = Wish()) -> tuple[Report, Series]:
    """A report and its series, as they would come from the rooms before this one."""
    geometry = _geometry(wish)
    structures, instances, levels = _masks(wish, geometry.shape)
    pixels = _pixels(structures, geometry.shape)
    datasets, frames = (_enhanced if wish.multiframe else _classic)(wish, geometry, pixels)
    volume = Volume(pixels, geometry, frames)
    report = Report(
        volume,
        SemanticMask(structures, geometry),
        InstanceMask(instances, geometry),
        levels,
        () if wish.empty else _measurements(levels),
        (wish.model,),
        "default",
        flags=(Flag("structure-absent", "no costal process was found"),),
        timings_s=(("semantic", 1.25),),
    )
    return report, Series(str(datasets[0].SeriesInstanceUID), datasets)


def seg(report: Report, series: Series, kind: str, options: Options = OPTIONS) -> Dataset:
    """One SEG of a case alone, read back; the report, which takes longest, is not made."""
    sheet = Sheet(KINDS[kind], report, sources(report, series), identity(report, series, options), options)
    plans = {"structures": structure_segments(report), "levels": level_segments(report)}
    plans["vertebrae"] = picked(plans["levels"], lambda segment: not segment.disc)
    plans["discs"] = picked(plans["levels"], lambda segment: segment.disc)
    mask = report.structures if kind.startswith("structures") else report.instances
    return read(segmentation(sheet, plans[kind.removesuffix("-labelmap")], mask.labels))


def read(result: Result) -> Dataset:
    """An encoded object, read back."""
    return pydicom.dcmread(io.BytesIO(result.content))


def identity(report: Report, series: Series, options: Options = OPTIONS) -> Identity:
    """The identity of a case."""
    return identify(report, series, options, Origin(CREATED, "settings"))


def whole_spine() -> tuple[int, ...]:
    """All 25 usual levels, C1 to the sacrum."""
    return tuple(level for level in HEAD_TO_TAIL if level not in (25, 28))


def _geometry(wish: Wish) -> Geometry:
    # columns: slices to the Left, rows to Inferior, columns to Posterior
    axes = np.stack([[1, 0, 0], [0, 0, -1], [0, 1, 0]], axis=1).astype(float) * np.array(wish.flips)
    turn = Rotation.from_euler("xyz", wish.turned, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes * np.array(wish.spacing)
    affine[:3, 3] = (-11.5, -33.25, 120.125)
    return Geometry(affine, (wish.slices, wish.rows, wish.columns), "1.2.3.4.99")


def _masks(wish: Wish, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, Levels]:
    structures = np.zeros(shape, dtype=np.uint8)
    instances = np.zeros(shape, dtype=np.uint16)
    choices = []
    if not wish.empty:
        n = len(wish.levels)
        height = (shape[1] - 12) // n
        bone = max(2, int(height * 0.6))
        for position, level in enumerate(wish.levels, start=1):
            top = 6 + (position - 1) * height
            instance = level if level is not None else position
            body = np.s_[1:-2, top : top + bone, 8 + position % 3 : 26]
            instances[body], structures[body] = instance, SACRUM_ID if level == SACRUM_ID else 49
            choices.append(LevelChoice(instance, position, level, None if level is None else 0.9))
            if position < n:
                disc = np.s_[2:-2, top + bone : top + height - 1, 9:25]
                instances[disc], structures[disc] = 100 + instance, 100
                plate = np.s_[2:-2, top + bone - 1, 10:24]
                structures[plate], instances[plate] = (52, 53, 62)[position % 3], 200 + instance
            structures[1:3, top, 40:50] = 43  # left of the first slices is right of the last only when flipped
            instances[1:3, top, 40:50] = instance
        structures[2:-2, 4:-4, 28:34] = 61
        structures[3:-3, 6:-6, 30:32] = CORD_ID
    named = [c for c in choices if c.level is not None]
    method = LevelMethod.MODEL if named else LevelMethod.COUNTED
    return structures, instances, Levels(method, tuple(choices), 1.5 if named else None)


def _measurements(levels: Levels) -> tuple[Measurement, ...]:
    found = [
        Measurement("structure_volume", 49, 31234.5678),
        Measurement("lordosis_lumbar", levels.choices[0].instance, 41.25, other=levels.choices[-1].instance),
    ]
    for n, choice in enumerate(levels.choices):
        i = choice.instance
        found += [
            Measurement("volume", i, 12345.678 + n, uncertainty=200.0),
            Measurement("body_height_anterior", i, 25.123456789, uncertainty=1.0, points=((0, 1, 2), (3, 4, 5.5))),
            Measurement("body_height_ratio", i, 0.98765),
            Measurement("canal_area", i, None, missing=Missing.FAILED, reason="the canal is cut"),
            Measurement("canal_ap_diameter", i, 14.2),
        ]
        if choice is not levels.choices[-1]:
            found += [
                Measurement("disc_volume", 100 + i, 5000.5),
                Measurement("disc_height_middle", 100 + i, 8.75, uncertainty=0.7),
                Measurement("slip", i, -1.5, other=levels.choices[n + 1].instance),
            ]
    return tuple(found)


def _pixels(structures: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    ramp = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) % 8  # so that the image tells the structure
    return (structures.astype(np.int64) * 8 + ramp).astype(np.uint16)


def _header(wish: Wish) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if wish.implicit else ExplicitVRLittleEndian
    if wish.charset is not None:
        ds.SpecificCharacterSet = wish.charset if isinstance(wish.charset, str) else list(wish.charset)
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^Anna", "P-7", "19700102", "F"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3.4.1", "1.2.3.4.2", "1.2.3.4.99"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260303", "080910", "S1", "A-55"
    ds.ReferringPhysicianName, ds.StudyDescription = "House^G", "MRI spine"
    ds.PatientAge, ds.PatientWeight = "056Y", "70.5"
    ds.SeriesDate, ds.SeriesTime, ds.SeriesNumber, ds.SeriesDescription = "20260303", "081000", 3, "T2 SAG"
    ds.ContentDate, ds.ContentTime = "20260303", "081100"
    ds.AcquisitionDate, ds.AcquisitionTime = "20260303", "081000"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "MR", "Magnets", "M-3000"
    ds.DeviceSerialNumber, ds.SoftwareVersions, ds.InstitutionName = "4711", ["syngo", "MR"], "Clinic"
    ds.BodyPartExamined, ds.PatientPosition, ds.PositionReferenceIndicator = "LSPINE", "HFS", ""
    for keyword, value in wish.patient:
        setattr(ds, keyword, value)
    ds.Rows, ds.Columns = wish.rows, wish.columns
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    return ds


def _text(values: Sequence[float]) -> list[str]:
    return [f"{v:.9f}"[:16] for v in values]


def _orientation(geometry: Geometry) -> list[str]:
    directions = geometry.directions
    return _text([*directions[:, 2], *directions[:, 1]])


def _classic(wish: Wish, geometry: Geometry, pixels: np.ndarray) -> tuple[tuple[Dataset, ...], tuple[Frame, ...]]:
    datasets, frames = [], []
    for k in range(wish.slices):
        ds = _header(wish)
        ds.SOPClassUID, ds.SOPInstanceUID, ds.InstanceNumber = MR, f"1.2.3.4.2.{wish.slices - k}", wish.slices - k
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "SK", "", "2D"
        ds.EchoTime, ds.RepetitionTime, ds.EchoTrainLength = "100", "3500", "15"
        ds.ImagePositionPatient = _text(geometry.to_world(np.array([k, 0, 0])))
        ds.ImageOrientationPatient = _orientation(geometry)
        ds.PixelSpacing = _text(geometry.spacing[1:])
        ds.SliceThickness = "3.0"
        ds.PixelData = pixels[k].tobytes()
        frames.append(Frame(MR, ds.SOPInstanceUID))
        datasets.append(_read_back(ds))
    return tuple(datasets[::-1]), tuple(frames)


def _enhanced(wish: Wish, geometry: Geometry, pixels: np.ndarray) -> tuple[tuple[Dataset, ...], tuple[Frame, ...]]:
    ds = _header(wish)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.InstanceNumber = ENHANCED_MR, "1.2.3.4.2.1", 1
    ds.ImageType = ["ORIGINAL", "PRIMARY", "SPINE", "NONE"]
    ds.NumberOfFrames = wish.slices + wish.spare_frames
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = _orientation(geometry)
    measures.PixelSpacing, measures.SliceThickness = _text(geometry.spacing[1:]), "3.0"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    groups = []
    order = [*range(wish.spare_frames), *reversed(range(wish.slices))]  # spare ones first, then tail to head
    for k in order:
        position, content, item = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = _text(geometry.to_world(np.array([k, 0, 0])))
        content.StackID, content.InStackPositionNumber = "1", k + 1
        item.PlanePositionSequence, item.FrameContentSequence = [position], [content]
        groups.append(item)
    ds.PerFrameFunctionalGroupsSequence = groups
    ds.PixelData = pixels[order].tobytes()
    total = wish.slices + wish.spare_frames
    frames = tuple(Frame(ENHANCED_MR, "1.2.3.4.2.1", total - k) for k in range(wish.slices))
    return (_read_back(ds),), frames


def _read_back(ds: Dataset) -> Dataset:
    """As a file that arrived: nothing decoded yet."""
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue()))
