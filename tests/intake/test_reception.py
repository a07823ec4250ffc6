"""The one door: what arrives is kept, a complete series becomes a job, once; all is decided from what is kept."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from contract.conftest import Clock
from samples import content_of, series_of, uid, write
from twins import DictDatasets, DictNotes, DictRecords, StraightChain

from spineps_pacs.domain.errors import TryAgain, Unusable
from spineps_pacs.domain.job import Job, State
from spineps_pacs.domain.series import Series
from spineps_pacs.intake.reception import Desk, Patience, Reception, Source, job_id, series_key
from spineps_pacs.storage.datasets import DatasetFolder

MR1 = Source("MR1")


@dataclass
class Node:
    """A door with everything behind it in memory."""

    folder: Path
    clock: Clock
    patience: Patience = field(default_factory=lambda: Patience(quiet_s=30.0, after_release_s=1.0))
    recipe: str = "recipe"
    urgent: Callable[[Series, str], bool] = lambda _series, _source: False

    def __post_init__(self) -> None:
        self.inbox = DictDatasets(self.folder / "inbox", self.clock)
        self.notes = DictNotes()
        self.records = DictRecords(lambda text: f"hash-{text}", self.clock)
        self.chain = StraightChain(self.records, lambda _: ())
        self.count = 0

    @property
    def door(self) -> Reception:
        """A door that remembers nothing: each time another."""
        desk = Desk(self.inbox, self.notes, self.records, self.chain, urgent=self.urgent)
        return Reception(desk, self.recipe, b"salt", lambda: self.patience, self.clock)

    def send(self, *names: str, slices: slice = slice(None), source: Source = MR1, **changes: object) -> None:
        for name in names:
            self.count += 1
            for path in write(series_of(name, **changes)[slices], self.folder / str(self.count)):
                self.door.arrived(path, source)

    def jobs(self) -> list[Job]:
        return list(self.records.find())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path, Clock())


def test_a_series_is_complete_when_it_was_quiet(node: Node) -> None:
    """Not before; and only once."""
    node.send("a")
    node.clock.now += 29.9
    assert node.door.sweep() == []
    node.clock.now += 0.2
    (made,) = node.door.sweep()
    assert node.door.sweep() == []
    (job,) = node.jobs()
    assert (job.id, job.source, job.state) == (made, "MR1", State.ARRIVING)
    assert [work.job_id for work in node.chain.queue] == [made]


def test_the_end_of_its_association_completes_it_sooner(node: Node) -> None:
    """A second after the release, unless something came after it."""
    node.send("a")
    node.door.released([series_key(uid("a", "series"))])
    node.clock.now += 0.9
    assert node.door.sweep() == []
    node.clock.now += 0.2
    assert len(node.door.sweep()) == 1


def test_a_release_before_the_last_image_completes_nothing(node: Node) -> None:
    """The second association is still bringing images."""
    node.send("a", slices=slice(0, 3))
    node.door.released([series_key(uid("a", "series"))])
    node.clock.now += 0.5
    node.send("a", slices=slice(3, 6))
    node.clock.now += 2
    assert node.door.sweep() == []


def test_release_may_be_told_to_mean_nothing(node: Node) -> None:
    """A site whose scanner opens an association an image waits for quiet alone."""
    node.patience = Patience(quiet_s=30.0, after_release_s=None)
    node.send("a")
    node.door.released([series_key(uid("a", "series"))])
    node.clock.now += 10
    assert node.door.sweep() == []


def test_told_complete_it_is(node: Node) -> None:
    """Somebody who knows says so, for instance Orthanc."""
    node.send("a")
    node.door.complete(uid("a", "series"))
    node.clock.now += 0.1
    assert len(node.door.sweep()) == 1


def test_an_expected_count_completes_it(node: Node) -> None:
    """Six of six, not five."""
    node.door.expect(uid("a", "series"), 6)
    node.send("a", slices=slice(0, 5))
    node.clock.now += 1
    assert node.door.sweep() == []
    node.send("a", slices=slice(5, 6))
    node.clock.now += 1
    assert len(node.door.sweep()) == 1


def test_a_duplicate_makes_no_job(node: Node) -> None:
    """The same slices again change nothing."""
    node.send("a")
    node.clock.now += 60
    node.door.sweep()
    node.send("a")
    node.clock.now += 60
    node.door.sweep()
    assert (len(node.jobs()), len(node.chain.queue)) == (1, 1)
    assert node.door.waiting() == 0


def test_a_late_slice_makes_a_new_job(node: Node) -> None:
    """With another fingerprint; the old job is superseded and its work taken off the queue."""
    node.send("a", slices=slice(0, 5))
    node.clock.now += 60
    (early,) = node.door.sweep()
    node.send("a", slices=slice(5, 6))
    node.clock.now += 60
    (late,) = node.door.sweep()
    assert {job.id: job.state for job in node.jobs()} == {early: State.SUPERSEDED, late: State.ARRIVING}
    assert [work.job_id for work in node.chain.queue] == [late]


def test_other_models_make_another_job(node: Node) -> None:
    """The recipe is part of what a job is."""
    assert job_id("1.2", "f", "recipe 1") != job_id("1.2", "f", "recipe 2")


@pytest.mark.parametrize(
    ("source", "changes", "priority"),
    [
        (Source("MR1"), {}, 100),
        (Source("MR1", priority=20), {}, 20),
        (Source("MR1", priority=20), {"RequestedProcedurePriority": "STAT"}, 1),
        (Source("MR1"), {"RequestedProcedurePriority": "ROUTINE"}, 100),
    ],
)
def test_urgency(node: Node, source: Source, changes: dict[str, object], priority: int) -> None:
    """By the request's own word, else by the sender."""
    node.send("a", source=source, **changes)
    node.clock.now += 60
    node.door.sweep()
    assert node.jobs()[0].priority == priority


