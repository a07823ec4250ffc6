"""The second labeller in the node: which networks, what becomes part of a job's name, and what is kept for votes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.job import Job
from spineps_pacs.domain.masks import LevelMethod
from spineps_pacs.domain.ports import unwatched
from spineps_pacs.engines import weights
from spineps_pacs.engines.small_fov_install import FILES, install_networks_from
from spineps_pacs.engines.turns import Turns
from spineps_pacs.opinions import NAMES, PAGES, Opinions, earlier, kept_names, load_second, networks_folder
from spineps_pacs.producing import recipe
from spineps_pacs.settings import Models, SecondOpinion, Settings
from tests.analysis.test_second_report import _report
from tests.engines import onnx_files


def _networks(folder: Path) -> Path:
    folder.mkdir(parents=True)
    onnx_files.segmentation(folder, FILES[0])
    onnx_files.naming(folder, FILES[1])
    return folder


def _job(name: str, series: str) -> Job:
    return Job(name, series, "1.2", "f")


def test_where_the_networks_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder named, else small-fov of the models folder, else the embedded ones, else a sentence."""
    models = tmp_path / "models"
    beside = _networks(models / "small-fov")
    own = _networks(tmp_path / "own")
    assert networks_folder(SecondOpinion(folder=own), Models(folder=models)) == own
    assert networks_folder(SecondOpinion(folder=models), Models()) == beside
    assert networks_folder(SecondOpinion(), Models(folder=models)) == beside
    monkeypatch.setattr(weights, "embedded_folder", lambda: models)
    assert networks_folder(SecondOpinion(), Models()) == beside
    monkeypatch.setattr(weights, "embedded_folder", lambda: None)
    with pytest.raises(ModelError, match="no folder small-fov"):
        networks_folder(SecondOpinion(), Models(folder=tmp_path))


def test_installed_networks_are_held_to_their_record(tmp_path: Path) -> None:
    """They load where they were installed; one that was changed since is refused by name."""
    disk = _networks(tmp_path / "disk")
    root = tmp_path / "models"
    install_networks_from([disk / name for name in FILES], root)
    assert load_second(SecondOpinion(), Models(folder=root, device="cpu")).names == 25
    onnx_files.naming(root / "small-fov", FILES[1], names=24)
    with pytest.raises(ModelError, match="not as they were recorded"):
        load_second(SecondOpinion(), Models(folder=root, device="cpu"))


def test_it_is_part_of_a_jobs_name(tmp_path: Path) -> None:
    """Off it changes nothing; on, each setting and each file that decides a result makes another name."""
    folder = _networks(tmp_path / "second")
    plain = Settings()

    def named(**wanted: object) -> str:
        return recipe(plain.model_copy(update={"second_opinion": SecondOpinion(folder=folder, **wanted)}))  # type: ignore[arg-type]

    assert named() == recipe(plain)
    on = named(enabled=True)
    assert len({on, recipe(plain), named(enabled=True, leader="small-fov"), named(enabled=True, pixel_mm=0.8)}) == 4
    assert named(enabled=True, release_address="https://elsewhere.example") == on
    onnx_files.naming(folder, FILES[1], names=24)
    assert named(enabled=True) != on


def test_off_it_leaves_the_report_alone(tmp_path: Path) -> None:
    """No network is looked for while the second opinion is off."""
    report = _report()
    assert Opinions(Settings(), Turns()).review(report, _job("a", "1"), (), unwatched) is report


def test_on_it_reviews_and_hears_other_stations(tmp_path: Path) -> None:
    """The networks are loaded once, the verdict stands in the report, and a station that is kept speaks in it."""
    wanted = {"enabled": True, "folder": str(_networks(tmp_path / "second"))}
    current = Settings.model_validate(
        {"second_opinion": wanted, "models": {"device": "cpu"}, "node": {"data_folder": str(tmp_path)}}
    )
    (tmp_path / PAGES / "station").mkdir(parents=True)
    (tmp_path / PAGES / "station" / NAMES).write_bytes(kept_names(_report()))
    second = Opinions(current, Turns())
    for _ in range(2):
        report = second.review(_report(), _job("now", "1"), [_job("station", "2")], unwatched)
        assert report.second is not None
        assert "another station (1) speaks for them" in report.second.sentence
        assert report.models[-1].role == "small-fov"


def test_what_other_results_know_is_read_back(tmp_path: Path) -> None:
    """Of each other series of the patient its newest result; the same series and what is gone say nothing."""
    report = _report()
    for name in ("newer", "older", "same"):
        (tmp_path / PAGES / name).mkdir(parents=True)
        (tmp_path / PAGES / name / NAMES).write_bytes(kept_names(report))
    (tmp_path / PAGES / "older" / NAMES).write_bytes(kept_names(_report(lower=1)))
    others = [_job("newer", "2"), _job("older", "2"), _job("same", "1"), _job("gone", "3")]
    (known,) = earlier(tmp_path, _job("now", "1"), others)
    assert dict(known.names) == {i: i for i in range(19, 25)}
    assert known.frame
    assert "1.2.3" not in kept_names(report).decode()


def test_disputed_names_are_not_kept() -> None:
    """A result whose own names are in doubt keeps its places, and says nothing about names."""
    counted = replace(_report().levels, method=LevelMethod.COUNTED)
    assert b'"names": {}' in kept_names(replace(_report(), levels=counted))
