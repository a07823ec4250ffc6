"""Tests of phantom/study.py and series.py: whole studies as DICOM with their truth."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from spineps_pacs.phantom.study import StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes
from tests.conftest import find_program

SMALL = {"slices": 6, "pixel": 2.0, "slice_spacing": 6.0, "columns": 96}


def request(**changes: object) -> StudyRequest:
    """A small lumbar study."""
    values = {"wishes": Wishes(levels="L2-L5"), "seed": 3, **SMALL, **changes}
    return StudyRequest(**values)  # type: ignore[arg-type]


def read(folder: Path) -> list[Dataset]:
    """All datasets of a series by file name."""
    return [pydicom.dcmread(p) for p in sorted(folder.glob("*.dcm"))]


def affine_of(datasets: list[Dataset]) -> np.ndarray:
    """Index (slice, row, column) to LPS, slices sorted along the normal of the image plane."""
    first = datasets[0]
    across, down = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    places = np.array([d.ImagePositionPatient for d in datasets], float)
    places = places[np.argsort(places @ np.cross(across, down))]
    step = [float(x) for x in first.PixelSpacing]
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([(places[-1] - places[0]) / (len(places) - 1), down * step[0], across * step[1]])
    affine[:3, 3] = places[0]
    return affine


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with all its series."""
    out = tmp_path_factory.mktemp("study")
    write_study(out, request(orientation="reversed", turn=6.0))
    return out


def test_a_study_has_its_series_and_truth(full: Path) -> None:
    """Localizer, T2w, T1w, axial; truth beside them."""
    assert sorted(p.name for p in (full / "dicom").iterdir()) == ["01-localizer", "02-t2-sag", "03-t1-sag", "04-t2-ax"]
    assert sorted(p.name for p in (full / "truth").iterdir()) == ["instances.nii.gz", "structures.nii.gz", "truth.json"]


def test_headers_tell_the_weighting_and_that_it_is_a_phantom(full: Path) -> None:
    """Echo and repetition times are those of the weighting; patient and device say what they are."""
    t2, t1 = read(full / "dicom" / "02-t2-sag")[0], read(full / "dicom" / "03-t1-sag")[0]
    assert t2.EchoTime > 80
    assert t2.RepetitionTime > 2000
    assert t1.EchoTime < 20
    assert t1.RepetitionTime < 900
    assert "PHANTOM" in t2.PatientID
    assert "Synthetic" in t2.ManufacturerModelName
    assert t2.QualityControlImage == "YES"
    assert t2.SpacingBetweenSlices == pytest.approx(6.0)
    assert t2.SliceThickness == pytest.approx(5.4)


def test_all_series_share_study_and_frame_of_reference(full: Path) -> None:
    """One study, one frame of reference, four series, no UID twice."""
    everything = [d for folder in (full / "dicom").iterdir() for d in read(folder)]
    assert len({d.StudyInstanceUID for d in everything}) == 1
    assert len({d.FrameOfReferenceUID for d in everything}) == 1
    assert len({d.SeriesInstanceUID for d in everything}) == 4
    assert len({d.SOPInstanceUID for d in everything}) == len(everything)
    localizer = {tuple(d.ImageOrientationPatient) for d in read(full / "dicom" / "01-localizer")}
    assert len(localizer) == 3


def test_decimal_strings_are_short_enough(full: Path) -> None:
    """No DS is longer than the 16 characters that the standard allows."""
    for dataset in read(full / "dicom" / "02-t2-sag"):
        for element in dataset.iterall():
            if element.VR == "DS" and element.value not in (None, ""):
                values = element.value if element.VM > 1 else [element.value]
                assert all(len(str(v)) <= 16 for v in values)


def test_the_truth_lies_on_the_grid_of_the_series(full: Path) -> None:
    """The affine of the truth, RAS, is that of the DICOM slices, LPS; numbers run against the normal when reversed."""
    datasets = read(full / "dicom" / "02-t2-sag")
    for name in ("structures", "instances"):
        image = nib.load(full / "truth" / f"{name}.nii.gz")
        assert image.shape == (datasets[0].Columns, datasets[0].Rows, len(datasets))
        columns_last = image.affine[:, [2, 1, 0, 3]]
        assert np.allclose(np.diag([-1, -1, 1, 1]) @ columns_last, affine_of(datasets), atol=1e-3)
    straight = write_order(datasets)
    assert straight == sorted(straight, reverse=True) or straight == sorted(straight)


def write_order(datasets: list[Dataset]) -> list[float]:
    """Where slices lie along x, by instance number."""
    ordered = sorted(datasets, key=lambda d: int(d.InstanceNumber))
    return [float(d.ImagePositionPatient[0]) for d in ordered]


def test_the_picture_fits_the_truth(full: Path) -> None:
    """The canal is the brightest structure, bodies are darker than the canal, at the places that the truth names."""
    datasets = read(full / "dicom" / "02-t2-sag")
    datasets.sort(
        key=lambda d: float(
            np.dot(d.ImagePositionPatient, np.cross(*np.array(d.ImageOrientationPatient).reshape(2, 3)))
        )
    )
    image = np.stack([d.pixel_array for d in datasets]).astype(float)
    structures = np.asarray(nib.load(full / "truth" / "structures.nii.gz").dataobj).transpose(2, 1, 0)
    assert np.median(image[structures == 61]) > 1.4 * np.median(image[structures == 49]) > 0


