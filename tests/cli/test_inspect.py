"""`inspect` tells of every series under a path, `volume` writes one as NIfTI."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import made_dicom as made
import nibabel
import numpy as np
import pytest
import scanners

from spineps_pacs.cli import main as command_line

RULE_KEYS = {"rule", "passed", "value", "limit"}
SERIES_KEYS = {"series_uid", "modality", "description", "files", "taken", "reason", "rules", "volumes"}


def save(folder: Path, datasets: list[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for at, dataset in enumerate(datasets):
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(folder / f"{at:05}.dcm", enforce_file_format=True)


def inspected(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert command_line.run(["inspect", str(path), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def digest(path: Path) -> str:
    image = nibabel.as_closest_canonical(nibabel.load(path))
    voxels = np.asarray(image.dataobj)
    return hashlib.sha256(np.ascontiguousarray(voxels.astype("<i4")).tobytes()).hexdigest()[:8]


def test_the_json_is_that_of_the_interface(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object: series with rules and volumes, and unreadable files with reasons."""
    save(tmp_path / "spine", made.series(*made.grid((12, 200, 120))))
    shutil.copytree(scanners.folder("siemens-two-echoes-axial"), tmp_path / "echoes")
    (tmp_path / "notes.txt").write_text("these are no images, whatever the folder says")
    (tmp_path / "empty.dcm").touch()
    told = inspected(tmp_path, capsys)
    assert set(told) == {"series", "unreadable"}
    assert {Path(it["file"]).name: bool(it["reason"]) for it in told["unreadable"]} == {
        "notes.txt": True,
        "empty.dcm": True,
    }
    echoes, spine = sorted(told["series"], key=lambda it: it["taken"])
    assert set(spine) == set(echoes) == SERIES_KEYS
    assert all(set(rule) == RULE_KEYS for rule in spine["rules"] + echoes["rules"])
    assert (spine["taken"], spine["files"], spine["modality"]) == (True, 12, "MR")
    assert spine["volumes"] == [{"shape": [12, 200, 120], "spacing": [4.0, 1.5, 1.25], "te": 102.0, "role": "sagittal"}]
    assert not echoes["taken"]
    assert [it["te"] for it in echoes["volumes"]] == [5.19, 7.65]
    assert [it["shape"] for it in echoes["volumes"]] == [[8, 64, 64]] * 2


