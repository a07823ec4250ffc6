"""The numeric parts as the settings want them: what is written, and what an operator is told of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from encode.cases import Wish, case
from samples import SEG, content_of, slice_of
from twins import DictRecords

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.job import Job
from spineps_pacs.domain.ports import Result
from spineps_pacs.producing import Loaded, encode_options, keep_side_outputs, produce, recipe, tell
from spineps_pacs.settings import Settings


def seg_of(frames: int) -> Result:
    """A SEG of so many frames, by its header."""
    return Result("levels", SEG, "1.2.3", content_of(slice_of("a", 0, SOPClassUID=SEG, NumberOfFrames=frames)))


def test_an_operator_is_told_of_a_seg_that_some_viewers_switch_off() -> None:
    """Beyond 400 frames the timeline says so, and names the setting that helps; up to 400 it says nothing."""
    records = DictRecords(lambda uid: uid, lambda: 1.0)
    records.add(Job("job", "1.2", "1.3", "print"))
    tell(records, "job", [seg_of(400)])
    assert [event.kind for event in records.timeline("job")] == ["arriving"]
    tell(records, "job", [seg_of(401)])
    told = records.timeline("job")[-1]
    assert told.kind == "note"
    assert "401" in told.text
    assert "split_levels" in told.text


def settings_with(**sections: object) -> Settings:
    """Settings as a file with these sections gives them."""
    return Settings.model_validate(sections)


def test_a_series_that_no_result_can_refer_to_is_refused_before_the_analysis() -> None:
    """Nothing is loaded and no record is asked for when the answer is already there."""
    series = case(Wish(levels=(23, 24), rows=60, slices=6))[1]
    for dataset in series.datasets:
        del dataset.StudyInstanceUID
    produced = produce(Settings, cast("Any", None), cast("Any", None), Loaded(), cast("Any", None))
    with pytest.raises(Unusable, match="no StudyInstanceUID"):
        produced(series, lambda *_: None)


def test_a_destination_that_wants_label_maps_changes_what_is_written() -> None:
    """Label maps are written once one destination wants them, and a job made before has another name."""
    plain, wanting = (
        settings_with(destination=[{"name": "a", "kind": "folder", "folder": "x", "labelmap": wish}])
        for wish in (False, True)
    )
    assert (encode_options(plain).labelmap, encode_options(wanting).labelmap) == (False, True)
    assert recipe(plain) != recipe(wanting)


def test_the_station_is_named_in_the_objects() -> None:
    """`results.station_name` reaches the objects' equipment."""
    assert encode_options(settings_with(results={"station_name": "NODE1"})).station_name == "NODE1"


def test_side_outputs_hold_the_report_and_no_identifier(tmp_path: Path) -> None:
    """Masks, numbers and rows of one job in a folder of their own."""
    report, series = case(Wish())
    job = Job("job", "1.2", "1.3", "print")
    keep_side_outputs(tmp_path, job, report)
    folder = tmp_path / job.id
    assert {path.name for path in folder.iterdir()} == {
        "report.json", "levels.csv", "structures.nii.gz", "instances.nii.gz"
    }  # fmt: skip
    assert json.loads((folder / "report.json").read_text())["levels"]["found"]
    for identifier in (series.datasets[0].PatientID, str(series.datasets[0].PatientName), series.series_uid):
        assert identifier.encode() not in (folder / "report.json").read_bytes() + (folder / "levels.csv").read_bytes()
