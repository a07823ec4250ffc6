"""Stations of one study: overlapping vertebrae become one, names are carried over, quarrels are told."""

from __future__ import annotations

import numpy as np
import pytest

from spineps_pacs.analysis import study
from spineps_pacs.analysis.study import join
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.masks import InstanceMask, LevelChoice, LevelMethod, Levels, SemanticMask
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.study import JoinedLevels, Station
from spineps_pacs.domain.volume import Geometry, Volume

HEIGHT_MM = 30


def station(first: int, names: list[int | None], sure: float = 0.9, frame: str = "1.2.3") -> Station:
    """Vertebrae at 30 mm steps; the station begins `first` steps below the head."""
    shape = (HEIGHT_MM * len(names) // 2, 10, 10)
    structures, instances = np.zeros(shape, np.uint8), np.zeros(shape, np.uint16)
    for n in range(len(names)):
        middle = slice(15 * n + 4, 15 * n + 11)
        structures[middle, 2:8, 2:8] = 49
        instances[middle, 2:8, 2:8] = n + 2
    affine = np.array([[0, 0, 2, 0], [0, 2, 0, 0], [-2, 0, 0, -HEIGHT_MM * first], [0, 0, 0, 1]], dtype=float)
    geometry = Geometry(affine, shape, frame)
    choices = tuple(LevelChoice(n + 2, n + 1, name, sure) for n, name in enumerate(names))
    method = LevelMethod.MODEL if any(names) else LevelMethod.COUNTED
    report = Report(
        volume=Volume(np.zeros(shape, np.int16), geometry),
        structures=SemanticMask(structures, geometry),
        instances=InstanceMask(instances, geometry),
        levels=Levels(method, choices),
        measurements=(),
        models=(),
        mode="corrected",
    )
    return study.station(report)


def levels(joined: JoinedLevels) -> list[int | None]:
    return [level.level for level in joined.levels]


def test_overlapping_stations_make_one_spine() -> None:
    """T10 to L2 and T12 to L5 are eight vertebrae, and all agree."""
    joined = join([station(0, [17, 18, 19, 20, 21]), station(2, [19, 20, 21, 22, 23, 24])])
    assert levels(joined) == list(range(17, 25))
    assert joined.flags == ()
    assert [len(level.seen) for level in joined.levels] == [1, 1, 2, 2, 2, 1, 1, 1]


def test_a_counted_station_gets_its_names_from_its_neighbour() -> None:
    """A station without names is named by the one that overlaps it."""
    joined = join([station(0, [None] * 5), station(2, [19, 20, 21, 22, 23, 24])])
    assert levels(joined) == list(range(17, 25))


def test_a_quarrel_is_told_and_the_surer_station_wins() -> None:
    """The numbering with more support stands; every vertebra called otherwise is named."""
    joined = join([station(0, [17, 18, 19, 20, 21], 0.9), station(2, [20, 21, 22], 0.4)])
    assert levels(joined) == [17, 18, 19, 20, 21]
    assert joined.flags[0] == "T12 is called T12 in station 1, L1 in station 2"
    assert joined.margin == pytest.approx(5 * 0.9 - 3 * 0.4)


def test_no_names_at_all_stay_no_names() -> None:
    """Nothing is invented."""
    joined = join([station(0, [None] * 3)])
    assert levels(joined) == [None] * 3
    assert joined.flags == ("no station names its levels",)


def test_thirteen_thoracic_vertebrae_are_carried_on_below() -> None:
    """T13 in one station: the vertebra below it is L1 in the other."""
    joined = join([station(0, [18, 19, 28]), station(2, [None] * 3)])
    assert levels(joined) == [18, 19, 28, 20, 21]


def test_stations_of_two_frames_cannot_be_joined() -> None:
    """Places in different frames of reference say nothing of each other."""
    with pytest.raises(Unusable, match="2 frames of reference"):
        join([station(0, [17]), station(1, [18], frame="1.2.4")])
    with pytest.raises(Unusable, match="frames of reference"):
        join([station(0, [17], frame=""), station(1, [18], frame="")])


def test_what_is_kept_of_a_station_is_as_it_was_and_names_no_frame() -> None:
    """There and back through JSON; the frame of reference is kept as a digest."""
    kept = station(0, [19, 20, None], frame="1.2.3.4.5")
    assert Station.from_json(kept.to_json()) == kept
    assert "1.2.3.4.5" not in kept.to_json()
    assert [body.level for body in kept.bodies] == [19, 20, None]
