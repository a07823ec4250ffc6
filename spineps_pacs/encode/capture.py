"""The pictures as Secondary Capture, for viewers that ignore both SEG and SR."""

from __future__ import annotations

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from spineps_pacs.domain.ports import Result
from spineps_pacs.encode.header import Sheet, body_part, finish
from spineps_pacs.encode.picture import middle_picture, montage
from spineps_pacs.encode.segments import level_segments

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def pictures(sheet: Sheet) -> tuple[Result, ...]:
    """One series with two images: the middle slice with level names, and a montage."""
    both = (("middle slice", middle_picture(sheet.report)), ("montage", montage(sheet.report)))
    return tuple(
        finish(sheet, _capture(sheet, title, picture), number=n) for n, (title, picture) in enumerate(both, start=1)
    )


def _capture(sheet: Sheet, title: str, picture: Image.Image) -> Dataset:
    pixels = np.asarray(picture.convert("RGB"), dtype=np.uint8)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.Modality, dataset.ConversionType = SECONDARY_CAPTURE, "OT", "WSD"
    dataset.ContentDate = dataset.ContentTime = ""
    dataset.DateOfSecondaryCapture = sheet.identity.created.strftime("%Y%m%d")
    dataset.TimeOfSecondaryCapture = sheet.identity.created.strftime("%H%M%S.%f")
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = f"{sheet.algorithm}: {title} with coloured overlay"
    dataset.PatientOrientation = ["P", "F"] if title != "montage" else ""
    dataset.BurnedInAnnotation, dataset.RecognizableVisualFeatures = "NO", "NO"
    dataset.BodyPartExamined = body_part(level_segments(sheet.report))
    dataset.LossyImageCompression = "00"
    dataset.SourceImageSequence = [_reference(image) for image in sheet.sources.images]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    content = pixels.tobytes()
    dataset.PixelData = content + b"\x00" * (len(content) % 2)
    return dataset


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item
