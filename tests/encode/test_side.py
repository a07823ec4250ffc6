"""Tests of what stands beside the objects: JSON by its schema, NIfTI where the patient is, CSV a row per level."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import nibabel
import numpy as np
import pytest

from encode.cases import DEMONSTRATION, FLIPS, OBLIQUE, Wish, case, whole_spine
from spineps_pacs.domain.anatomy import FLAGS, MEASUREMENTS
from spineps_pacs.domain.report import Flag, FoldSpread, SecondOpinion
from spineps_pacs.encode.concepts import VERDICTS
from spineps_pacs.encode.side import SCHEMA, instances_nifti, level_rows, report_json, structures_nifti

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "report.schema.json"


@pytest.mark.parametrize(
    "wish",
    [
        Wish(),
        Wish(levels=(None, None), model=DEMONSTRATION),
        Wish(empty=True),
        Wish(levels=whole_spine(), rows=320, turned=OBLIQUE),
    ],
)
def test_the_json_follows_its_schema(wish: Wish) -> None:
    """Named, counted, empty and whole spines are all valid, and survive a round through text."""
    report = case(wish)[0]
    extra = (Flag("cut-by-field-of-view", "at the top", (22,)),)
    report = replace(report, flags=(*report.flags, *extra), folds=(FoldSpread(49, 3.0, 0.5),))
    schema = json.loads(SCHEMA_FILE.read_text())
    content = json.loads(json.dumps(report_json(report), allow_nan=False))
    jsonschema_rs.validator_for(schema).validate(content)
    assert content["schema"] == SCHEMA == schema["properties"]["schema"]["const"]


def test_the_second_opinion_stands_in_the_json() -> None:
    """Verdict, sentence, shift and what the second labeller calls each vertebra; every verdict is one of the schema."""
    said = SecondOpinion("shifted", "they differ by 1", True, 1, 0.7, ((23, "L5"),))
    content = json.loads(json.dumps(report_json(replace(case()[0], second=said))))
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema_rs.validator_for(schema).validate(content)
    assert content["second_opinion"]["names"] == [{"instance": 23, "name": "L5"}]
    assert report_json(case()[0])["second_opinion"] is None
    assert set(schema["properties"]["second_opinion"]["properties"]["verdict"]["enum"]) == set(VERDICTS)


def test_the_schema_knows_every_kind() -> None:
    """Measurements and flags of the domain are those of the schema; an unknown key is an error."""
    schema = json.loads(SCHEMA_FILE.read_text())
    definitions = schema["$defs"]
    assert set(definitions["measurement"]["properties"]["kind"]["enum"]) == set(MEASUREMENTS)
    assert set(definitions["flag"]["properties"]["kind"]["enum"]) == set(FLAGS)
    content = report_json(case()[0]) | {"patient": "x"}
    assert not jsonschema_rs.validator_for(schema).is_valid(content)


def test_the_json_holds_what_the_report_holds() -> None:
    """Levels, numbers with unit and uncertainty, what is missing and why, models with digests, timings; no UID."""
    report = case()[0]
    content = report_json(report)
    assert [level["label"] for level in content["levels"]["found"]][:2] == ["L3", "L4"]
    by_kind = {(m["kind"], m["subject_name"]): m for m in content["measurements"]}
    height = by_kind["body_height_anterior", "L4"]
    assert (height["value"], height["unit"], height["uncertainty"]) == (25.123, "mm", 1.0)
    assert by_kind["canal_area", "L4"]["value"] is None
    assert by_kind["canal_area", "L4"]["missing"] == "measurement failure"
    assert by_kind["disc_height_middle", "L4-L5"]["value"] == 8.75
    assert by_kind["slip", "L4"]["other_name"] == "L5"
    assert content["models"][0]["digest"] == "ab" * 32
    assert content["timings_s"] == [{"phase": "semantic", "seconds": 1.25}]
    assert "1.2.3.4" not in json.dumps(content)


@pytest.mark.parametrize("flips", FLIPS)
def test_nifti_lies_where_the_patient_is(flips: tuple[int, int, int]) -> None:
    """Through NIfTI's own RAS affine each label has the centroid that the mask has in LPS."""
    report = case(Wish(flips=flips, turned=OBLIQUE))[0]
    for content, mask in ((structures_nifti(report), report.structures), (instances_nifti(report), report.instances)):
        image = nibabel.Nifti1Image.from_bytes(gunzip(content))
        labels = np.asarray(image.dataobj)
        assert set(np.unique(labels)) - {0} == set(mask.ids())
        for label in mask.ids():
            ras = nibabel.affines.apply_affine(image.affine, np.argwhere(labels == label).mean(axis=0))
            lps = mask.geometry.to_world(np.argwhere(mask.labels == label).mean(axis=0))
            np.testing.assert_allclose(ras * (-1, -1, 1), lps, atol=1e-3)


def gunzip(content: bytes) -> bytes:
    """The bytes within."""
    return gzip.decompress(content)


def test_nifti_keeps_every_id_and_its_bytes() -> None:
    """Endplates stay 52, 53 and 62; the same report gives the same file."""
    report = case()[0]
    labels = np.asarray(nibabel.Nifti1Image.from_bytes(gunzip(structures_nifti(report))).dataobj)
    assert {52, 53, 62} <= set(np.unique(labels).tolist())
    assert structures_nifti(report) == structures_nifti(case()[0])


def test_a_row_per_level() -> None:
    """The table has a row per vertebra, with the numbers of the disc below it, blank where there is none."""
    rows = list(csv.DictReader(io.StringIO(level_rows(case()[0]))))
    assert [row["label"] for row in rows] == ["L3", "L4", "L5", "Sacrum"]
    assert rows[1]["body_height_anterior [mm]"] == "25.123"
    assert rows[1]["disc_height_middle [mm]"] == "8.75"
    assert rows[1]["disc_height_middle +-"] == "0.7"
    assert rows[3]["disc_height_middle [mm]"] == ""
    assert rows[0]["canal_area [mm2]"] == ""
    assert rows[0]["method"] == "model-labelled"
