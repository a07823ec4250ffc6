"""The numeric parts as the settings want them: what an operator is told of the objects."""

from __future__ import annotations

from samples import SEG, content_of, slice_of
from twins import DictRecords

from spineps_pacs.domain.job import Job
from spineps_pacs.domain.ports import Result
from spineps_pacs.producing import tell


def seg_of(frames: int) -> Result:
    """A SEG of so many frames, by its header."""
    return Result("levels", SEG, "1.2.3", content_of(slice_of("a", 0, SOPClassUID=SEG, NumberOfFrames=frames)))


def test_an_operator_is_told_of_a_seg_that_some_viewers_switch_off() -> None:
    """Beyond 400 frames the timeline says so, and names the setting that helps; up to 400 it says nothing."""
    records = DictRecords(lambda uid: uid, lambda: 1.0)
    records.add(Job("job", "1.2", "1.3", "print"))
    tell(records, "job", [seg_of(400)])
    assert [event.kind for event in records.timeline("job")] == ["arriving"]
    tell(records, "job", [seg_of(401)])
    told = records.timeline("job")[-1]
    assert told.kind == "note"
    assert "401" in told.text
    assert "split_levels" in told.text
