"""What comes again: one live job a series, whatever was changed, erased or restored meanwhile."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from samples import uid

from intake.test_reception import Node
from spineps_pacs.domain.job import Job, State
from spineps_pacs.intake.reception import series_key


def again(node: Node, name: str = "a") -> list[str]:
    """The same slices once more; the jobs that are made of them."""
    node.send(name)
    node.clock.now += 60
    return node.door.sweep()


def confirmed(node: Node, job: str) -> None:
    """The job goes to its end."""
    for state in (State.WAITING, State.ANALYSING, State.ANALYSED, State.DELIVERING, State.CONFIRMED):
        node.records.move(job, node.records.turn(job), state)


def states(node: Node) -> dict[str, State]:
    return {job.id: job.state for job in node.jobs()}


def named(node: Node, old: str) -> str:
    """A job of the same slices with models that a person named, which took the place of the old one and ended."""
    job = node.records.known(old)
    assert job is not None
    node.records.add(replace(job, id="named", state=State.ARRIVING, models=("t2w_v2",), created=node.clock.now))
    node.records.move(old, node.records.turn(old), State.SUPERSEDED, "analysed with other models: see job named")
    confirmed(node, "named")
    return "named"


def test_a_series_that_comes_again_after_a_change_of_settings_has_one_live_job(node: Node) -> None:
    """The new job takes the old one's place and the old one says so; sent once more, nothing new."""
    (old,) = again(node)
    confirmed(node, old)
    node.recipe = "another"
    (new,) = again(node)
    assert states(node) == {old: State.SUPERSEDED, new: State.ARRIVING}
    known = node.records.known(old)
    assert known is not None
    assert known.reason == f"analysed with other models or settings: see job {new}"
    confirmed(node, new)
    for recipe in ("another", "recipe", "another"):
        node.recipe = recipe
        assert again(node) == []
    assert states(node) == {old: State.SUPERSEDED, new: State.CONFIRMED}


def test_models_that_a_person_named_stay_when_the_slices_come_again(node: Node) -> None:
    """Also when the job that they took the place of is erased by then; once both are, the node's own serve."""
    (own,) = again(node)
    confirmed(node, own)
    other = named(node, own)
    assert again(node) == []
    node.records.erase(own)
    assert again(node) == []
    assert states(node) == {own: State.SUPERSEDED, other: State.CONFIRMED}
    node.records.erase(other)
    assert again(node) == [own]
    assert states(node) == {own: State.ARRIVING, other: State.SUPERSEDED}
    assert again(node) == [own]  # it waits still: nothing is queued twice
    assert [work.job_id for work in node.chain.queue].count(own) == 2


def test_what_the_records_do_not_know_is_taken_once_more(node: Node) -> None:
    """They came out of a back-up that is older than the inbox: an unknown job, and one that had only fewer slices."""
    node.send("late", slices=slice(0, 5))
    node.clock.now += 60
    (early,) = node.door.sweep()
    before = copy.deepcopy(node.records._rows)
    node.send("a")
    late = set(again(node, "late"))
    assert early not in late
    node.records._rows = before
    node.chain.queue.clear()
    node.chain.known.clear()
    made = node.door.sweep()
    assert set(made) == late
    assert {work.job_id for work in node.chain.queue} == late
    assert node.door.sweep() == []


def test_what_came_again_after_its_erasure_is_not_lost_by_a_restore(node: Node) -> None:
    """The records know the job as erased; its images are here all the same. So came they later."""
    (made,) = again(node)
    node.records.move(made, 0, State.SKIPPED)
    node.records.erase(made)
    assert node.door.sweep() == [made]
    assert not node.records.erased(made)


def test_a_mark_of_a_release_before_is_believed(node: Node) -> None:
    """It names no job: it holds as long as the records know any job of the series."""
    (made,) = again(node)
    key = series_key(uid("a", "series"))
    node.notes.forget(key, "job")
    assert node.door.waiting() == 0
    del node.records._rows[made]
    assert node.door.waiting() == 1


def test_the_records_are_asked_once_for_each_series(node: Node) -> None:
    """Not in every sweep: thousands of series lie in an inbox."""
    again(node)
    door, asked = node.door, []
    find = node.records.find

    def counted(**wanted: Any) -> Sequence[Job]:
        asked.append(wanted)
        return find(**wanted)

    node.records.find = counted  # type: ignore[method-assign]
    for _ in range(3):
        assert door.sweep() == []
    assert len(asked) == 1
