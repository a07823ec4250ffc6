"""Tests of identity: what decides a UID, and what does not."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encode.cases import CREATED, MODEL, OPTIONS, Wish, case, identity
from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.domain.masks import SemanticMask
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.identity import Origin, Prior, identify, uid


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1), st.sampled_from(["2.25", "1.2.826.0.1.3680043.10.999", "1.2.3"]))
def test_a_uid_is_valid_under_any_root(parts: list[str], root: str) -> None:
    """At most 64 characters, digits without leading zeros, and the same for the same parts."""
    made = uid(root, *parts)
    assert made == uid(root, *parts)
    assert len(made) <= 64
    assert made.startswith(root + ".")
    assert all(part.isdigit() and (part == "0" or part[0] != "0") for part in made.split("."))


def test_a_uid_under_2_25_is_a_uuid() -> None:
    """PS3.5 B.2: the component after 2.25 is a UUID as a decimal number."""
    number = uuid.UUID(int=int(uid("2.25", "x").split(".")[2]))
    assert number.version == 8
    assert number.variant == uuid.RFC_4122


def test_a_root_without_room_is_refused() -> None:
    """A root so long that UIDs would collide is told with its digits."""
    with pytest.raises(SettingsError, match="leaves 13 digits"):
        uid("1." + "2" * 48, "x")


def test_the_order_of_arrival_does_not_matter() -> None:
    """Shuffled datasets give the same identity."""
    report, series = case()
    shuffled = Series(series.series_uid, series.datasets[::-1])
    assert identity(report, series) == identity(report, shuffled)


def test_timings_take_no_part() -> None:
    """A slower machine makes the same result."""
    report, series = case()
    assert identity(replace(report, timings_s=(("semantic", 99.0),)), series) == identity(report, series)


def _other_voxel(report: Report) -> Report:
    labels = report.structures.labels.copy()
    labels[0, 0, 0] = 60
    return replace(report, structures=SemanticMask(labels, report.structures.geometry))


@pytest.mark.parametrize(
    "change",
    [
        lambda report: replace(report, models=(replace(MODEL, digest="cd" * 32),)),
        lambda report: replace(report, mode="fast"),
        lambda report: replace(report, measurements=report.measurements[1:]),
        lambda report: replace(report, flags=()),
        lambda report: replace(report, levels=replace(report.levels, margin=0.25)),
        _other_voxel,
    ],
)
def test_another_content_is_another_uid(change) -> None:  # type: ignore[no-untyped-def]
    """Another model, mode, number, flag, name or a single voxel: no UID is used twice."""
    report, series = case()
    assert identity(change(report), series).uid("x") != identity(report, series).uid("x")


def test_other_sources_settings_or_header_are_other_uids() -> None:
    """A late slice, another configuration, options, an earlier report or a corrected patient change every UID."""
    report, series = case()
    seeds = {identity(report, series).seed}
    seeds.add(identity(report, Series(series.series_uid, series.datasets[1:])).seed)
    seeds.add(identify(report, series, OPTIONS, Origin(CREATED, "other settings")).seed)
    seeds.add(identity(report, series, replace(OPTIONS, serial="2")).seed)
    seeds.add(identify(report, series, OPTIONS, Origin(CREATED, "settings", (Prior("1", "2", "3", "4"),))).seed)
    seeds.add(identity(report, case(Wish(patient=(("PatientID", "P-8"),)))[1]).seed)
    assert len(seeds) == 6


def test_tracking_follows_the_level_and_not_the_run() -> None:
    """Another model keeps the tracking UID of L4; L5 has another, and so has another series."""
    report, series = case()
    first = identity(report, series)
    second = identity(replace(report, models=(replace(MODEL, digest="cd" * 32),)), series)
    assert first.tracking_uid("L4") == second.tracking_uid("L4") != first.tracking_uid("L5")
    assert first.tracking_uid("L4") != replace(first, series_uid="1.9").tracking_uid("L4")


def test_a_time_is_told_in_the_zone_of_the_source() -> None:
    """10:20 UTC is 14:50 where the scanner says +0430; without a zone that can be, nothing moves."""
    report, series = case(Wish(patient=(("TimezoneOffsetFromUTC", "+0430"),)))
    created = datetime(2026, 3, 4, 10, 20, tzinfo=UTC)
    assert identify(report, series, OPTIONS, Origin(created)).created.strftime("%H%M") == "1450"
    nowhere = case(Wish(patient=(("TimezoneOffsetFromUTC", "+2500"),)))[1]
    for other in (case()[1], nowhere):
        assert identify(report, other, OPTIONS, Origin(created)).created.strftime("%H%M") == "1020"


def test_the_pixels_of_a_mask_count_by_value_not_by_type() -> None:
    """uint8 and int32 labels of the same values are the same report."""
    report, series = case()
    wide = SemanticMask(report.structures.labels.astype(np.int32), report.structures.geometry)
    assert identity(replace(report, structures=wide), series) == identity(report, series)
