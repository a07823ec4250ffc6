"""A second model set beside the first: the PACS gets what the first found, and a report compares both.

Both sets are truths of one phantom; the second calls every vertebra by the name of the one above it.
"""

from __future__ import annotations

import json
import shutil
from contextlib import redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import dcmread
from samples import SEG, SR

from spineps_pacs import app, settings
from spineps_pacs.cli.main import run
from spineps_pacs.domain.anatomy import DISC_OFFSET, SACRUM_ID
from spineps_pacs.domain.job import State
from spineps_pacs.engines.phantom import INSTANCES
from spineps_pacs.phantom.study import Station, StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes
from walk.node import eventually
from walk.peers import FakePacs, send

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")
CONFIG = """
[node]
data_folder = "data"
min_free_gb = 0.0
[dicom]
port = 0
quiet_s = 0.5
[selection]
min_field_of_view_mm = 50.0
[models]
folder = "first"
device = "cpu"
[shadow]
folder = "second"
[queue]
poll_s = 0.1
[web]
enabled = false
[results]
pictures = false
[[destination]]
name = "pacs"
kind = "dicom"
host = "127.0.0.1"
port = {port}
called_ae = "PACS"
"""
NAMES = ("T9", "T10", "T11", "T12", "L1", "L2")
"""The vertebrae in view, and the one above them, whose name only the second set uses."""


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """T11 to L1 and parts of their neighbours, seven slices."""
    wanted = StudyRequest(Wishes(levels="T11-L1"), slices=7, only_t2=True)
    return write_study(tmp_path / "study", wanted).stations[0]


def renamed(truth: Path, folder: Path) -> None:
    """The same truth, with each vertebra and what belongs to it under the name of the one above."""
    shutil.copytree(truth, folder)
    image = nibabel.load(folder / INSTANCES)
    ids = np.asarray(image.dataobj)
    has_name = (ids > 0) & (ids != SACRUM_ID) & (ids % DISC_OFFSET > 1)
    nibabel.save(nibabel.Nifti1Image(np.where(has_name, ids - 1, ids), image.affine), folder / INSTANCES)


def test_the_second_set_is_compared_and_sends_nothing(tmp_path: Path, station: Station, pacs: FakePacs) -> None:
    """The PACS has one report, with the levels of the first set; `shadow report` tells both, and equal masks."""
    (tmp_path / "first").symlink_to(station.truth_folder)
    renamed(station.truth_folder, tmp_path / "second")
    file = tmp_path / "node.toml"
    file.write_text(CONFIG.format(port=pacs.port))
    current = settings.load(file)
    front, back = app.front(lambda: current), app.back(lambda: current, 0)
    front.start()
    back.start()
    try:
        sent = [dcmread(path) for path in sorted(station.folder.glob("*.dcm"))]
        assert set(send(sent, int(front.addresses["dicom"]))) == {0}
        assert eventually(lambda: any((tmp_path / "data" / "shadow").glob("*.json")))
        common = app.shared(current)
        (job,) = common.records.find()
        common.database.dispose()
        assert job.state in {State.DELIVERED, State.CONFIRMED}
    finally:
        back.stop()
        front.stop()
    assert sum(ds.SOPClassUID == SR for ds in pacs.kept) == 1
    segments = [str(s.SegmentLabel) for ds in pacs.kept if ds.SOPClassUID == SEG for s in ds.SegmentSequence]
    assert set(NAMES[1:]) <= set(segments)
    assert NAMES[0] not in segments
    with redirect_stdout(StringIO()) as out:  # not capsys: the engine's log would keep its stream
        assert run(["shadow", "report", "--config", str(file), "--json"]) == 0
    told = json.loads(out.getvalue())
    (line,) = told["all"]
    assert line["levels"] == [list(NAMES[1:]), list(NAMES[:-1])]
    assert line["vertebrae"] == [[first, second, 1.0] for second, first in pairwise(NAMES)]
    assert set(line["structures"].values()) == {1.0}
    assert not list((tmp_path / "data" / "shadow").glob("*.npz"))