def test_the_site_may_call_a_series_urgent(node: Node) -> None:
    """By its own words on the series and its sender, whatever the request says."""
    node.urgent = lambda series, source: source == "MR1" and series.datasets[0].Modality == "MR"
    node.send("a", source=Source("MR1"))
    node.send("b", source=Source("MR2"))
    node.clock.now += 60
    node.door.sweep()
    assert {job.source: job.priority for job in node.jobs()} == {"MR1": 1, "MR2": 100}


def test_priors_are_linked_without_a_patient(node: Node) -> None:
    """Two series of one patient know each other; no record holds the patient's id."""
    node.send("a", PatientID="4711")
    node.send("b", PatientID="4711")
    node.send("c", PatientID="4711", IssuerOfPatientID="ELSEWHERE")
    node.clock.now += 60
    node.door.sweep()
    jobs = {job.series_uid: job for job in node.jobs()}
    related = node.records.of_patient(jobs[uid("a", "series")].id)
    assert [job.series_uid for job in related] == [uid("b", "series")]
    assert "4711" not in repr(node.records._rows)


def test_what_was_erased_may_come_again(node: Node) -> None:
    """The same series, sent again after its erasure, is analysed again."""
    node.send("a")
    node.clock.now += 60
    (made,) = node.door.sweep()
    node.records.move(made, 0, State.SKIPPED)
    node.records.erase(made)
    node.inbox.forget(series_key(uid("a", "series")))
    node.notes.forget(series_key(uid("a", "series")))
    node.send("a")
    node.clock.now += 60
    assert node.door.sweep() == [made]
    assert not node.records.erased(made)
    assert node.jobs()[0].state is State.ARRIVING


@pytest.mark.filterwarnings("ignore:End of file reached:UserWarning")
@pytest.mark.parametrize("content", [b"", b"not DICOM at all", b"\0" * 128 + b"DICM" + b"\xff" * 64])
def test_what_is_no_dicom_is_refused(node: Node, tmp_path: Path, content: bytes) -> None:
    """With a sentence, and nothing is kept."""
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(Unusable):
        node.door.arrived(path, MR1)
    assert node.inbox.quiet(float("inf")) == []


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_an_image_without_its_uids_is_refused(node: Node, tmp_path: Path, keyword: str) -> None:
    """The sentence names the attribute."""
    ds = series_of("a", 1)[0]
    delattr(ds, keyword)
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    path = tmp_path / "x"
    path.write_bytes(content_of(ds))
    with pytest.raises(Unusable, match=keyword):
        node.door.arrived(path, MR1)


def test_an_image_of_another_study_is_refused(node: Node, tmp_path: Path) -> None:
    """When a study was named (STOW-RS), only its images enter."""
    (path,) = write(series_of("a", 1), tmp_path)
    with pytest.raises(Unusable, match="another study"):
        node.door.arrived(path, MR1, "1.2.3")


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning")
@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "/tmp/x", "1.2/../3", "\x00", "1.2.3\\x"])
def test_no_uid_becomes_a_path(node: Node, tmp_path: Path, name: str) -> None:
    """A UID that would leave the folder is a name like any other: its hash."""
    ds = series_of("a", 1)[0]
    length = 64
    ds.SOPInstanceUID = ds.SeriesInstanceUID = "1" * length
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    content = content_of(ds).replace(b"1" * length, name.encode().ljust(length, b"\0"))
    path = tmp_path / "x"
    path.write_bytes(content)
    before = sorted(tmp_path.parent.rglob("*"))
    try:
        arrival = node.door.arrived(path, MR1)
    except Unusable:
        return
    assert set(arrival.key) <= set("0123456789abcdef")
    assert sorted(p for p in tmp_path.parent.rglob("*") if p not in before) == []


def test_a_series_that_cannot_be_read_fails_by_name(node: Node) -> None:
    """It is a failed job with a reason, not a series that vanished; the others go on."""
    node.send("a", "b")
    key = series_key(uid("a", "series"))
    for name in node.inbox.names(key):
        node.inbox._kept[key][name] = b"rotten"
    node.clock.now += 60
    assert len(node.door.sweep()) == 2
    states = {job.series_uid: (job.state, job.reason) for job in node.jobs()}
    assert states[uid("a", "series")][0] is State.FAILED
    assert states[uid("b", "series")][0] is State.ARRIVING


