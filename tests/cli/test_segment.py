"""`spineps-pacs segment` and the same from Python: a NIfTI file on its own grid, a DICOM folder with its objects."""

from __future__ import annotations

import json
from pathlib import Path

import made_dicom as made
import nibabel
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, SecondaryCaptureImageStorage, SegmentationStorage

import spineps_pacs
from spineps_pacs.cli import segment as command
from spineps_pacs.cli.chosen import Wanted, engines
from spineps_pacs.cli.main import run
from spineps_pacs.domain.errors import ModelError, Unusable
from spineps_pacs.domain.series import Series
from tests.analysis import spines
from tests.engines import folders, onnx_files


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """A folder with the truth of a short spine, as phantom engines want it."""
    spine = spines.spine("lumbar")
    folder = tmp_path / "truth"
    folder.mkdir()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ spine.geometry.affine
    for name, labels in (("structures", spine.structures), ("instances", spine.vertebrae)):
        nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0), affine[:, [2, 1, 0, 3]]), folder / f"{name}.nii.gz")
    (folder / "truth.json").write_text("{}")
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Its image as NIfTI, axes to P, I, R."""
    spine = spines.spine("lumbar")
    path = tmp_path / "t2.nii.gz"
    nibabel.save(nibabel.Nifti1Image(spine.image, np.diag([-1.0, -1.0, 1.0, 1.0]) @ spine.geometry.affine), path)
    return path


def test_a_nifti_file_gives_masks_on_its_grid(
    image: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Same shape and affine as the file; the report is on stdout and on disk; no part file stays."""
    out = tmp_path / "out"
    assert command.segment(image, out=out, models=truth, json=True) == 0
    told = json.loads(capsys.readouterr().out)
    source = nibabel.load(image)
    for name in ("structures.nii.gz", "instances.nii.gz"):
        mask = nibabel.load(out / name)
        assert mask.shape == source.shape
        assert np.allclose(mask.affine, source.affine, atol=1e-4)
    assert {20, 21, 22, 23, 24} <= set(np.unique(np.asarray(nibabel.load(out / "instances.nii.gz").dataobj)))
    assert told["levels"] == json.loads((out / "report.json").read_text())["levels"]
    assert [t["phase"] for t in told["timings_s"]] == ["rebuild", "segment", "separate", "name", "measure"]
    assert (out / "preview.png").read_bytes().startswith(b"\x89PNG")
    assert not list(out.glob(".*"))


def test_a_second_labeller_can_be_asked(
    image: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its verdict stands in the report and on stdout; where its networks see nothing, the sacrum speaks for names."""
    (truth / "small-fov").mkdir()
    onnx_files.write(truth / "small-fov" / "blind.onnx", [(0.0, 1.0), (0.0, 0.0), (0.0, 0.0)])
    onnx_files.naming(truth / "small-fov")
    out = tmp_path / "out"
    assert run(["segment", str(image), "--out", str(out), "--models", str(truth), "--second-opinion"]) == 0
    assert "second labeller: only spineps could name the vertebrae" in capsys.readouterr().out
    told = json.loads((out / "report.json").read_text())
    assert told["second_opinion"]["verdict"] == "only one could name"
    assert told["models"][-1]["role"] == "small-fov"
    assert "the sacrum in view speaks for them" in told["second_opinion"]["sentence"]


def test_the_same_from_python(truth: Path) -> None:
    """One call with an array and an affine; masks have the array's shape."""
    spine = spines.spine("lumbar")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ spine.geometry.affine
    loaded = spineps_pacs.load_engines(truth)
    report = spineps_pacs.segment(spine.image, affine, loaded)
    assert report.instances.labels.shape == spine.image.shape
    assert report.levels.choices[-1].level == 24


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "cannot be read as NIfTI"), (b"\x1f\x8b\x08\x00broken", "cannot be read as NIfTI")]
)
def test_a_broken_nifti_file_is_named(content: bytes, sentence: str, tmp_path: Path) -> None:
    """A sentence with the file's name, not a traceback."""
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(content)
    with pytest.raises(Unusable, match=sentence):
        command.read(path)


def test_a_flat_nifti_file_is_refused(tmp_path: Path) -> None:
    """Two dimensions are no volume."""
    path = tmp_path / "flat.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5), np.int16), np.eye(4)), path)
    with pytest.raises(Unusable, match="2 dimensions"):
        command.read(path)


def test_nothing_there_is_told(tmp_path: Path) -> None:
    """A path that does not exist, and a folder without an image."""
    with pytest.raises(Unusable, match="there is nothing"):
        command.read(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unusable, match="holds no DICOM image"):
        command.read(tmp_path / "empty")
    (tmp_path / "letter.txt").write_text("hello")
    with pytest.raises(Unusable, match=r"letter\.txt: not DICOM"):
        command.read(tmp_path / "letter.txt")


