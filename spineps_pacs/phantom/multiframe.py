"""The functional groups of an Enhanced MR image (PS3.3 A.36.2): one stack, one echo, a frame per slice."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from spineps_pacs.domain.volume import Geometry
from spineps_pacs.phantom.protocols import Protocol
from spineps_pacs.phantom.texts import ds

MOMENT = "20260105101500.000000"
_DIMENSIONS = "2.25.186903047416011297231790148329551740214"


def item(**values: object) -> Sequence:
    """A sequence with one item."""
    one = Dataset()
    for name, value in values.items():
        setattr(one, name, value)
    return Sequence([one])


def add_frames(dataset: Dataset, protocol: Protocol, geometry: Geometry, thickness: float, order: list[int]) -> None:
    """Frames in this order of slices, with what they share; single-image attributes go."""
    del dataset.AcquisitionDate, dataset.AcquisitionTime, dataset.QualityControlImage
    dataset.ImageType = frame_type(protocol)
    dataset.NumberOfFrames = str(len(order))
    dataset.SharedFunctionalGroupsSequence = Sequence([_shared(protocol, geometry, thickness)])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([_frame(geometry, k, n) for n, k in enumerate(order, start=1)])
    dataset.DimensionOrganizationSequence = item(DimensionOrganizationUID=_DIMENSIONS)
    dataset.DimensionIndexSequence = Sequence([_dimension(0x00209056), _dimension(0x00209057)])
    _series_level(dataset, protocol)


def _dimension(pointer: int) -> Dataset:
    one = Dataset()
    one.DimensionOrganizationUID = _DIMENSIONS
    one.DimensionIndexPointer = pointer
    one.FunctionalGroupPointer = 0x00209111
    return one


def _series_level(dataset: Dataset, protocol: Protocol) -> None:
    dataset.AcquisitionDateTime = MOMENT
    dataset.AcquisitionDuration = 180.0
    dataset.AcquisitionNumber = "1"
    dataset.PixelPresentation = "MONOCHROME"
    dataset.VolumetricProperties = "VOLUME"
    dataset.VolumeBasedCalculationTechnique = "NONE"
    dataset.ComplexImageComponent = "MAGNITUDE"
    dataset.AcquisitionContrast = contrast_word(protocol)
    dataset.ContentQualification = "RESEARCH"
    dataset.ResonantNucleus = "1H"
    dataset.KSpaceFiltering = "NONE"
    dataset.ApplicableSafetyStandardAgency = "IEC"
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.AcquisitionContextSequence = Sequence()
    dataset.IsocenterPosition = [0.0, 0.0, 0.0]
    dataset.PulseSequenceName = "TSE" if "SE" in protocol.scanning_sequence else "GRE"
    dataset.MRAcquisitionType = protocol.acquisition
    dataset.EchoPulseSequence = "SPIN" if "SE" in protocol.scanning_sequence else "GRADIENT"
    if "SE" in protocol.scanning_sequence:
        dataset.MultipleSpinEcho = "YES" if protocol.echo_train > 1 else "NO"
    dataset.MultiPlanarExcitation = "NO"
    dataset.PhaseContrast = "NO"
    dataset.TimeOfFlightContrast = "NO"
    dataset.SteadyStatePulseSequence = "NONE"
    dataset.EchoPlanarPulseSequence = "NO"
    dataset.SaturationRecovery = "NO"
    dataset.SpectrallySelectedSuppression = "FAT" if "FS" in protocol.scan_options else "NONE"
    dataset.OversamplingPhase = "NONE"
    dataset.GeometryOfKSpaceTraversal = "RECTILINEAR"
    dataset.RectilinearPhaseEncodeReordering = "LINEAR"
    dataset.SegmentedKSpaceTraversal = "PARTIAL"
    if protocol.acquisition == "3D":
        dataset.CoverageOfKSpace = "FULL"
    dataset.NumberOfKSpaceTrajectories = 1


def frame_type(protocol: Protocol) -> list[str]:
    """What kind of image a frame is."""
    flavour = "LOCALIZER" if protocol.key == "localizer" else contrast_word(protocol)
    return ["ORIGINAL", "PRIMARY", flavour, "NONE"]


def contrast_word(protocol: Protocol) -> str:
    """The defined term of the contrast."""
    if protocol.inversion_time is not None:
        return "STIR"
    return "T2" if protocol.echo_time > 60 else "T1"


def _shared(protocol: Protocol, geometry: Geometry, thickness: float) -> Dataset:
    shared, spacing = Dataset(), geometry.spacing
    shared.PixelMeasuresSequence = item(
        PixelSpacing=ds(spacing[1], spacing[2]), SliceThickness=ds(thickness), SpacingBetweenSlices=ds(spacing[0])
    )
    directions = geometry.directions
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=ds(*directions[:, 2], *directions[:, 1], digits=10))
    region = item(CodeValue="421060004", CodingSchemeDesignator="SCT", CodeMeaning="Spine")
    shared.FrameAnatomySequence = item(FrameLaterality="U", AnatomicRegionSequence=region)
    shared.PixelValueTransformationSequence = item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")
    shared.FrameVOILUTSequence = item(WindowCenter="450", WindowWidth="900")
    shared.MRImageFrameTypeSequence = item(
        FrameType=frame_type(protocol), PixelPresentation="MONOCHROME", VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE", ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast=contrast_word(protocol),
    )  # fmt: skip
    _physics(shared, protocol, geometry)
    return shared


def _physics(shared: Dataset, protocol: Protocol, geometry: Geometry) -> None:
    rows, columns = geometry.shape[1:]
    rate = Dataset()
    rate.SpecificAbsorptionRateDefinition, rate.SpecificAbsorptionRateValue = "IEC_WHOLE_BODY", 0.5
    shared.MRTimingAndRelatedParametersSequence = item(
        RepetitionTime=ds(protocol.repetition_time), FlipAngle=ds(protocol.flip_angle),
        EchoTrainLength=str(protocol.echo_train), RFEchoTrainLength=protocol.echo_train, GradientEchoTrainLength=0,
        SpecificAbsorptionRateSequence=Sequence([rate]), GradientOutputType="DB_DT", GradientOutput=0.0,
        OperatingModeSequence=Sequence([_mode("STATIC FIELD"), _mode("RF"), _mode("GRADIENT")]),
    )  # fmt: skip
    shared.MRFOVGeometrySequence = item(
        InPlanePhaseEncodingDirection="COLUMN", MRAcquisitionFrequencyEncodingSteps=columns,
        MRAcquisitionPhaseEncodingStepsInPlane=rows, MRAcquisitionPhaseEncodingStepsOutOfPlane=1, PercentSampling="100",
        PercentPhaseFieldOfView="100",
    )  # fmt: skip
    shared.MREchoSequence = item(EffectiveEchoTime=float(protocol.echo_time))
    shared.MRModifierSequence = item(**_modifiers(protocol))
    shared.MRImagingModifierSequence = item(
        MagnetizationTransfer="NONE",
        BloodSignalNulling="NO",
        Tagging="NONE",
        TransmitterFrequency=63.87,
        PixelBandwidth="220",
    )
    shared.MRReceiveCoilSequence = item(
        ReceiveCoilName="Spine", ReceiveCoilManufacturerName="", ReceiveCoilType="MULTICOIL",
        QuadratureReceiveCoil="NO",
        MultiCoilDefinitionSequence=item(MultiCoilElementName="SP1", MultiCoilElementUsed="YES"),
    )  # fmt: skip
    shared.MRTransmitCoilSequence = item(
        TransmitCoilName="Body", TransmitCoilManufacturerName="", TransmitCoilType="BODY"
    )
    shared.MRAveragesSequence = item(NumberOfAverages="2")


def _mode(kind: str) -> Dataset:
    one = Dataset()
    one.OperatingModeType, one.OperatingMode = kind, "IEC_NORMAL"
    return one


def _modifiers(protocol: Protocol) -> dict[str, object]:
    inverted = protocol.inversion_time is not None
    found: dict[str, object] = {
        "InversionRecovery": "YES" if inverted else "NO", "FlowCompensation": "NONE", "Spoiling": "NONE",
        "T2Preparation": "NO", "SpectrallySelectedExcitation": "NONE", "SpatialPresaturation": "NONE",
        "PartialFourier": "NO", "ParallelAcquisition": "NO",
    }  # fmt: skip
    return found | ({"InversionTimes": [float(protocol.inversion_time or 0)]} if inverted else {})


def _frame(geometry: Geometry, k: int, number: int) -> Dataset:
    frame = Dataset()
    frame.FrameContentSequence = item(
        FrameAcquisitionNumber=1, FrameReferenceDateTime=MOMENT, FrameAcquisitionDateTime=MOMENT,
        FrameAcquisitionDuration=180000.0, StackID="1", InStackPositionNumber=number, DimensionIndexValues=[1, number],
    )  # fmt: skip
    frame.PlanePositionSequence = item(ImagePositionPatient=ds(*geometry.to_world(np.array([k, 0, 0]))))
    return frame
