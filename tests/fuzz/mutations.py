"""Broken DICOM: sound files whose bytes or attributes are changed, seeded, so that each case can be made again."""

from __future__ import annotations

import io
import random
import struct
from functools import cache

import made_dicom as made
import scanners
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from spineps_pacs.domain.attributes import quietly

SCANNERS = (
    "canon-sag-dti-several-volumes",
    "siemens-two-echoes-axial",
    "siemens-mosaic-sag",
    "siemens-enhanced-derived-tracew",
    "philips-enhanced-sag",
    "syntax-explicit-le",
    "syntax-implicit-le",
    "syntax-jpeg-lossless",
    "syntax-jpeg-ls",
    "syntax-jpeg2000",
    "syntax-rle",
)
KEYWORDS = """
    Rows Columns NumberOfFrames BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel
    PhotometricInterpretation PixelSpacing ImagePositionPatient ImageOrientationPatient SliceThickness
    SpacingBetweenSlices RescaleSlope RescaleIntercept EchoTime RepetitionTime InversionTime ImageType SOPClassUID
    SOPInstanceUID SeriesInstanceUID Modality ScanningSequence TemporalPositionIdentifier AcquisitionNumber
    InstanceNumber SeriesDescription SpecificCharacterSet FrameOfReferenceUID BodyPartExamined PixelData
    """.split()  # noqa: SIM905 - a list of words reads better as text
WORDS = (b"", b"0", b"-1", b"1e400", b"nan", b"inf", b"-inf", b"1\\2", b"\\\\\\\\\\\\", b"0\\0\\0\\0\\0\\0")
WORDS += (b"\xff\xfe\x00\x80", b"MOSAIC", b"1.2.840.10008.5.1.4.1.1.4.1", b"ISO 2022 IR 87", b"A" * 300, b"1.5mm")
WORDS += (b" ", b"99999999999", b"1e308\\1e308\\1e308", b"1e-308\\1e-308", b"1e29", b"-7e28\\7e28\\7e28")
WORDS += (b"1e5\\1e5\\-1e5", b"1\\0\\0\\0\\1\\0", b"1e-7\\0\\0\\0\\1\\0", b"2147483648", b"-1e9")
NUMBERS = (0, 1, 2, 3, 7, 8, 12, 16, 255, 32767, 32768, 40000, 65535)


@cache
def corpus() -> tuple[bytes, ...]:
    """Sound files: of scanners, and made up in further transfer syntaxes."""
    found = [min(scanners.folder(name).iterdir()).read_bytes() for name in SCANNERS]
    return (*found, *(_written(dataset) for dataset in _made()))


def _made() -> list[Dataset]:
    affine, shape = made.grid((2, 48, 40))
    found = [made.series(affine, shape)[0], made.enhanced(affine, shape), made.enhanced(affine, shape, shared=True)]
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        found += [made.series(affine, shape)[0], made.enhanced(affine, shape)]
        for dataset in found[-2:]:
            dataset.compress(syntax, generate_instance_uid=False)
    fragmented = made.series(affine, shape)[0]
    fragmented.compress(JPEG2000Lossless, generate_instance_uid=False)
    stream = next(generate_frames(fragmented.PixelData, number_of_frames=1))
    fragmented.PixelData = encapsulate([stream], fragments_per_frame=3)
    for syntax in (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
        found.append(made.series(affine, shape)[0])
        found[-1].file_meta.TransferSyntaxUID = syntax
    return [*found, fragmented]


def _written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def broken(seed: int) -> bytes:
    """Case number `seed`: one file of the corpus, changed in one to three ways."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    content = chance.choice(corpus())
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        content = chance.choice(CHANGES)(content, chance)
    return content


def _truncated(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _place(content: bytes, chance: random.Random) -> int:
    """Mostly in the header, where changes matter most."""
    return chance.randrange(max(min(len(content), chance.choice((400, 4000, len(content)))), 1))


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 4, 32, 256)) if changed else 0):
        changed[_place(content, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwritten(content: bytes, chance: random.Random) -> bytes:
    at, length = _place(content, chance), chance.choice((1, 2, 4, 64, 1024))
    filler = chance.choice((b"\0", b"\xff", chance.randbytes(1))) * length
    return content[:at] + filler + content[at + length :]


def _long_length(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    length = chance.choice((0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 3_000_000_000, 0, 1))
    return content[:at] + struct.pack("<I", length) + content[at + 4 :]


def _cut_out(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + content[at + chance.choice((1, 2, 8, 132, 5000)) :]


def _doubled(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + content[at : at + chance.choice((1, 2, 8, 100, 2000))] + content[at:]


def _crossed(content: bytes, chance: random.Random) -> bytes:
    other = chance.choice(corpus())
    return content[: _place(content, chance)] + other[_place(other, chance) :]


def _attribute(content: bytes, chance: random.Random) -> bytes:
    """One attribute of a readable file, anywhere in its sequences, gets a value that does not belong there."""
    try:
        with quietly():
            dataset = dcmread(io.BytesIO(content), force=True)
            keyword = chance.choice(KEYWORDS)
            holders = [it for it in _nested(dataset) if keyword in it] or [dataset]
            _spoil(chance.choice(holders), keyword, chance)
            buffer = io.BytesIO()
            dataset.save_as(buffer)
            return buffer.getvalue()
    except Exception:  # noqa: BLE001 - what cannot be written is changed in another way
        return _flipped(content, chance)


def _nested(dataset: Dataset) -> list[Dataset]:
    found = [dataset]
    for element in dataset:
        if element.VR == "SQ":
            found += [inner for item in list(element.value)[:3] for inner in _nested(item)]
    return found


def _spoil(dataset: Dataset, keyword: str, chance: random.Random) -> None:
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    tag = Tag(tag_for_keyword(keyword) or 0)
    kind = str(dictionary_VR(tag))
    if chance.random() < 0.15:
        dataset.pop(tag, None)
        return
    value = struct.pack("<H", chance.choice(NUMBERS)) if kind == "US" else chance.choice(WORDS)
    value += b" " * (len(value) % 2)
    dataset._dict[tag] = RawDataElement(tag, kind.split(" ", maxsplit=1)[0], len(value), value, 0, False, True)


CHANGES = (
    _truncated,
    _flipped,
    _overwritten,
    _long_length,
    _cut_out,
    _doubled,
    _crossed,
    _attribute,
    _attribute,
    _attribute,
)
