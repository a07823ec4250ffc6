"""The stages of a job, on twins: what each does, and what it does when it is done again or goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from samples import SEG, SR, content_of, series_of, slice_of, stand_in, uid

from spineps_pacs.domain.errors import Cancelled, NotForUs, TryAgain, Unusable
from spineps_pacs.domain.job import Job, State, Verdict
from spineps_pacs.domain.ports import Phases, Result
from spineps_pacs.domain.series import Series, fingerprint
from spineps_pacs.workflow.work import ANALYSE, CONFIRM, DELIVER, SELECT, Work
from workflow.stage_bench import SKIPPED, Bench


def test_a_series_of_ours_comes_to_its_end(bench: Bench) -> None:
    """Selected, analysed, delivered everywhere, confirmed; two objects at each destination."""
    assert bench.run().state is State.CONFIRMED
    assert {str(ds.SOPClassUID) for ds in bench.a.kept} == {SEG, SR}
    assert [ds.SOPInstanceUID for ds in bench.a.kept] == [ds.SOPInstanceUID for ds in bench.b.kept]
    assert bench.told == []


@pytest.mark.parametrize("verdict", [SKIPPED, NotForUs(SKIPPED.reason)])
def test_what_is_not_ours_is_skipped(bench: Bench, verdict: Verdict | Exception) -> None:
    """Whether selection says so or raises, the reason stands in the record, and nothing more happens."""
    bench.verdict = verdict
    job = bench.run()
    assert (job.state, job.reason) == (State.SKIPPED, SKIPPED.reason)
    assert bench.a.kept == []


@pytest.mark.parametrize("stage", [SELECT, ANALYSE, DELIVER, CONFIRM])
def test_every_stage_may_be_done_twice(bench: Bench, stage: str) -> None:
    """A stage that is repeated after all is done follows on as before, and changes nothing."""
    bench.run()
    work = Work(stage, "j", 0, "a" if stage in (DELIVER, CONFIRM) else "")
    followed = {SELECT: [ANALYSE], ANALYSE: [], DELIVER: [CONFIRM], CONFIRM: []}[stage]
    assert [after.stage for after in bench.stages().run(work)] == followed
    assert bench.now().state is State.CONFIRMED
    assert len(bench.a.kept) == 2
    assert bench.faults() == []


def test_an_analysis_cut_before_its_end_is_begun_again(bench: Bench) -> None:
    """The state is still analysing, so the repeat analyses, and counts the worker's death."""
    bench.records.move("j", 0, State.WAITING)
    bench.records.move("j", 0, State.ANALYSING, attempts=1)
    assert len(bench.stages().run(Work(ANALYSE, "j", 0))) == 2
    assert bench.now().state is State.ANALYSED


def test_a_series_that_kills_its_worker_is_set_aside(bench: Bench) -> None:
    """After so many deaths the job fails, and says how many."""
    bench.records.move("j", 0, State.WAITING)
    bench.records.move("j", 0, State.ANALYSING, attempts=3)
    assert bench.stages().run(Work(ANALYSE, "j", 0)) == ()
    assert (bench.now().state, bench.now().reason) == (State.FAILED, "set aside: its worker died 3 times over it")


def test_what_cannot_be_analysed_fails_with_its_reason(bench: Bench) -> None:
    """A reason of the series is no fault of ours: no traceback is told."""

    def produce(series: Series, watch: Phases) -> Sequence[Result]:
        raise Unusable("slices 3 and 4 are 9.1 mm apart, the others 4.0 mm")

    bench.produce = produce
    job = bench.run()
    assert (job.state, job.reason) == (State.FAILED, "slices 3 and 4 are 9.1 mm apart, the others 4.0 mm")
    assert bench.faults() == []


def test_a_bug_fails_one_job(bench: Bench) -> None:
    """Anything unexpected fails the job, and its traceback is told."""

    def produce(series: Series, watch: Phases) -> Sequence[Result]:
        return [1 / 0]  # type: ignore[list-item]

    bench.produce = produce
    job = bench.run()
    assert (job.state, job.reason) == (State.FAILED, "a fault of ours: ZeroDivisionError")
    assert [type(error) for error in bench.faults()] == [ZeroDivisionError]


def test_a_busy_device_is_tried_again(bench: Bench) -> None:
    """Out of memory once, the analysis waits and succeeds; its death count stays at nothing."""
    calls: list[int] = []

    def produce(series: Series, watch: Phases) -> Sequence[Result]:
        calls.append(1)
        if len(calls) < 3:
            raise TryAgain("the device is out of memory")
        return stand_in(series, watch)

    bench.produce = produce
    assert bench.run().state is State.CONFIRMED
    assert len(calls) == 3


def test_a_device_that_stays_busy_fails_the_job(bench: Bench) -> None:
    """After the last attempt the reason stands in the record."""

    def produce(series: Series, watch: Phases) -> Sequence[Result]:
        raise TryAgain("the device is out of memory")

    bench.produce = produce
    job = bench.run()
    assert job.state is State.FAILED
    assert job.reason == "given up after 3 attempts: the device is out of memory"


def test_a_running_analysis_hears_of_its_cancellation(bench: Bench) -> None:
    """Between two tiles, a second after the last look, the analysis stops; nothing is delivered."""
    seen: list[int] = []

    def produce(series: Series, watch: Phases) -> Sequence[Result]:
        for tile in range(100):
            seen.append(tile)
            bench.ticks.now += 0.4
            if tile == 3:
                bench.chain.cancel("j")
            watch("segment", tile, 100)
        return stand_in(series, watch)

    bench.produce = produce
    assert bench.run().state is State.CANCELLED
    assert len(seen) <= 4 + 3
    assert bench.a.kept == []
    assert bench.faults() == []