def test_people_get_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json: what was taken, why not, and the volumes; markup in a header stays text."""
    save(tmp_path, made.series(*made.grid(), SeriesDescription="[red]t1[/red]", EchoTime="11"))
    assert command_line.run(["inspect", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "skipped MR [red]t1[/red]" in shown
    assert "T2 weighting: TE 11 ms < 60 ms → not T2w" in shown
    assert "volume 1: 7 x 16 x 12, 4 x 1.5 x 1.25 mm, sagittal" in shown
    assert "1 series, 0 taken, 0 files unreadable" in shown


def test_limits_come_from_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed limit, and one for a single sender, change the verdict."""
    save(tmp_path / "spine", made.series(*made.grid((7, 200, 120))))
    config = tmp_path / "node.toml"
    config.write_text('[selection]\nmin_slices = 9\n[[selection.source]]\nae_title = "OLD"\nmin_slices = 3\n')
    path = tmp_path / "spine"
    assert inspected(path, capsys)["series"][0]["taken"]
    assert not inspected(path, capsys, "--config", str(config))["series"][0]["taken"]
    assert inspected(path, capsys, "--config", str(config), "--source", "OLD")["series"][0]["taken"]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("siemens-sag-t1-gap", (), "4438bc18"),
        ("siemens-xa30-enhanced-sag", (), "dc36ceeb"),
        ("philips-enhanced-sag", (), "bae916a0"),
        ("siemens-two-echoes-axial", (), "618fb17b"),
        ("siemens-two-echoes-axial", ("--volume", "1"), "a7c54c0b"),
        ("siemens-two-echoes-axial", ("--volume", "2"), "618fb17b"),
        ("siemens-mosaic-sag", ("--volume", "2"), "0c07bc10"),
        ("syntax-jpeg-lossless", (), "777f2330"),
        ("syntax-rle", (), "777f2330"),
    ],
)
def test_a_volume_is_written_as_nifti(name: str, options: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    """The voxels on record, with an affine to R, A, S in both forms of the header."""
    out = tmp_path / "new" / "out.nii.gz"
    assert command_line.run(["volume", str(scanners.folder(name)), "--out", str(out), *options]) == 0
    assert digest(out) == expected
    image = nibabel.load(out)
    assert np.allclose(image.get_sform(), image.get_qform(), atol=1e-3)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_where_there_is_no_volume_a_sentence_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, the reason on stderr, nothing written."""
    out = tmp_path / "out.nii.gz"
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, options, sentence in (
        (scanners.folder("uneven-slice-steps-ct"), (), "1 slice is missing"),
        (scanners.folder("syntax-rle"), ("--volume", "2"), "there is no volume 2"),
        (scanners.folder("syntax-rle"), ("--series", "1.2.3"), "there is no series 1.2.3"),
        (empty, (), "no DICOM image"),
        (tmp_path / "absent", (), "there is nothing at"),
    ):
        assert command_line.run(["volume", str(path), "--out", str(out), *options]) == 1
        assert sentence in capsys.readouterr().err
        assert not out.exists()


def test_only_nifti_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another ending is refused by name."""
    out = tmp_path / "out.png"
    assert command_line.run(["volume", str(scanners.folder("syntax-rle")), "--out", str(out)]) == 1
    assert "must end with .nii or .nii.gz" in capsys.readouterr().err


def test_of_several_series_the_taken_one_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A T1 with more slices beside it does not matter; --series names another."""
    save(tmp_path / "t2", made.series(*made.grid((9, 80, 80))))
    save(tmp_path / "t1", made.series(*made.grid((12, 80, 80)), EchoTime="9", SeriesInstanceUID="2.25.99"))
    out = tmp_path / "out.nii"
    assert command_line.run(["volume", str(tmp_path), "--out", str(out)]) == 0
    assert nibabel.load(out).shape == (80, 80, 9)
    assert "2 series" in capsys.readouterr().err
    assert command_line.run(["volume", str(tmp_path), "--out", str(out), "--series", "2.25.99"]) == 0
    assert nibabel.load(out).shape == (80, 80, 12)


def test_a_missing_slice_is_filled_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The note goes to stderr."""
    datasets = made.series(*made.grid())
    del datasets[2]
    save(tmp_path, datasets)
    out = tmp_path / "out.nii"
    assert command_line.run(["volume", str(tmp_path), "--out", str(out)]) == 1
    assert command_line.run(["volume", str(tmp_path), "--out", str(out), "--fill-missing"]) == 0
    assert "was filled" in capsys.readouterr().err
    assert nibabel.load(out).shape[2] == 7


def test_copies_of_a_slice_are_told_apart_by_their_pixels(tmp_path: Path) -> None:
    """The same files twice in a tree make one volume."""
    save(tmp_path / "one", made.series(*made.grid()))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    out = tmp_path / "out.nii"
    assert command_line.run(["volume", str(tmp_path), "--out", str(out)]) == 0
    assert nibabel.load(out).shape == (12, 16, 7)


@pytest.mark.long
def test_ten_thousand_files_are_scanned_with_bounded_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """10,000 files of 0.5 MB: what is kept of each is far less than a file."""
    dataset = made.series(*made.grid((1, 512, 512)))[0]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for series in range(100):
        dataset.SeriesInstanceUID = f"2.25.{series + 1}"
        made_folder = tmp_path / str(series)
        made_folder.mkdir()
        for at in range(100):
            dataset.SOPInstanceUID = f"2.25.{series + 1}.{at}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.ImagePositionPatient = [str(4.0 * at), "-90", "120"]
            dataset.save_as(made_folder / str(at), enforce_file_format=True)
    told = inspected(tmp_path, capsys)
    assert len(told["series"]) == 100
    assert all(it["volumes"][0]["shape"] == [100, 512, 512] for it in told["series"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