def test_a_crash_between_record_and_queue_is_made_good(node: Node) -> None:
    """The job was recorded, and the node died before it was queued: the next sweep queues it."""
    node.send("a")
    node.clock.now += 60
    door = node.door
    node.chain.put = lambda _: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ZeroDivisionError):
        door.sweep()
    del node.chain.put  # type: ignore[method-assign]
    (made,) = node.door.sweep()
    assert [work.job_id for work in node.chain.queue] == [made]


def test_a_series_that_the_disk_does_not_give_holds_no_other_up(node: Node) -> None:
    """The others become jobs; this one does as soon as it can be read, and is not called broken meanwhile."""
    node.send("a", "b", "c")
    node.clock.now += 60
    load, key = node.inbox.load, series_key(uid("b", "series"))

    def failing(wanted: str, pixels: bool = True) -> Series:
        if wanted == key:
            raise TryAgain("Input/output error")
        return load(wanted, pixels)

    node.inbox.load = failing  # type: ignore[method-assign]
    with pytest.raises(TryAgain):
        node.door.sweep()
    assert {job.series_uid for job in node.jobs()} == {uid("a", "series"), uid("c", "series")}
    node.inbox.load = load  # type: ignore[method-assign]
    assert len(node.door.sweep()) == 1
    assert {job.state for job in node.jobs()} == {State.ARRIVING}


def test_a_folder_that_cannot_be_read_holds_no_other_up(node: Node) -> None:
    """As one that belongs to root: the others become jobs, and the loop hears of it."""
    node.send("a", "b", "c")
    node.clock.now += 60
    names, key = node.inbox.names, node.inbox.quiet(node.clock.now)[0]

    def closed(wanted: str) -> tuple[str, ...]:
        if wanted == key:
            raise PermissionError(13, "Permission denied")
        return names(wanted)

    node.inbox.names = closed  # type: ignore[method-assign]
    with pytest.raises(PermissionError):
        node.door.sweep()
    assert len(node.jobs()) == 2


def test_folders_of_others_are_no_series(tmp_path: Path, node: Node) -> None:
    """What a file system or a storage box puts in the inbox stops nothing."""
    inbox = DatasetFolder(tmp_path / "true", node.clock)
    for name in ("@eaDir", "lost+found", "System Volume Information", "#recycle"):
        (tmp_path / "true" / name).mkdir()
        (tmp_path / "true" / name / "x").write_bytes(b"x")
    (path,) = write(series_of("a", 1), tmp_path)
    door = Reception(
        Desk(inbox, node.notes, node.records, node.chain), "recipe", b"salt", lambda: Patience(0.0), node.clock
    )
    key = door.arrived(path, MR1).key
    os.utime(tmp_path / "true" / key, (node.clock.now - 60,) * 2)
    assert len(door.sweep()) == 1
    assert inbox.quiet(math.inf) == [key]


def test_no_broken_file_holds_a_sweep_up(node: Node) -> None:
    """Whatever its reader raises: it is a failed job, and the series after it are taken."""
    node.send("a", "b")
    node.clock.now += 60
    load, first = node.inbox.load, node.inbox.quiet(node.clock.now)[0]

    def odd(wanted: str, pixels: bool = True) -> Series:
        if wanted == first:
            raise NotImplementedError("DOE^JANE")
        return load(wanted, pixels)

    node.inbox.load = odd  # type: ignore[method-assign]
    assert len(node.door.sweep()) == 2
    (failed,) = [job for job in node.jobs() if job.state is State.FAILED]
    assert failed.reason == "the series cannot be read: NotImplementedError"


def test_a_refusal_quotes_nothing(node: Node, tmp_path: Path) -> None:
    """A name that stands where a number or a UID should is not in the reason, which is logged."""
    ds = series_of("a", 1)[0]
    content = content_of(ds)
    uid_ = str(ds.SeriesInstanceUID).encode()
    at = content.index(uid_) - 4
    path = tmp_path / "x"
    path.write_bytes(content[:at] + b"DS" + content[at + 2 :].replace(uid_, b"DOE^JANE".ljust(len(uid_)), 1))
    with pytest.raises(Unusable) as refused:
        node.door.arrived(path, MR1)
    assert "DOE" not in str(refused.value)


def test_a_folder_without_an_image_is_no_series(tmp_path: Path, node: Node) -> None:
    """It was made for an image that did not fit on the disk: nothing waits, and no job fails."""
    inbox = DatasetFolder(tmp_path / "true")
    (tmp_path / "true" / "key").mkdir()
    door = Reception(Desk(inbox, node.notes, node.records, node.chain), "recipe", b"salt", lambda: Patience(0.0))
    assert door.waiting() == 0
    assert door.sweep() == []
    assert node.jobs() == []
