"""The stages that send: outages, refusals, what goes where, and what counts as delivered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from samples import SEG, SR, result_of, stand_in
from twins import SetConfirmation

from spineps_pacs.delivery.rules import Rule
from spineps_pacs.domain.audit import AuditEvent
from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.domain.job import State
from spineps_pacs.domain.ports import Phases, Receipt, Result
from spineps_pacs.domain.series import Series
from spineps_pacs.workflow.stages import Patience
from spineps_pacs.workflow.work import SELECT, Work
from workflow.stage_bench import Bench


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


def test_who_was_thought_dead_sends_nothing_twice(bench: Bench) -> None:
    """Paused after its first object, while another worker sent the second: awake, it stops."""
    send = bench.a.send

    def paused(datasets: Iterable[Dataset]) -> Iterator[Receipt]:
        for number, receipt in enumerate(send(datasets)):
            if number == 0:
                for name in bench.now().results[1:]:
                    uid_ = str(dcmread(bench.outbox.path("j", name)).SOPInstanceUID)
                    bench.records.receipt("j", "a", Receipt(uid_, accepted=True, status="0x0000"))
            yield receipt

    bench.a.send = paused  # type: ignore[method-assign]
    bench.run()
    assert len(bench.a.kept) == 1
    assert any("took the delivery" in text for text, _ in bench.told)


def test_a_cancelled_delivery_ends_with_the_object_that_is_on_its_way(bench: Bench) -> None:
    """Nothing more goes out, and the job stays cancelled."""
    send = bench.a.send

    def cancelled(datasets: Iterable[Dataset]) -> Iterator[Receipt]:
        for receipt in send(datasets):
            if bench.now().state is not State.CANCELLED:
                bench.chain.cancel("j")
            yield receipt

    bench.a.send = cancelled  # type: ignore[method-assign]
    assert bench.run().state is State.CANCELLED
    assert len(bench.a.kept) == 1


def test_a_delivery_that_cannot_be_told_of_is_told_of_later(bench: Bench) -> None:
    """The audit trail's disk is full: it does not count as delivered until it is told, and nothing is sent twice."""
    heard: list[AuditEvent] = []
    full = iter([True, True])

    def audit(event: AuditEvent) -> None:
        if next(full, False):
            raise TryAgain("the audit trail cannot be written")
        heard.append(event)

    bench.audit = audit
    bench.rules = (Rule("a"),)
    assert bench.run().state is State.CONFIRMED
    assert len(bench.a.kept) == 2
    assert len(heard) == 1