def test_results_go_into_a_folder(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in its place is named before anything is read or loaded."""
    (tmp_path / "taken").write_text("mine")
    assert run(["segment", str(image), "--out", str(tmp_path / "taken"), "--models", str(tmp_path / "absent")]) == 1
    assert "taken is a file" in capsys.readouterr().err


def test_a_model_with_a_fault_is_not_passed_over(tmp_path: Path) -> None:
    """An instance model that cannot be used is refused with file and field, not replaced by the discs; "none" is."""
    folders.semantic_folder(tmp_path / "sem")
    folders.instance_folder(tmp_path / "ins", 8, 10, {"cutout_size": [10, 24, 8]})
    with pytest.raises(ModelError, match=r"no instance model was found; .*ins/inference_config\.json: cutout_size"):
        engines(Wanted(tmp_path))
    assert engines(Wanted(tmp_path, instance="none", labeling="none")).vertebra is None


def test_a_folder_without_models_is_named(tmp_path: Path) -> None:
    """The sentence says which folder."""
    with pytest.raises(ModelError, match=str(tmp_path)):
        engines(Wanted(tmp_path))


def test_a_failed_write_leaves_no_half(tmp_path: Path) -> None:
    """When one file cannot be written, none is there."""
    (tmp_path / ".b.part").mkdir()
    with pytest.raises(OSError, match="part"):
        command.write({"a": b"1", "b": b"2"}, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".b.part"]


def written(folder: Path, datasets: list[Dataset]) -> Path:
    """Datasets as the files of a folder."""
    folder.mkdir()
    for at, dataset in enumerate(datasets):
        dataset.save_as(folder / f"{at}.dcm", enforce_file_format=True)
    return folder


def test_a_series_that_the_node_would_skip_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is read, as was asked, by its folder or by its name; stderr says why the node would not. Ours: no word."""
    grid = made.grid((12, 20, 12), (4, 15, 12.5))
    folder = written(tmp_path / "t1", made.series(*grid, EchoTime="11"))
    for wanted in (None, f"{made.ROOT}.2"):
        source = command.read(folder, wanted)
        command.suits(source, ct=False)
        told = capsys.readouterr().err
        assert told == "note: the node would skip this series: T2 weighting: TE 11 ms < 60 ms → not T2w\n"
    command.read(written(tmp_path / "t2", made.series(*grid)))
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("uid", "ct", "sentence"),
    [
        (SegmentationStorage, False, "the series holds Segmentation Storage: no images of MR$"),
        (SegmentationStorage, True, "the series holds Segmentation Storage: no images of MR or CT$"),
        (SecondaryCaptureImageStorage, False, "Secondary Capture Image Storage: no images"),
        (CTImageStorage, False, "CT Image Storage: no images of MR$"),
        (CTImageStorage, True, ""),
        (EnhancedMRImageStorage, False, ""),
        ("", False, ""),
    ],
)
def test_what_is_no_image_of_the_models_kind_is_refused(uid: str, ct: bool, sentence: str) -> None:
    """By its SOP class: a mask is no image, and one of CT is none for networks of MR; what says nothing is tried."""
    dataset = Dataset()
    dataset.SOPClassUID = uid
    source = command.Source(Series("1.2", (dataset,)))
    if not sentence:
        command.suits(source, ct=ct)
        return
    with pytest.raises(Unusable, match=sentence):
        command.suits(source, ct=ct)


def test_a_dicom_folder_gives_objects_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SEGs and the SR lie beside the masks and refer to the series; one of these is no image to be segmented."""
    study = tmp_path / "study"
    wanted = ["--levels", "L2-S1", "--slices", "12", "--spacing", "1.5", "5.0"]
    assert run(["phantom", "--out", str(study), "--seed", "3", *wanted]) == 0
    out = tmp_path / "out"
    assert command.segment(study, out=out, models=study, json=True) == 0
    assert "note: the node would skip" not in capsys.readouterr().err
    source = dcmread(next((study / "dicom" / "02-t2-sag").glob("*.dcm")), stop_before_pixels=True)
    for name, modality in (("structures.dcm", "SEG"), ("levels.dcm", "SEG"), ("report.dcm", "SR")):
        result = dcmread(out / name, stop_before_pixels=True)
        assert (result.Modality, result.StudyInstanceUID) == (modality, source.StudyInstanceUID)
    assert run(["segment", str(out / "levels.dcm"), "--out", str(tmp_path / "twice"), "--models", str(study)]) == 1
    assert "Segmentation Storage: no images of MR" in capsys.readouterr().err
    assert not (tmp_path / "twice").exists()
