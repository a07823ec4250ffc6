"""OHIF's own reader of SEGs, on Node without a browser, gives our masks back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

from scripts.viewing.node_reader import Masks, installed, read
from tests.viewer.study import Wanted, write_results

ROOT = Path(__file__).parents[2]


def written(path: Path) -> Masks:
    """What stands in the SEG, frame by frame, under the image that each frame refers to; pydicom alone."""
    seg = pydicom.dcmread(path)
    labels = {int(s.SegmentNumber): str(s.SegmentLabel) for s in seg.SegmentSequence}
    masks: Masks = {}
    for group, frame in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        uid = str(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        masks.setdefault(uid, {})[labels[number]] = frame.astype(bool).ravel()
    return masks


def test_the_viewers_own_reader_gives_every_voxel_back(tmp_path: Path) -> None:
    """Both SEGs, read by the code that OHIF is built with: the same labels on the same voxels of the same images."""
    wanted = Wanted("oblique", levels="L1-S1", orientation="reversed", turn=12.0, slices=9, pixel=1.5)
    write_results(tmp_path / "study", wanted)
    reader = installed(ROOT / "build")
    for name in ("seg-structures.dcm", "seg-levels.dcm"):
        ours = written(tmp_path / "study" / name)
        theirs = read(reader, tmp_path / "study" / "images", tmp_path / "study" / name, tmp_path / name)
        assert {uid: set(masks) for uid, masks in theirs.items()} == {uid: set(masks) for uid, masks in ours.items()}
        assert all(np.array_equal(theirs[uid][label], ours[uid][label]) for uid in ours for label in ours[uid])
        assert len({label for masks in ours.values() for label in masks}) >= 9
