"""The benchmark's arithmetic: medians, scaled samples, sums, growth; the table keeps what was measured earlier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spineps_pacs.evaluation.bench import OUTSIDE, Answer, Row, around, exponent, markdown, merged, read, row, write


def answer(peak_mb: float = 100.0, **spans: float) -> Answer:
    """A twin of a side's answer: wall seconds are twice the CPU's."""
    return Answer({name: (cpu, 2 * cpu) for name, cpu in spans.items()}, peak_mb)


def test_a_phase_is_the_median_of_its_runs_and_the_ratio_is_upstream_over_ours() -> None:
    """One slow run changes nothing; the peak is the highest of all runs."""
    ours = [answer(n4=1.0), answer(n4=9.0, peak_mb=300), answer(n4=2.0)]
    theirs = [answer(n4=40.0), answer(n4=80.0), answer(n4=90.0)]
    found = row("n4", ours, theirs, ("n4",))
    assert (found.ours_cpu_s, found.upstream_cpu_s, found.ours_wall_s, found.upstream_wall_s) == (2, 80, 4, 160)
    assert (found.ratio, found.peak_mb, found.upstream_peak_mb) == (40, 300, 100)


def test_a_sample_is_scaled_to_the_whole() -> None:
    """Two tiles of ninety cost two ninetieths; memory is not scaled."""
    found = row("semantic_network", [answer(semantic_network=16.0)], [], ("semantic_network",), 90 / 2)
    assert (found.ours_cpu_s, found.peak_mb, found.upstream_cpu_s, found.ratio) == (720, 100, None, None)


def test_outside_networks_is_all_but_the_networks() -> None:
    """Every span around the networks counts, none of the networks does."""
    run = answer(semantic_network=1000.0, instance_network=1000.0, **dict.fromkeys(OUTSIDE, 1.5))
    found = {r.phase: r for r in around([run], [run])}
    assert found["outside_networks"].ours_cpu_s == pytest.approx(1.5 * len(OUTSIDE))
    assert found["outside_networks"].ratio == 1
    assert "semantic_network" not in found


def test_sums_are_made_of_what_was_measured_in_different_runs() -> None:
    """The end to end appears with its last part, and follows when a part is measured anew."""
    parts = [Row(name, 10.0, 50.0, peak_mb=peak) for name, peak in (("outside_networks", 5), ("semantic_network", 7))]
    table = merged(parts, [Row("instance_network", 20.0, 20.0, peak_mb=9)])
    assert "end_to_end" not in {r.phase for r in table}
    table = merged(table, [Row("labelling_network", 10.0, 30.0)])
    whole = next(r for r in table if r.phase == "end_to_end")
    assert (whole.ours_cpu_s, whole.upstream_cpu_s, whole.ratio, whole.peak_mb) == (50, 150, 3, 9)
    table = merged(table, [Row("outside_networks", 60.0, None)])
    whole = next(r for r in table if r.phase == "end_to_end")
    assert (whole.ours_cpu_s, whole.upstream_cpu_s, whole.ratio) == (100, None, None)


@given(st.floats(0.1, 3), st.floats(0.01, 100))
def test_the_exponent_of_a_power_is_found(power: float, factor: float) -> None:
    """seconds = factor * size ^ power gives that power."""
    sizes = [1.0, 2.0, 4.0]
    assert exponent(sizes, [factor * s**power for s in sizes]) == pytest.approx(power)


def test_one_size_has_no_exponent() -> None:
    """A line needs two points."""
    with pytest.raises(ValueError, match="two different sizes"):
        exponent([3.0, 3.0], [1.0, 2.0])


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """rows and facts survive; the names of the columns are those that other programs read."""
    rows = [Row("n4", 0.5, 38.7, 0.6, 40.0, 77.4, 300.0, 900.0, "median of 3"), Row("backlog", ours_wall_s=99.0)]
    write(tmp_path / "build" / "bench.json", rows, {"commit": "abc"})
    assert read(tmp_path / "build" / "bench.json") == (rows, {"commit": "abc"})
    first = json.loads((tmp_path / "build" / "bench.json").read_text())["rows"][0]
    wanted = {"phase", "ours_cpu_s", "upstream_cpu_s", "ours_wall_s", "upstream_wall_s", "ratio", "peak_mb"}
    assert wanted <= set(first)
    assert read(tmp_path / "none.json") == ([], {})


def test_the_table_says_nothing_where_nothing_was_measured() -> None:
    """An empty cell stands for what is not known, and never a zero."""
    head, _, line = markdown([Row("backlog", ours_wall_s=99.04)]).splitlines()
    assert [cell.strip() for cell in line.split("|")[1:-1]] == ["backlog", "", "", "99.04", "", "", "", "", ""]
    assert head.count("|") == line.count("|")
