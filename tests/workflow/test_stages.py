"""The stages of a job, on twins: what each does, and what it does when it is done again or goes wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from contract.conftest import Clock
from samples import SEG, SR, content_of, result_of, series_of, slice_of, stand_in, uid
from twins import DictDatasets, DictRecords, ListDestination, SetConfirmation, StraightChain

from spineps_pacs.delivery.rules import Routing, Rule
from spineps_pacs.domain.errors import Cancelled, NotForUs, TryAgain, Unusable
from spineps_pacs.domain.job import Job, State, Verdict
from spineps_pacs.domain.ports import Phases, Result
from spineps_pacs.domain.series import Series, fingerprint
from spineps_pacs.workflow.stages import Parts, Patience, Stages
from spineps_pacs.workflow.work import ANALYSE, CONFIRM, DELIVER, SELECT, Retries, Work

TAKEN, SKIPPED = Verdict(True, ""), Verdict(False, "not T2 weighted: TE 10 ms")


@dataclass
class Bench:
    """A job of six slices before its first stage, and everything around it."""

    records: DictRecords
    inbox: DictDatasets
    outbox: DictDatasets
    clock: Clock
    ticks: Clock
    a: ListDestination = field(default_factory=lambda: ListDestination("a"))
    b: ListDestination = field(default_factory=lambda: ListDestination("b"))
    verdict: Verdict | Exception = TAKEN
    produce: Callable[[Series, Phases], Sequence[Result]] = stand_in
    rules: tuple[Rule, ...] = (Rule("a"), Rule("b"))
    confirmations: dict[str, SetConfirmation] = field(default_factory=dict)
    shadow: Callable[[Series, Job, Phases], None] | None = None
    told: list[tuple[str, BaseException | None]] = field(default_factory=list)
    patience: Patience = field(default_factory=lambda: Patience(Retries(3, 10), Retries(4, 10), deaths=3))

    def __post_init__(self) -> None:
        slices = series_of("s")
        for ds in slices:
            self.inbox.add(self.key, fingerprint([ds.SOPInstanceUID]) + ".dcm", content_of(ds))
        self.job = Job("j", slices[0].SeriesInstanceUID, slices[0].StudyInstanceUID, self.series().fingerprint)
        self.records.add(self.job)
        self.chain = StraightChain(self.records, lambda work: self.stages().run(work))

    @property
    def key(self) -> str:
        return fingerprint([uid("s", "series")])

    def series(self) -> Series:
        return self.inbox.load(self.key)

    def judge(self, series: Series, source: str) -> Verdict:
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    def stages(self) -> Stages:
        parts = Parts(
            self.inbox, self.outbox, self.records, self.judge, self._produce, Routing(self.rules),
            {"a": self.a, "b": self.b}, self.confirmations, self.shadow,
        )  # fmt: skip
        return Stages(parts, self.patience, self._tell, self.ticks)

    def _produce(self, series: Series, watch: Phases) -> Sequence[Result]:
        return self.produce(series, watch)

    def _tell(self, text: str, work: Work, error: BaseException | None) -> None:
        self.told.append((text, error))

    def run(self) -> Job:
        """All stages, one after the other."""
        self.chain.enqueue(self.now())
        self.chain.drain()
        return self.now()

    def now(self) -> Job:
        job = self.records.known("j")
        assert job is not None
        return job

    def faults(self) -> list[BaseException]:
        return [error for _, error in self.told if error is not None]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    clock = Clock()
    records = DictRecords(lambda text: hashlib.sha256(text.encode()).hexdigest()[:16], clock)
    return Bench(records, DictDatasets(tmp_path / "in", clock), DictDatasets(tmp_path / "out", clock), clock, Clock())


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


def test_an_outage_is_waited_for_without_computing_anew(bench: Bench) -> None:
    """One destination down, the other is served; the delivery comes again later, with growing delays."""
    bench.a.down = True
    bench.chain.enqueue(bench.now())
    delays = []
    while bench.chain.queue:
        delays += [work.delay_s for work in bench.chain.queue if work.destination == "a"]
        bench.chain.step()
        if len([d for d in delays if d]) == 2:
            bench.a.down = False
    assert bench.now().state is State.CONFIRMED
    assert (len(bench.a.kept), len(bench.b.kept)) == (2, 2)
    waits = sorted({delay for delay in delays if delay})
    assert all(5 <= waits[0] <= 10 <= wait <= 40 for wait in waits[1:])


def test_an_outage_of_an_hour_is_outlasted(bench: Bench) -> None:
    """With the attempts and delays that a node has by itself, at injected times; analysed once, delivered once."""
    bench.patience = Patience()
    analyses: list[str] = []

    def counting(series: Series, watch: Phases) -> Sequence[Result]:
        analyses.append(series.series_uid)
        return stand_in(series, watch)

    bench.produce = counting
    waiting, now = [(0.0, Work(SELECT, "j", 0))], 0.0
    while waiting:
        waiting.sort(key=lambda due: due[0])
        now, work = waiting.pop(0)
        bench.a.down = now < 3600.0
        waiting += [(now + following.delay_s, following) for following in bench.stages().run(work)]
    assert bench.now().state is State.CONFIRMED
    assert 3600.0 <= now < 3 * 3600.0
    assert (len(analyses), len(bench.a.kept), len(bench.b.kept)) == (1, 2, 2)


def test_a_destination_that_stays_down_is_a_dead_letter(bench: Bench) -> None:
    """After the last attempt; the other destination has its results; the reason is kept."""
    bench.a.down = True
    job = bench.run()
    assert job.state is State.DEAD_LETTER
    assert job.reason == "a: a cannot be reached"
    assert [s.attempts for s in job.sendings if s.destination == "a"] == [4]
    assert len(bench.b.kept) == 2


def test_a_dead_letter_is_resumed(bench: Bench) -> None:
    """Sent anew by a person once the destination is back, without computing."""
    bench.a.down = True
    bench.run()
    bench.a.down = False
    bench.produce = lambda *_: pytest.fail("the analysis was repeated")
    bench.chain.resend("j", "a")
    bench.chain.drain()
    assert bench.now().state is State.CONFIRMED
    assert (len(bench.a.kept), len(bench.b.kept)) == (2, 2)


def test_what_was_accepted_is_not_sent_again(bench: Bench) -> None:
    """The peer hangs up after the first object; only the second is sent the next time."""
    bench.a.breaks_after = 1
    bench.chain.enqueue(bench.now())
    while bench.chain.queue:
        bench.chain.step()
        if len(bench.a.kept) == 1:
            bench.a.breaks_after = None
    uids = [ds.SOPInstanceUID for ds in bench.a.kept]
    assert len(uids) == len(set(uids)) == 2
    assert bench.now().state is State.CONFIRMED


def test_a_refused_class_is_named(bench: Bench) -> None:
    """The report arrives, the refused SEG is a dead letter that gives the status."""
    bench.a.refuses = {SEG}
    job = bench.run()
    assert job.state is State.DEAD_LETTER
    assert "1 of 1 objects were not accepted: 0x0122" in job.reason
    assert [str(ds.SOPClassUID) for ds in bench.a.kept] == [SR]


def test_a_label_map_may_be_refused(bench: Bench) -> None:
    """It has a binary twin that arrives; the delivery is done."""
    label_map = "1.2.840.10008.5.1.4.1.1.66.7"

    def produce(series: Series, watch: Phases) -> Sequence[Result]:
        return [*stand_in(series, watch), result_of(series, "structures-labelmap", label_map)]

    bench.produce = produce
    bench.a.refuses = {label_map}
    bench.confirmations["a"] = SetConfirmation(bench.a)
    assert bench.run().state is State.CONFIRMED
    assert (len(bench.a.kept), len(bench.b.kept)) == (2, 3)


def test_no_destination_is_the_end(bench: Bench) -> None:
    """Where no rule fits, the results stay here and the job says so."""
    bench.rules = (Rule("a", sources=("OTHER",)),)
    job = bench.run()
    assert (job.state, job.reason) == (State.DELIVERED, "no destination takes its results")


def test_kinds_and_source_images_go_where_wanted(bench: Bench) -> None:
    """One destination takes reports only, the other also the images."""
    bench.rules = (Rule("a", kinds=("report",)), Rule("b", kinds=("report", "source")))
    assert bench.run().state is State.CONFIRMED
    assert [str(ds.SOPClassUID) for ds in bench.a.kept] == [SR]
    assert len(bench.b.kept) == 1 + 6


def test_only_what_is_kept_is_confirmed(bench: Bench) -> None:
    """What the destination lost after accepting it is sent once more."""
    asks = SetConfirmation(bench.a)
    bench.confirmations["a"] = asks
    bench.chain.enqueue(bench.now())
    while bench.chain.queue and len(bench.a.kept) < 2:
        bench.chain.step()
    asks.lost = {str(bench.a.kept[0].SOPInstanceUID)}
    while bench.chain.queue and len(bench.a.kept) < 3:
        bench.chain.step()
    asks.lost = set()
    bench.chain.drain()
    assert bench.now().state is State.CONFIRMED
    assert bench.a.kept[2].SOPInstanceUID == bench.a.kept[0].SOPInstanceUID


def test_a_destination_that_never_confirms_is_a_dead_letter(bench: Bench) -> None:
    """Accepted but never confirmed is not delivered."""
    bench.confirmations["a"] = SetConfirmation(bench.a)
    bench.confirmations["a"].silent = True
    job = bench.run()
    assert job.state is State.DEAD_LETTER
    assert job.reason == "a: not confirmed: no answer yet"
    assert len(bench.a.kept) == 2


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


def test_work_of_an_older_turn_is_dropped(bench: Bench) -> None:
    """After a new start, what still stands in a queue from before does nothing."""
    bench.records.again("j", State.ARRIVING, "started anew")
    assert bench.stages().run(Work(SELECT, "j", 0)) == ()
    assert bench.now().state is State.ARRIVING
    with pytest.raises(Cancelled):
        bench.records.move("j", 0, State.WAITING)