def test_the_record_says_what_was_wished(full: Path) -> None:
    """Seed, wishes, levels in view, geometry."""
    record = json.loads((full / "truth" / "truth.json").read_text())
    assert record["seed"] == 3
    assert record["wishes"]["levels"] == "L2-L5"
    assert {"L2", "L3", "L4", "L5"} <= {level["name"] for level in record["levels"]}


def test_the_same_request_writes_the_same_bytes(tmp_path: Path) -> None:
    """Twice the same request: every file equal byte for byte; another seed shares no UID."""
    for name in ("one", "two"):
        write_study(tmp_path / name, request(only_t2=True))
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) == 6 + 3
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    write_study(tmp_path / "three", request(only_t2=True, seed=4))
    uids = [{d.SOPInstanceUID for d in read(tmp_path / n / "dicom" / "02-t2-sag")} for n in ("one", "three")]
    assert not uids[0] & uids[1]


@pytest.mark.parametrize("orientation", ["sagittal", "rows-flipped", "columns-flipped", "transposed", "RPF"])
def test_every_orientation_shows_the_same_patient(tmp_path: Path, orientation: str) -> None:
    """However the slices lie, each level's centroid stays where it is in the patient."""
    study = write_study(tmp_path, request(only_t2=True, orientation=orientation, rows=112))
    levels = {level["name"]: level for level in study.stations[0].truth["levels"]}
    for name in ("L3", "L4"):
        assert np.allclose(levels[name]["body_centroid"], study.spine.vertebra(name).placed.origin, atol=2.5)


def test_stations_overlap_and_share_the_frame_of_reference(tmp_path: Path) -> None:
    """Three stations: three series with the region in their names, their truths apart, neighbours share levels."""
    study = write_study(tmp_path, request(wishes=Wishes(), only_t2=True, stations=3, pixel=3.0, columns=80))
    assert [s.name for s in study.stations] == ["cervical", "thoracic", "lumbar"]
    seen = [{level["name"] for level in s.truth["levels"]} for s in study.stations]
    assert seen[0] & seen[1]
    assert seen[1] & seen[2]
    assert "S1" in seen[2]
    assert "C2" in seen[0]
    assert len({read(s.folder)[0].FrameOfReferenceUID for s in study.stations}) == 1
    assert all((s.truth_folder / "structures.nii.gz").exists() for s in study.stations)


def test_an_enhanced_image_holds_all_frames(tmp_path: Path) -> None:
    """One multi-frame object with a position per frame; its pixels are those of the classic form."""
    write_study(tmp_path / "enhanced", request(only_t2=True, enhanced=True))
    write_study(tmp_path / "classic", request(only_t2=True))
    (multi,) = read(tmp_path / "enhanced" / "dicom" / "02-t2-sag")
    single = read(tmp_path / "classic" / "dicom" / "02-t2-sag")
    assert multi.SOPClassUID.name == "Enhanced MR Image Storage"
    assert np.array_equal(multi.pixel_array, np.stack([d.pixel_array for d in single]))
    for frame, classic in zip(multi.PerFrameFunctionalGroupsSequence, single, strict=True):
        assert frame.PlanePositionSequence[0].ImagePositionPatient == classic.ImagePositionPatient


@pytest.mark.real("dciodvfy")
@pytest.mark.parametrize(("enhanced", "family"), [(False, "TSE"), (True, "STIR"), (True, "SPACE")])
def test_the_validator_finds_no_fault(tmp_path: Path, enhanced: bool, family: str) -> None:
    """dciodvfy reports no error in any kind of file."""
    write_study(tmp_path, request(enhanced=enhanced, family=family, slices=2, vendor="philips"))
    for folder in (tmp_path / "dicom").iterdir():
        path = min(folder.glob("*.dcm"))
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in said.stdout + said.stderr


@pytest.mark.parametrize(
    "wrong", [{"stations": 4}, {"vendor": "acme"}, {"slices": 0}, {"orientation": "HPL"}, {"orientation": "sideways"}]
)
def test_a_request_that_makes_no_study_is_refused(wrong: dict[str, object]) -> None:
    """The sentence names the value."""
    with pytest.raises(ValueError, match=f"(?i){next(iter(wrong.values()))}"):
        request(**wrong)


@pytest.mark.real("dcm2niix")
@pytest.mark.parametrize(
    ("orientation", "enhanced"), [("sagittal", False), ("transposed-rows-flipped", False), ("LSA", True)]
)
def test_an_independent_converter_finds_the_same_grid(tmp_path: Path, orientation: str, enhanced: bool) -> None:
    """What dcm2niix makes of an oblique series lies where the truth lies, and its bright canal in the canal."""
    study = write_study(
        tmp_path, request(only_t2=True, orientation=orientation, turn=8.0, tilt=-6.0, enhanced=enhanced, rows=96)
    )
    command = [find_program("dcm2niix"), "-f", "converted", "-o", str(tmp_path), str(study.series[0])]
    subprocess.run([str(c) for c in command], check=True, capture_output=True)
    converted, truth = (
        nib.as_closest_canonical(nib.load(tmp_path / name)) for name in ("converted.nii", "truth/structures.nii.gz")
    )
    assert np.allclose(converted.affine, truth.affine, atol=1e-3)
    image, labels = np.asarray(converted.dataobj), np.asarray(truth.dataobj)
    assert np.median(image[labels == 61]) > 1.4 * np.median(image[labels == 49])
