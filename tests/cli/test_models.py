"""The command `models`: what it prints and how it ends, against a local server of releases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spineps_pacs.cli.main import run
from spineps_pacs.cli.models import VARIABLE
from spineps_pacs.engines.small_fov_install import FILES
from tests.engines import folders, onnx_files
from tests.engines.test_install import Shelf, archive, served


def test_list_shows_what_is_there_and_what_could_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Name, kind and version of each model, warnings and faults with it, and the published ones that are absent."""
    folders.write(tmp_path / "T2w_semantic_v1.0.9" / "inference_config.json", folders.SEMANTIC | {"taste": 1})
    folders.write(tmp_path / "odd" / "inference_config.json", {"log_name": "x"})
    assert run(["models", "list", "--models", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "t2w_semantic_v1.0.9" in text
    assert "unknown field taste" in text
    assert "not usable" in text
    assert "t2w_labeling" in text.partition("not installed")[2]
    assert run(["models", "list", "--models", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [m["kind"] for m in answer["models"]] == ["semantic"]
    assert "t2w" not in answer["published"]


def test_the_folder_may_come_from_spineps_own_variable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --models the variable counts; without either `list` shows what is embedded, others name all ways."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert run(["models", "list"]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    monkeypatch.delenv(VARIABLE)
    assert run(["models", "list"]) == 0
    assert "embedded" in capsys.readouterr().out
    assert run(["models", "verify"]) == 2
    assert VARIABLE in capsys.readouterr().err


def test_install_verify_and_remove(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the configured address into the configured folder; verified, changed, refused, removed."""
    with served(Shelf(archive())) as base:
        config = tmp_path / "node.toml"
        config.write_text(f'[models]\nfolder = "models"\nrelease_address = "{base}"\n')
        assert run(["models", "install", "t2w", "--config", str(config)]) == 0
    assert "installed t2w_semantic_v1.0.9 (semantic)" in capsys.readouterr().out
    assert run(["models", "verify", "--config", str(config)]) == 0
    assert "as recorded" in capsys.readouterr().out
    (tmp_path / "models" / "T2w_semantic_v1.0.9" / "fold_0" / "checkpoint_final.pth").write_bytes(b"x")
    assert run(["models", "verify", "--config", str(config)]) == 1
    assert "another content" in capsys.readouterr().out
    assert run(["models", "remove", "t2w", "--config", str(config)]) == 0
    assert not (tmp_path / "models" / "T2w_semantic_v1.0.9").exists()
    capsys.readouterr()
    assert run(["models", "remove", "t2w", "--config", str(config)]) == 1
    assert "none" in capsys.readouterr().err


def test_install_from_a_file_and_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive on disk needs no network; unknown names and two names for one archive are sentences."""
    (tmp_path / "t2w.zip").write_bytes(archive())
    models = ["--models", str(tmp_path / "models")]
    assert run(["models", "install", "t2w", "--from", str(tmp_path / "t2w.zip"), *models]) == 0
    assert "t2w_semantic_v1.0.9" in capsys.readouterr().out
    assert run(["models", "install", "pet", *models]) == 1
    assert "published as pet" in capsys.readouterr().err
    assert run(["models", "install", "t2w", "t1w", "--from", str(tmp_path / "t2w.zip"), *models]) == 1
    assert "2 were named" in capsys.readouterr().err


def test_the_second_labeller_is_installed_listed_verified_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its own address or from its two files; held to what was recorded; both ways give the same folder."""
    disk, models = tmp_path / "disk", ["--models", str(tmp_path / "models")]
    disk.mkdir()
    files = [onnx_files.segmentation(disk, FILES[0]), onnx_files.naming(disk, FILES[1])]
    asked = [word for path in files for word in ("--from", str(path))]
    assert run(["models", "install", "small-fov", *asked, *models]) == 0
    assert run(["models", "list", *models, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert "small-fov" in {m["name"] for m in answer["models"]}
    assert "small-fov" not in answer["published"]
    assert run(["models", "verify", *models]) == 0
    assert "small-fov: as recorded" in capsys.readouterr().out
    (tmp_path / "models" / "small-fov" / FILES[0]).write_bytes(b"x")
    assert run(["models", "verify", *models]) == 1
    assert "another content" in capsys.readouterr().out
    assert run(["models", "remove", "small-fov", *models]) == 0
    assert run(["models", "list", *models]) == 0
    assert "small-fov" in capsys.readouterr().out.partition("not installed")[2]
    with served(Shelf(b"x" * 500)) as base:
        config = tmp_path / "node.toml"
        config.write_text(f'[models]\nfolder = "models"\n[second_opinion]\nrelease_address = "{base}"\n')
        assert run(["models", "install", "small-fov", "--config", str(config)]) == 0
    assert sorted(p.name for p in (tmp_path / "models" / "small-fov").iterdir()) == sorted(FILES)
    assert run(["models", "install", "small-fov", "t2w", *models]) == 1
    assert "by itself" in capsys.readouterr().err
