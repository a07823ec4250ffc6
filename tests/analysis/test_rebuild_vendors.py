"""Made-up series in the manner of each vendor, written as files and rebuilt as dcm2niix and SimpleITK rebuild them."""

from __future__ import annotations

import copy
import io
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import made_dicom as made
import nibabel
import numpy as np
import pytest
import scanners
import SimpleITK
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from scipy.spatial.transform import Rotation

from spineps_pacs.analysis.rebuild import rebuild, volumes

Image = tuple[NDArray[np.float64], NDArray[np.float64]]
Make = Callable[[], list[Dataset]]

OBLIQUE = Rotation.from_euler("xyz", (13, -21, 34), degrees=True).as_matrix()
AXIAL = Rotation.from_euler("xyz", (10, 95, 4), degrees=True).as_matrix()


def grid(rotation: NDArray[np.float64] | None = OBLIQUE) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    return made.grid((9, 48, 40), rotation=rotation)


def values(dataset: Dataset) -> NDArray[np.int64]:
    return np.frombuffer(dataset.PixelData, "<u2").reshape(48, 40).astype(np.int64)


def changed(change: Callable[[Dataset], None], **attributes: object) -> Make:
    def make() -> list[Dataset]:
        datasets = made.series(*grid(), **attributes)
        for dataset in datasets:
            change(dataset)
        return datasets

    return make


def signed(dataset: Dataset) -> None:
    made.set_pixels(dataset, values(dataset) - 1600, signed=True)


def twelve_bits(dataset: Dataset) -> None:
    made.set_pixels(dataset, (values(dataset) - 1600) & 0xFFF)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 1


def eight_bits(dataset: Dataset) -> None:
    dataset.PixelData = (values(dataset) >> 4).astype("u1").tobytes()
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset["PixelData"].VR = "OB"


def big_endian(dataset: Dataset) -> None:
    dataset.PixelData = values(dataset).astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian


