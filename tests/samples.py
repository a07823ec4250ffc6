"""Small DICOM made for tests: a sagittal T2 series of a few tiny slices, and a result that stands for a SEG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from spineps_pacs.domain.ports import Phases, Result
from spineps_pacs.domain.series import Series

MR = "1.2.840.10008.5.1.4.1.1.4"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SR = "1.2.840.10008.5.1.4.1.1.88.34"


def uid(*parts: object) -> str:
    """A UID that the parts decide."""
    return str(generate_uid(prefix="1.2.826.0.1.3680043.10.1.", entropy_srcs=[str(part) for part in parts]))


def slice_of(series: str, index: int, *, slices: int = 6, **changes: object) -> Dataset:
    """One slice of a sagittal T2 series; `series` names it, and all UIDs follow from that name."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = MR, uid(series, "slice", index)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(series, "study"), uid(series, "series")
    ds.FrameOfReferenceUID = uid(series, "frame")
    ds.PatientID, ds.PatientName, ds.IssuerOfPatientID = "PAT-" + series, "Test^" + series, "SITE"
    ds.PatientBirthDate, ds.PatientSex, ds.AccessionNumber, ds.StudyID = "19700101", "O", "ACC-" + series, "1"
    ds.StudyDate, ds.StudyTime, ds.ReferringPhysicianName = "20260101", "101500", ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "MR", 3, index + 1
    ds.SeriesDescription, ds.StationName, ds.Manufacturer = "T2 TSE SAG", "MR1", "None"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "SK", "", "2D"
    ds.EchoTime, ds.RepetitionTime = 100.0, 3500.0
    ds.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    ds.ImagePositionPatient = [-4.0 * (slices / 2) + 4.0 * index, -80.0, 120.0]
    ds.SliceThickness, ds.SpacingBetweenSlices, ds.PixelSpacing = 3.5, 4.0, [10.0, 10.0]
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 24, 16, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = (np.arange(24 * 16, dtype=np.uint16).reshape(24, 16) + index).tobytes()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return with_meta(ds)


def with_meta(ds: Dataset) -> Dataset:
    """The dataset with the file meta that a file needs."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def series_of(name: str, slices: int = 6, **changes: object) -> list[Dataset]:
    """All slices of a series."""
    return [slice_of(name, index, slices=slices, **changes) for index in range(slices)]


def content_of(ds: Dataset) -> bytes:
    """The dataset as the bytes of a DICOM file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write(datasets: Sequence[Dataset], folder: Path) -> list[Path]:
    """The datasets as files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03d}.dcm" for number in range(len(datasets))]
    for path, ds in zip(paths, datasets, strict=True):
        path.write_bytes(content_of(ds))
    return paths


def result_of(series: Series, kind: str, sop_class: str) -> Result:
    """An object in the series' study whose UID follows from the set of slices, as those of the true encoders do."""
    header, ds = series.datasets[0], Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid(series.fingerprint, kind)
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "AccessionNumber"):
        setattr(ds, keyword, header.get(keyword))
    ds.SeriesInstanceUID, ds.SeriesNumber = uid(series.fingerprint, kind, "series"), 300
    ds.Modality, ds.SeriesDescription = ("SR" if sop_class == SR else "SEG"), f"stand-in {kind}"
    ds.ContentLabel = kind.upper().replace("-", "_")[:16]
    return Result(kind, sop_class, ds.SOPInstanceUID, content_of(with_meta(ds)))


def stand_in(series: Series, phases: Phases) -> list[Result]:
    """A `Produce` without analysis: two objects that stand for SEG and report."""
    phases("analyse", 0, 1)
    return [result_of(series, "structures", SEG), result_of(series, "report", SR)]
