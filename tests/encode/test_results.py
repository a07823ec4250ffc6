"""Tests of the catalogue: which objects come out, and that they come out the same."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import pydicom
import pytest

from encode.cases import MODEL, OPTIONS, Wish, case, identity
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Volume
from spineps_pacs.encode.results import encode, notes

EVERYTHING = replace(OPTIONS, labelmap=True, gsps=True, rtstruct=True)


def _digests(report, series, options=EVERYTHING) -> list[tuple[str, str]]:  # type: ignore[no-untyped-def]
    results = encode(report, series, identity(report, series, options), options)
    return [(result.kind, hashlib.sha256(result.content).hexdigest()) for result in results]


@pytest.mark.parametrize("multiframe", [False, True])
def test_a_rerun_gives_the_same_bytes(multiframe: bool) -> None:
    """Same images, same report, same files, whatever order the slices arrived in."""
    first = _digests(*case(Wish(multiframe=multiframe)))
    report, series = case(Wish(multiframe=multiframe))
    assert _digests(report, Series(series.series_uid, series.datasets[::-1])) == first


def test_another_model_gives_other_files() -> None:
    """No file and no UID of another model is the same."""
    report, series = case()
    other = replace(report, models=(replace(MODEL, digest="cd" * 32),))
    assert not set(_digests(report, series)) & set(_digests(other, series))
    uids = [
        {result.sop_instance_uid for result in encode(r, series, identity(r, series), OPTIONS)} for r in (report, other)
    ]
    assert not uids[0] & uids[1]


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, ["structures", "levels", "report", "picture", "picture"]),
        ({"pictures": False}, ["structures", "levels", "report"]),
        ({"pictures": False, "split_levels": True}, ["structures", "vertebrae", "discs", "report"]),
        (
            {"pictures": False, "labelmap": True, "gsps": True, "rtstruct": True},
            ["structures", "levels", "report", "structures-labelmap", "levels-labelmap", "presentation", "contours"],
        ),
    ],
)
def test_the_site_chooses_the_objects(changes: dict[str, bool], kinds: list[str]) -> None:
    """Each option adds or splits its own objects and nothing else."""
    assert [kind for kind, _ in _digests(*case(), replace(OPTIONS, **changes))] == kinds  # type: ignore[arg-type]


def test_an_empty_result_is_told_or_not() -> None:
    """Nothing found gives a report that says so, or no object at all, as the site wishes."""
    report, series = case(Wish(empty=True))
    assert [kind for kind, _ in _digests(report, series)] == ["report"]
    assert _digests(report, series, replace(OPTIONS, report_when_empty=False)) == []


def test_all_uids_are_distinct() -> None:
    """No two objects of a report share a UID, and none is the source's."""
    report, series = case()
    uids = [r.sop_instance_uid for r in encode(report, series, identity(report, series, EVERYTHING), EVERYTHING)]
    assert len(uids) == len(set(uids)) == 9
    assert not set(uids) & set(series.instance_uids)


def test_a_seg_with_many_frames_is_worth_a_note() -> None:
    """Above 400 frames the operator is told; below nothing is said."""
    report, series = case(Wish(levels=tuple(range(1, 16)), rows=200, slices=24))
    results = encode(report, series, identity(report, series), replace(OPTIONS, pictures=False))
    assert [note.split(":")[0] for note in notes(results)] == ["levels"]
    report, series = case()
    assert notes(encode(report, series, identity(report, series), OPTIONS)) == ()


def test_tiles_of_a_mosaic_are_a_reason_to_stop() -> None:
    """Slices that share one picture have no frames of their own; that is told instead of written wrongly."""
    report, series = case()
    for number in (None, 2):
        frames = (replace(report.volume.frames[0], number=number),) * 7
        tiled = replace(report, volume=Volume(report.volume.voxels, report.volume.geometry, frames))
        with pytest.raises(Unusable, match="tiles of a mosaic"):
            encode(tiled, series, identity(tiled, series), OPTIONS)


def test_images_that_are_not_there_are_a_reason_to_stop() -> None:
    """A report whose slices come from other images is refused with their number."""
    report, series = case()
    stranger = Series(series.series_uid, case(Wish(multiframe=True))[1].datasets)
    for ds in stranger.datasets:
        ds.SOPInstanceUID = "1.2.3.4.5"
    with pytest.raises(Unusable, match="none of the 7 slices"):
        encode(report, stranger, identity(report, series), OPTIONS)


def test_our_station_is_named_where_the_site_gives_a_name() -> None:
    """StationName is ours, never the scanner's; without a setting it is not there."""
    report, series = case(Wish())
    named = replace(OPTIONS, station_name="NODE1")
    for options, name in ((OPTIONS, None), (named, "NODE1")):
        for result in encode(report, series, identity(report, series), options):
            assert pydicom.dcmread(io.BytesIO(result.content)).get("StationName") == name