def test_progress_is_told(bench: Bench) -> None:
    """About once a second, the record knows how far the analysis is."""
    seen: list[float] = []

    def produce(series: Series, watch: Phases) -> Sequence[Result]:
        for tile in range(10):
            bench.ticks.now += 0.5
            watch("segment", tile, 10)
            seen.append(bench.now().progress)
        assert bench.now().phase == "segment"
        return stand_in(series, watch)

    bench.produce = produce
    bench.run()
    assert seen == [0.0, 0.0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8]


def test_a_shadow_runs_last_and_holds_nothing_up(bench: Bench) -> None:
    """After everything urgent, on the same slices, once; whatever it meets, the job is delivered."""
    seen: list[str] = []

    def fails(series: Series, job: Job, watch: Phases) -> None:
        watch("second", 0, 1)
        seen.append(series.fingerprint)
        raise Unusable("the second set cannot")

    bench.shadow = fails
    assert bench.run().state is State.CONFIRMED
    assert seen == [bench.job.fingerprint]
    assert bench.now().phase != "second"
    assert [text for text, _ in bench.told] == ["the second set cannot"]
    follows = bench.stages().run(Work(ANALYSE, "j", 0))
    assert [work.priority for work in follows] == [1000]


def test_a_late_slice_ends_the_old_job(bench: Bench) -> None:
    """The inbox has more slices than the job knows: it waits for its successor and produces nothing."""
    ds = slice_of("s", 6)
    bench.inbox.add(bench.key, fingerprint([ds.SOPInstanceUID]) + ".dcm", content_of(ds))
    assert bench.run().state is State.ARRIVING
    assert "more slices arrived" in bench.told[0][0]
    assert bench.outbox.names("j") == ()


def test_a_worker_thought_dead_changes_nothing(bench: Bench) -> None:
    """Two analyse the same job at once; the results of the first stand and are delivered once."""
    first_of_two: list[bool] = []

    def produce(series: Series, watch: Phases) -> Sequence[Result]:
        if not first_of_two:
            first_of_two.append(True)
            bench.stages().run(Work(ANALYSE, "j", 0))  # the other worker, faster
        return stand_in(series, watch)

    bench.produce = produce
    assert bench.run().state is State.CONFIRMED
    assert len(bench.a.kept) == 2
    assert bench.faults() == []


def test_a_worker_that_stops_puts_its_work_down(bench: Bench) -> None:
    """A stop on purpose is no death: the job waits, and its count of deaths is nothing."""
    stages = bench.stages()

    def produce(series: Series, watch: Phases) -> Sequence[Result]:
        stages.put_down()
        assert (bench.now().state, bench.now().attempts) == (State.WAITING, 0)
        return stand_in(series, watch)

    bench.produce = produce
    bench.records.move("j", 0, State.WAITING)
    assert stages.run(Work(ANALYSE, "j", 0)) == ()
    assert bench.now().state is State.WAITING


def test_a_worker_that_stops_begins_nothing(bench: Bench) -> None:
    """What it had not begun is no attempt, and waits to be revived."""
    stages = bench.stages()
    bench.records.move("j", 0, State.WAITING)
    stages.put_down()
    assert stages.run(Work(ANALYSE, "j", 0)) == ()
    assert (bench.now().state, bench.now().attempts) == (State.WAITING, 0)


def test_a_series_that_has_ended_a_worker_is_analysed_alone(bench: Bench) -> None:
    """One beside it waits until it is through, so that its deaths are not counted to the other."""
    stages, other = bench.stages(), uid("s2", "series")
    for ds in series_of("s2"):
        bench.inbox.add(fingerprint([other]), fingerprint([ds.SOPInstanceUID]) + ".dcm", content_of(ds))
    second = replace(bench.job, id="k", series_uid=other)
    bench.records.add(replace(second, fingerprint=bench.inbox.load(fingerprint([other])).fingerprint))
    inside, go, order = threading.Event(), threading.Event(), []

    def produce(series: Series, watch: Phases) -> Sequence[Result]:
        order.append(series.series_uid)
        if series.series_uid != other:
            inside.set()
            assert go.wait(60)
            assert len(order) == 1
        return stand_in(series, watch)

    bench.produce = produce
    for name in ("j", "k"):
        bench.records.move(name, 0, State.WAITING)
    bench.records.move("j", 0, State.ANALYSING, attempts=1)
    with ThreadPoolExecutor() as pool:
        suspect = pool.submit(stages.run, Work(ANALYSE, "j", 0))
        assert inside.wait(60)
        beside = pool.submit(stages.run, Work(ANALYSE, "k", 0))
        with pytest.raises(TimeoutError):
            beside.result(0.2)
        go.set()
        assert len(suspect.result(60)) == len(beside.result(60)) == 2


def test_work_of_an_older_turn_is_dropped(bench: Bench) -> None:
    """After a new start, what still stands in a queue from before does nothing."""
    bench.records.again("j", State.ARRIVING, "started anew")
    assert bench.stages().run(Work(SELECT, "j", 0)) == ()
    assert bench.now().state is State.ARRIVING
    with pytest.raises(Cancelled):
        bench.records.move("j", 0, State.WAITING)
