"""The command `label` from a file to its results, with small ONNX networks that read grey values."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from spineps_pacs.cli.main import run
from tests import made_dicom
from tests.analysis.columns import as_series, column
from tests.analysis.columns import run as levels
from tests.engines import onnx_files

PIXEL = 0.85


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    """The folder of models with both networks in it."""
    folder = tmp_path / "models" / "small-fov"
    folder.mkdir(parents=True)
    onnx_files.segmentation(folder)
    onnx_files.naming(folder)
    return folder.parent


def _greys() -> np.ndarray:
    """A lumbar spine as the networks read it: (slice, row, column), one voxel of the brightest for the range."""
    made = column(levels("T12", "S1"), shape=(4, 40, 130))
    table = np.array([0.0, *(onnx_files.bone(at) for at in range(1, 26))])
    return np.asarray(as_series(np.where(made.classes == 2, onnx_files.DISC_AT, table[made.said])))


def test_a_nifti_file_is_named(tmp_path: Path, networks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Masks on the file's grid with ids of the project, a report, a table and a picture; names on stdout."""
    greys = (_greys() * 1000).astype(np.float32)
    affine = np.array([[-3.3, 0, 0, 0], [0, 0, -PIXEL, 0], [0, -PIXEL, 0, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(greys, affine), tmp_path / "spine.nii.gz")
    out = tmp_path / "out"
    assert run(["label", str(tmp_path / "spine.nii.gz"), "--out", str(out), "--models", str(networks)]) == 0
    assert "6 vertebrae: T12, L1, L2, L3, L4, L5" in capsys.readouterr().out
    instances = np.asarray(nibabel.load(out / "instances.nii.gz").dataobj)
    assert instances.shape == greys.shape
    assert set(np.unique(instances)) == {0, *range(19, 25), 26, *range(119, 125)}
    assert {f.name for f in out.iterdir()} == {
        "report.json", "levels.csv", "preview.png", "structures.nii.gz", "instances.nii.gz",
    }  # fmt: skip


def test_a_dicom_series_is_named(tmp_path: Path, networks: Path) -> None:
    """A DICOM series also gets its standard objects; its instances lie where the grey values say."""
    greys = np.round(_greys() * 4000).astype(np.int64)
    affine, shape = made_dicom.grid(greys.shape, (3.3, PIXEL, PIXEL))
    datasets = made_dicom.series(affine, shape)
    for dataset, plane in zip(datasets, greys, strict=True):
        made_dicom.set_pixels(dataset, plane)
    folder = tmp_path / "series"
    folder.mkdir()
    for dataset in datasets:
        dataset.save_as(folder / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    assert run(["label", str(folder), "--out", str(tmp_path / "out"), "--models", str(networks)]) == 0
    assert {f.name for f in (tmp_path / "out").glob("*.dcm")} >= {"structures.dcm", "report.dcm"}
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    labels = [found["label"] for found in told["levels"]["found"]]
    assert labels[:7] == ["T12", "L1", "L2", "L3", "L4", "L5", "Sacrum"]
    assert "L5-S1" in labels
    assert told["models"][0]["role"] == "small-fov"


def test_semantic_only_and_json(tmp_path: Path, networks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without names the report holds structures and says why there are no levels."""
    nibabel.save(nibabel.Nifti1Image(_greys().astype(np.float32), np.diag([1, 1, 1, 1.0])), tmp_path / "a.nii")
    arguments = ["label", str(tmp_path / "a.nii"), "--out", str(tmp_path / "out"), "--models", str(networks)]
    assert run([*arguments, "--semantic-only", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["levels"]["found"] == []
    assert told["levels"]["reason"] == "only vertebrae and discs were asked for, no names"


def test_without_networks_there_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without networks ends with code 1 and a sentence that names the folder."""
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 4, 4), np.float32), np.eye(4)), tmp_path / "a.nii")
    assert run(["label", str(tmp_path / "a.nii"), "--out", str(tmp_path / "o"), "--models", str(tmp_path)]) == 1
    assert "holds no .onnx file" in capsys.readouterr().err