def compressed(syntax: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        signed(dataset)
        dataset.compress(syntax, generate_instance_uid=False)

    return change


def declared(syntax: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax

    return change


def unchanged(dataset: Dataset) -> None:
    """As it is."""


PLAIN: dict[str, Make] = {
    "oblique": changed(unchanged),
    "axial": lambda: made.series(*grid(AXIAL)),
    "numbered backwards": changed(unchanged, InstanceNumber=lambda at: 100 - at),
    "prone": changed(unchanged, PatientPosition="HFP"),
    "GE, gap instead of spacing": changed(unchanged, Manufacturer="GE MEDICAL SYSTEMS", SpacingBetweenSlices="0.5"),
    "Philips, its own slope": changed(
        unchanged, Manufacturer="Philips Medical Systems", RescaleSlope="2.4485958485958", RescaleIntercept="0"
    ),
    "Hitachi": changed(unchanged, Manufacturer="Hitachi Medical Corporation", ImageType=["ORIGINAL", "PRIMARY", "M"]),
    "intercept": changed(unchanged, RescaleSlope="1", RescaleIntercept="-1024"),
    "padding": changed(unchanged, PixelPaddingValue=2000),
    "signed": changed(signed),
    "signed 12 bits": changed(twelve_bits),
    "8 bits": changed(eight_bits),
    "big endian": changed(big_endian),
    "implicit": changed(declared(ImplicitVRLittleEndian)),
    "deflated": changed(declared(DeflatedExplicitVRLittleEndian)),
    "RLE": changed(compressed(RLELossless)),
    "JPEG-LS": changed(compressed(JPEGLSLossless)),
    "JPEG 2000": changed(compressed(JPEG2000Lossless)),
    "enhanced, per frame": lambda: [made.enhanced(*grid())],
    "enhanced, shared": lambda: [made.enhanced(*grid(), shared=True)],
    "two slices": lambda: made.series(*grid())[:2],
    "pixel sizes rounded in two ways": changed(
        unchanged, PixelSpacing=lambda at: [("1.500501", "1.500499")[at % 2], "1.25"]
    ),
}
"""Series of one volume, on which both programs agree."""


def enhanced_of(vary: Callable[[Dataset, int], None], *, inner: bool) -> list[Dataset]:
    """An enhanced image of two volumes, in either order of frames; `vary` tells frames of the second apart."""
    parts = [made.enhanced(*grid(), seed=seed) for seed in (0, 1)]
    order = (
        [(at, turn) for at in range(9) for turn in (0, 1)]
        if inner
        else [(at, turn) for turn in (0, 1) for at in range(9)]
    )
    frames, pixels = [], []
    for at, turn in order:
        frame = copy.deepcopy(parts[turn].PerFrameFunctionalGroupsSequence[at])
        frame.FrameContentSequence[0].DimensionIndexValues = [1, at + 1, turn + 1]
        vary(frame, turn)
        frames.append(frame)
        pixels.append(np.frombuffer(parts[turn].PixelData, "<u2").reshape(9, 48, 40)[at])
    dataset = parts[0]
    dataset.Manufacturer = "Philips Medical Systems"
    dataset.NumberOfFrames = len(frames)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    pointers = (0x00209056, 0x00209057, 0x00209128)
    dataset.DimensionIndexSequence = Sequence(
        [made.item(DimensionIndexPointer=it, FunctionalGroupPointer=0x00209111) for it in pointers]
    )
    made.set_pixels(dataset, np.array(pixels))
    return [dataset]


def by_echo(frame: Dataset, turn: int) -> None:
    frame.MREchoSequence[0].EffectiveEchoTime = 20.0 + 80 * turn


def by_time(frame: Dataset, turn: int) -> None:
    frame.FrameContentSequence[0].TemporalPositionIndex = turn + 1


def by_b_value(frame: Dataset, turn: int) -> None:
    frame.MRDiffusionSequence = Sequence([made.item(DiffusionBValue=800.0 * turn, DiffusionDirectionality="ISOTROPIC")])


def by_component(frame: Dataset, turn: int) -> None:
    frame.MRImageFrameTypeSequence[0].ComplexImageComponent = ("MAGNITUDE", "PHASE")[turn]
    frame.MRImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "MP"[turn], "NONE"]


def by_dimension(frame: Dataset, turn: int) -> None:
    """Only the dimension index tells."""


def uih_grid(count: int) -> list[Dataset]:
    """UIH: all slices as tiles of one picture, the place of each in a private sequence."""
    affine, shape = made.grid((count, 48, 40), rotation=OBLIQUE)
    slices = made.field(made.places(affine, shape))
    across = int(np.ceil(np.sqrt(count)))
    picture = np.zeros((-(-count // across) * 48, across * 40), int)
    for at in range(count):
        picture[at // across * 48 :, at % across * 40 :][:48, :40] = slices[at]
    dataset = made.series(affine, shape)[0]
    made.set_pixels(dataset, picture)
    dataset.ImageType, dataset.Manufacturer = ["ORIGINAL", "PRIMARY", "M", "VFRAME"], "UIH"
    block = dataset.private_block(0x65, "Image Private Header", create=True)
    block.add_new(0x50, "DS", str(count))
    places = [[made.decimal(v) for v in affine[:3, 3] + at * affine[:3, 0]] for at in range(count)]
    block.add_new(0x51, "SQ", Sequence([made.item(ImagePositionPatient=place) for place in places]))
    return [dataset]


def turned_mosaic(rotation: NDArray[np.float64], *, against: bool) -> list[Dataset]:
    """A Siemens mosaic turned in space, its slices along or against the cross product of rows and columns."""
    dataset = copy.deepcopy(scanners.datasets("siemens-mosaic-sag")[0])
    row, column = rotation[:, 1], -rotation[:, 2]
    normal = np.cross(row, column) * (-1 if against else 1)
    dataset.ImageOrientationPatient = [made.decimal(v) for v in (*row, *column)]
    content = bytearray(dataset[0x0029, 0x1010].value)
    at = content.index(b"SliceNormalVector") + 84
    for value in normal:
        length = struct.unpack_from("<4I", content, at)[1]
        content[at + 16 : at + 16 + length] = f"{value:.8f}".encode().ljust(length, b"\0")[:length]
        at += 16 + (length + 3) // 4 * 4
    dataset[0x0029, 0x1010].value = bytes(content)
    return [dataset]


def bare_mosaic() -> list[Dataset]:
    """A Siemens mosaic without private attributes, as newer software exports it."""
    dataset = copy.deepcopy(scanners.datasets("siemens-mosaic-sag")[0])
    dataset.remove_private_tags()
    return [dataset]


def without_words(make: Make) -> list[Dataset]:
    """Written with implicit VR and read back: private elements have lost their type."""
    dataset = make()[0]
    buffer = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(buffer, implicit_vr=True, little_endian=True, enforce_file_format=True)
    return [dcmread(io.BytesIO(buffer.getvalue()))]


def two_acquisitions() -> list[Dataset]:
    late = made.series(*grid(), seed=1, AcquisitionNumber=2, InstanceNumber=lambda at: 50 + at)
    return made.series(*grid()) + late


def two_orientations() -> list[Dataset]:
    other = made.series(*made.grid((3, 48, 40), rotation=AXIAL), seed=1, InstanceNumber=lambda at: 50 + at)
    return made.series(*grid()) + other


def time_points_as_files() -> list[Dataset]:
    files = [made.enhanced(*grid(None), seed=seed) for seed in range(3)]
    for at, dataset in enumerate(files):
        dataset.InstanceNumber = dataset.AcquisitionNumber = at + 1
    return files


SEVERAL: dict[str, Make] = {
    **{
        f"enhanced {vary.__name__}, {'inner' if inner else 'outer'}": partial(enhanced_of, vary, inner=inner)
        for vary in (by_echo, by_time, by_b_value, by_component, by_dimension)
        for inner in (True, False)
    },
    "UIH grid of 9": lambda: uih_grid(9),
    "UIH grid of 7": lambda: uih_grid(7),
    "mosaic, oblique": lambda: turned_mosaic(OBLIQUE, against=False),
    "mosaic, oblique, against": lambda: turned_mosaic(OBLIQUE, against=True),
    "mosaic, axial, against": lambda: turned_mosaic(AXIAL, against=True),
    "mosaic, bare": bare_mosaic,
    "UIH grid, implicit": lambda: without_words(lambda: uih_grid(9)),
    "mosaic, implicit": lambda: without_words(lambda: turned_mosaic(OBLIQUE, against=True)),
    "two acquisitions": two_acquisitions,
    "two orientations": two_orientations,
    "two echoes": lambda: made.series(*grid()) + made.series(*grid(), seed=1, EchoTime="20", EchoNumbers=2),
    "a slice twice": lambda: made.series(*grid()) + made.series(*grid())[3:4],
    "a time point a file": time_points_as_files,
}
"""Series that only dcm2niix takes apart."""


def saved(folder: Path, datasets: list[Dataset]) -> None:
    folder.mkdir()
    for at, dataset in enumerate(datasets):
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for keyword, value in {"Manufacturer": "SIEMENS", "PatientPosition": "HFS", "StudyDate": "20200101"}.items():
            if keyword not in dataset:
                setattr(dataset, keyword, value)
        dataset.save_as(folder / f"{at:03}.dcm", enforce_file_format=True)


def canonical(voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> Image:
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(np.asarray(voxels).astype(np.float64), affine))
    return np.asarray(image.get_fdata()), np.asarray(image.affine)


def ours(datasets: list[Dataset]) -> list[Image]:
    series = made.gathered(datasets)
    found = [rebuild(series, it.number) for it in volumes(series)]
    return [canonical(it.voxels, np.diag([-1.0, -1, 1, 1]) @ it.geometry.affine) for it in found]


def dcm2niix(folder: Path) -> list[Image]:
    out = folder.with_name("nifti")
    out.mkdir()
    program = Path(sys.executable).with_name("dcm2niix")
    options = ["-p", "n", "-z", "n", "-b", "n", "-f", "%s_%e_%q_%i"]
    subprocess.run([program, *options, "-o", out, folder], check=True, capture_output=True)
    found: list[Image] = []
    for path in sorted(out.glob("*.nii")):
        data = np.asarray(nibabel.load(path).get_fdata())
        parts = np.moveaxis(data, 3, 0) if data.ndim == 4 else [data]
        found += [canonical(part, np.asarray(nibabel.load(path).affine)) for part in parts]
    return found


def simpleitk(folder: Path) -> Image:
    files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = SimpleITK.ReadImage(files if len(files) > 1 else files[0])
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return canonical(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1.0, -1, 1, 1]) @ affine)


def same(one: Image, other: Image) -> bool:
    """Voxels within the rounding of a rescale to 32 bits, affines within 1e-3 mm."""
    alike = one[0].shape == other[0].shape and np.allclose(one[0], other[0], atol=1e-3, rtol=1e-6)
    return alike and bool(np.abs(one[1] - other[1]).max() < 1e-3)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_series_of_one_volume_is_that_of_both_programs(name: str, tmp_path: Path) -> None:
    """One volume, equal in voxels and affine; dcm2niix reads no deflated files."""
    datasets = PLAIN[name]()
    saved(tmp_path / "dicom", datasets)
    (found,) = ours(datasets)
    assert same(found, simpleitk(tmp_path / "dicom"))
    if name != "deflated":
        assert any(same(found, it) for it in dcm2niix(tmp_path / "dicom"))


@pytest.mark.parametrize("name", sorted(SEVERAL))
def test_a_series_of_several_volumes_is_that_of_dcm2niix(name: str, tmp_path: Path) -> None:
    """As many volumes, each equal to one of theirs."""
    datasets = SEVERAL[name]()
    saved(tmp_path / "dicom", datasets)
    theirs = dcm2niix(tmp_path / "dicom")
    found = ours(datasets)
    assert len(found) == len(theirs)
    assert all(any(same(one, other) for other in theirs) for one in found)
