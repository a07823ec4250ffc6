"""What selection reads of one dataset: a few attributes and where its images lie; nothing of the patient."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from spineps_pacs.domain.attributes import Groups, frame_groups, number, quietly, text, texts, whole

_MOST_FRAMES = 20_000

TEXTS = (
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "SequenceName",
    "BodyPartExamined",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "EchoPulseSequence",
    "EchoPlanarPulseSequence",
)
"""Text attributes of the series that rules and a site's expression may ask for."""


@dataclass(frozen=True)
class Shot:
    """One image: its kind, its timing (ms), and where it lies (LPS mm)."""

    image_type: tuple[str, ...]
    component: str
    contrast: str
    volumetric: str
    echo_time: float | None
    b_value: float | None
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    spacing: tuple[float, ...]
    thickness: float | None


@dataclass(frozen=True)
class Sample:
    """What selection reads of one dataset."""

    sop_class: str
    texts: tuple[tuple[str, str], ...]
    numbers: tuple[tuple[str, float | None], ...]
    frame_of_reference: bool
    rows: int
    columns: int
    shots: tuple[Shot, ...]


def sample(dataset: Dataset) -> Sample:
    """Reads one dataset's header; whatever it holds, no exception."""
    with quietly():
        groups = frame_groups(dataset)[:_MOST_FRAMES]
        frames = whole(dataset, "NumberOfFrames") or 1
        shots = tuple(_shot(dataset, it) for it in groups)
        return Sample(
            sop_class=text(dataset, "SOPClassUID"),
            texts=tuple((name, groups[0].plain_text(name)) for name in TEXTS),
            numbers=_numbers(dataset, groups[0]),
            frame_of_reference=bool(text(dataset, "FrameOfReferenceUID")),
            rows=whole(dataset, "Rows") or 0,
            columns=whole(dataset, "Columns") or 0,
            shots=shots if len(shots) > 1 else shots * max(1, min(frames, _MOST_FRAMES)),
        )


def _numbers(dataset: Dataset, groups: Groups) -> tuple[tuple[str, float | None], ...]:
    """Timing of the sequence: classic attributes, or those of the functional groups (PS3.3 C.8.13)."""
    timing, modifier = "MRTimingAndRelatedParametersSequence", "MRModifierSequence"
    return (
        ("RepetitionTime", groups.number(timing, "RepetitionTime")),
        ("InversionTime", groups.number(modifier, "InversionTimes") or groups.number(modifier, "InversionTime")),
        ("EchoTrainLength", groups.number(timing, "EchoTrainLength") or groups.number(timing, "RFEchoTrainLength")),
        ("FlipAngle", groups.number(timing, "FlipAngle")),
        ("SeriesNumber", number(dataset, "SeriesNumber")),
        ("MagneticFieldStrength", number(dataset, "MagneticFieldStrength")),
        ("Inversion", 1.0 if groups.text(modifier, "InversionRecovery") == "YES" else None),
    )


def _shot(dataset: Dataset, groups: Groups) -> Shot:
    measures, kind = "PixelMeasuresSequence", "MRImageFrameTypeSequence"
    frame_type = groups.text(kind, "FrameType")
    echo = groups.number("MREchoSequence", "EffectiveEchoTime") or groups.number("MREchoSequence", "EchoTime")
    return Shot(
        image_type=tuple(part.strip() for part in frame_type.split("\\")) if frame_type else _kinds(dataset),
        component=groups.text(kind, "ComplexImageComponent"),
        contrast=groups.text(kind, "AcquisitionContrast"),
        volumetric=groups.text(kind, "VolumetricProperties"),
        echo_time=round(echo, 3) if echo else None,
        b_value=groups.number("MRDiffusionSequence", "DiffusionBValue"),
        orientation=groups.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        position=groups.numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        spacing=groups.numbers(measures, "PixelSpacing", 2),
        thickness=groups.number(measures, "SliceThickness"),
    )


def _kinds(dataset: Dataset) -> tuple[str, ...]:
    return tuple(part.upper() for part in texts(dataset, "ImageType"))
