"""Writes a series as DICOM: classic MR images or one enhanced multi-frame image. The same seed gives the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

from spineps_pacs.domain.volume import Geometry
from spineps_pacs.phantom.multiframe import add_frames
from spineps_pacs.phantom.protocols import Protocol, Vendor
from spineps_pacs.phantom.texts import ds, uid

DATE, TIME = "20260105", "101500.000000"
"""Phantoms are always scanned at the same moment, so that their files are always the same."""
STORED = 900
"""Grey value of CSF before bias."""
IMPLEMENTATION = "2.25.301886418286116127397530361713064012901"
"""Class UID of this writer."""


@dataclass(frozen=True)
class Stack:
    """A block of parallel slices of a series: image, grid, slice thickness, do instance numbers run backwards."""

    image: NDArray[np.float32]
    geometry: Geometry
    thickness: float
    descending: bool = False


@dataclass(frozen=True)
class SeriesPlan:
    """A series to be written: its stacks (several for a localizer), how it was scanned, and whose it is."""

    protocol: Protocol
    vendor: Vendor
    stacks: tuple[Stack, ...]
    study: str
    patient: str
    tesla: float = 1.5
    label: str = ""

    @property
    def description(self) -> str:
        """Series description; a station has its region in it."""
        return f"{self.protocol.description}{'_' + self.label if self.label else ''}"

    @property
    def series_uid(self) -> str:
        """Follows from the study and the series' name."""
        return uid(self.study, "series", self.protocol.key, self.label)


def write_series(folder: Path, plan: SeriesPlan, enhanced: bool = False) -> list[Path]:
    """Writes the files of a series; the enhanced form holds a stack a file."""
    folder.mkdir(parents=True, exist_ok=True)
    datasets = _enhanced(plan) if enhanced else _classic(plan)
    paths = []
    for number, dataset in enumerate(datasets, start=1):
        path = folder / f"IM{number:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def stored(image: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Twelve bits, CSF near STORED."""
    return np.clip(np.rint(image * STORED), 0, 4095).astype(np.uint16)


def _classic(plan: SeriesPlan) -> list[FileDataset]:
    found: list[FileDataset] = []
    for stack in plan.stacks:
        pixels = stored(stack.image)
        for k in reversed(range(len(pixels))) if stack.descending else range(len(pixels)):
            number = len(found) + 1
            dataset = _common(plan, MRImageStorage, uid(plan.series_uid, number))
            dataset.InstanceNumber = str(number)
            dataset.AcquisitionNumber = "1"
            _scan(dataset, plan, stack)
            _plane(dataset, stack.geometry, k)
            _pixels(dataset, pixels[k])
            found.append(dataset)
    return found


def _enhanced(plan: SeriesPlan) -> list[FileDataset]:
    found = []
    for n, stack in enumerate(plan.stacks, start=1):
        pixels = stored(stack.image)
        order = list(reversed(range(len(pixels)))) if stack.descending else list(range(len(pixels)))
        dataset = _common(plan, EnhancedMRImageStorage, uid(plan.series_uid, "enhanced", n))
        dataset.InstanceNumber = str(n)
        add_frames(dataset, plan.protocol, stack.geometry, stack.thickness, order)
        dataset.MagneticFieldStrength = float(plan.tesla)
        _pixels(dataset, pixels[order])
        del dataset.WindowCenter, dataset.WindowWidth
        found.append(dataset)
    return found


def _common(plan: SeriesPlan, sop_class: str, instance: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "SPINEPS_PHANTOM"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = list(plan.vendor.image_type)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = instance
    for name in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(dataset, name, DATE)
    for name in ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"):
        setattr(dataset, name, TIME)
    _who(dataset, plan)
    dataset.StudyInstanceUID = uid(plan.study, "study")
    dataset.SeriesInstanceUID = plan.series_uid
    dataset.StudyID = "1"
    dataset.SeriesNumber = str(plan.protocol.number)
    dataset.FrameOfReferenceUID = plan.stacks[0].geometry.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    return dataset


def _who(dataset: Dataset, plan: SeriesPlan) -> None:
    """Patient and equipment, both plainly a phantom."""
    dataset.AccessionNumber = ""
    dataset.Modality = "MR"
    dataset.Manufacturer = plan.vendor.manufacturer
    dataset.InstitutionName = "Synthetic test data"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Synthetic spine phantom"
    dataset.SeriesDescription = plan.description
    dataset.ManufacturerModelName = f"Synthetic phantom ({plan.vendor.style})"
    dataset.DeviceSerialNumber = "PHANTOM"
    dataset.SoftwareVersions = plan.vendor.software
    dataset.PatientName = f"PHANTOM^{plan.patient}"
    dataset.PatientID = f"PHANTOM-{plan.patient}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.PatientComments = "Synthetic phantom, no patient"
    dataset.BodyPartExamined = "SPINE"
    dataset.PatientPosition = "HFS"
    dataset.ProtocolName = plan.description
    dataset.QualityControlImage = "YES"


def _scan(dataset: Dataset, plan: SeriesPlan, stack: Stack) -> None:
    """How a classic image was scanned."""
    protocol = plan.protocol
    dataset.ScanningSequence = list(protocol.scanning_sequence)
    dataset.SequenceVariant = list(protocol.sequence_variant)
    dataset.ScanOptions = list(protocol.scan_options)
    dataset.MRAcquisitionType = protocol.acquisition
    if plan.vendor.sequence_name:
        dataset.SequenceName = plan.vendor.sequence_name
    dataset.SliceThickness = ds(stack.thickness)
    dataset.RepetitionTime = ds(protocol.repetition_time)
    dataset.EchoTime = ds(protocol.echo_time)
    if protocol.inversion_time is not None:
        dataset.InversionTime = ds(protocol.inversion_time)
    dataset.NumberOfAverages = "2"
    dataset.ImagingFrequency = ds(42.577478 * plan.tesla)
    dataset.ImagedNucleus = "1H"
    dataset.EchoNumbers = "1"
    dataset.MagneticFieldStrength = ds(plan.tesla)
    dataset.SpacingBetweenSlices = ds(stack.geometry.spacing[0])
    dataset.EchoTrainLength = str(protocol.echo_train)
    dataset.PercentSampling = "100"
    dataset.PercentPhaseFieldOfView = "100"
    dataset.PixelBandwidth = "220"
    dataset.FlipAngle = ds(protocol.flip_angle)
    rows, columns = stack.geometry.shape[1:]
    dataset.AcquisitionMatrix = [rows, 0, 0, columns]
    dataset.InPlanePhaseEncodingDirection = "COL"


def _plane(dataset: Dataset, geometry: Geometry, k: int) -> None:
    affine = geometry.affine
    directions = geometry.directions
    dataset.ImagePositionPatient = ds(*geometry.to_world(np.array([k, 0, 0])))
    dataset.ImageOrientationPatient = ds(*directions[:, 2], *directions[:, 1], digits=10)
    normal = np.cross(directions[:, 2], directions[:, 1])
    dataset.SliceLocation = ds(float(geometry.to_world(np.array([k, 0, 0])) @ normal))
    dataset.PixelSpacing = ds(float(np.linalg.norm(affine[:3, 1])), float(np.linalg.norm(affine[:3, 2])))


def _pixels(dataset: Dataset, pixels: NDArray[np.uint16]) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = "450", "900"
    dataset.PixelData = pixels.astype("<u2").tobytes()
