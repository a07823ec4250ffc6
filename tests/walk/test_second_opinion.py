"""The walk of a series through a whole node with a second labeller: C-STORE in, its verdict in SR and SEG out.

The networks are ONNX files that read names from grey values, so what the second labeller says is painted into the
images; the first labeller knows the phantom's truth.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from samples import SEG, SR, uid

from spineps_pacs import app, settings
from spineps_pacs.analysis.opinion_pairs import USUAL
from spineps_pacs.analysis.small_fov_fit import NAMES
from spineps_pacs.analysis.small_fov_input import PIXEL_MM
from spineps_pacs.domain.anatomy import DISC_ID, DISC_OFFSET, ENDPLATE_OFFSET, VERTEBRAE
from spineps_pacs.domain.job import State
from spineps_pacs.engines.small_fov_install import FILES
from spineps_pacs.phantom.study import Station, StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes
from tests.engines import onnx_files
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
folder = "study/truth"
device = "cpu"
[second_opinion]
enabled = true
folder = "second"
[queue]
poll_s = 0.1
max_attempts = 1
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
GREYS = 1000
"""Stored value of a grey value of 1."""


@dataclass(frozen=True)
class Node:
    """Both halves of a node, as the settings join them."""

    port: int
    records: app.SqlRecords
    queue: app.DbosChain

    def ends(self, series_uid: str) -> tuple[State, str]:
        """State and reason of the newest job of a series, once it is done or stopped; seldom asked, at little cost."""
        done = {State.DELIVERED, State.CONFIRMED, State.FAILED, State.SKIPPED}
        pause = threading.Event()
        for _ in range(600):
            jobs = self.records.find(series_uid=series_uid)
            if jobs and jobs[0].state in done:
                return jobs[0].state, jobs[0].reason
            pause.wait(0.5)
        raise AssertionError([job.state for job in jobs])


@contextmanager
def node(folder: Path) -> Iterator[Node]:
    """A node on the test's own folder, from its configuration."""
    current = settings.load(folder / "node.toml")
    front, back = app.front(lambda: current), app.back(lambda: current, 0)
    front.start()
    back.start()
    common = app.shared(current)
    queue = app.chain(common, current)
    yield Node(int(front.addresses["dicom"]), common.records, queue)
    queue.close()
    common.database.dispose()
    back.stop()
    front.stop()


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Station:
    """T11 to L1, on the networks' pixel, so that no grey value is changed on the way."""
    wanted = StudyRequest(Wishes(levels="T11-L1"), slices=7, pixel=PIXEL_MM, only_t2=True)
    return write_study(tmp_path_factory.mktemp("phantom") / "study", wanted).stations[0]


@pytest.fixture
def place(tmp_path: Path, station: Station, pacs: FakePacs) -> Path:
    """A folder with a node's configuration, the truth that the first labeller knows, and the second's networks."""
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "truth").symlink_to(station.truth_folder)
    (tmp_path / "second").mkdir()
    onnx_files.segmentation(tmp_path / "second", FILES[0])
    onnx_files.naming(tmp_path / "second", FILES[1])
    (tmp_path / "node.toml").write_text(CONFIG.format(port=pacs.port))
    return tmp_path


def painted(station: Station, name: str, *, lower: int = 0) -> list[Dataset]:
    """The series with what the second labeller shall say in its pixels: the true names, or so many further down."""
    labels, greys = station.labels, np.zeros(400)
    for level in range(2, 25):
        further = USUAL[USUAL.index(level) + lower]
        if VERTEBRAE[further].name in NAMES:
            greys[[level, ENDPLATE_OFFSET + level]] = onnx_files.bone(NAMES.index(VERTEBRAE[further].name) + 1)
        greys[DISC_OFFSET + level] = onnx_files.DISC_AT
    image = np.where(np.isin(labels.structures, (49, 50, 62, DISC_ID)), greys[labels.instances], 0)
    image[0, :6, :6] = 1.0  # the brightest there is, apart from the spine: the scale does not depend on what is in view
    datasets = [dcmread(path) for path in sorted(station.folder.glob("*.dcm"))]
    for ds in datasets:
        at = round(float(labels.geometry.to_index(np.array([ds.ImagePositionPatient], dtype=float))[0, 0]))
        ds.PixelData = np.round(image[at] * GREYS).astype(np.uint16).tobytes()
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid(name, str(ds.SOPInstanceUID))
        ds.SeriesInstanceUID, ds.StudyInstanceUID = uid(name, "series"), uid(name, "study")
    return datasets


def told(pacs: FakePacs, name: str) -> tuple[set[str], set[str]]:
    """Codes of the report on a series, and labels of the segments, as the PACS has them."""
    results = [ds for ds in pacs.kept if ds.StudyInstanceUID == uid(name, "study")]
    codes = {str(e.value) for ds in results if ds.SOPClassUID == SR for e in ds.iterall() if e.keyword == "CodeValue"}
    segs = [ds for ds in results if ds.SOPClassUID == SEG]
    return codes, {str(s.SegmentLabel) for ds in segs for s in ds.SegmentSequence}


def test_a_dispute_reaches_the_pacs(place: Path, station: Station, pacs: FakePacs) -> None:
    """Where the second reads all names one further down, the report says so, and each name has a question mark."""
    with node(place) as whole:
        assert set(send(painted(station, "disputed", lower=1), whole.port)) == {0}
        state, reason = whole.ends(uid("disputed", "series"))
        assert state in {State.DELIVERED, State.CONFIRMED}, reason
    codes, labels = told(pacs, "disputed")
    assert "SECSHIFT" in codes
    assert {"T11?", "T12?", "T11-T12?"} <= labels


def test_a_broken_second_labeller_loses_nothing(place: Path, station: Station, pacs: FakePacs) -> None:
    """The job fails with a sentence that names the file, the images stay; with a sound file both agree on them."""
    sound = (place / "second" / FILES[1]).read_bytes()
    (place / "second" / FILES[1]).write_bytes(sound[: len(sound) // 2])
    with node(place) as whole:
        assert set(send(painted(station, "kept"), whole.port)) == {0}
        state, reason = whole.ends(uid("kept", "series"))
        assert state is State.FAILED
        assert f"{FILES[1]} cannot be read as an ONNX network" in reason
    assert pacs.kept == []
    (place / "second" / FILES[1]).write_bytes(sound)
    with node(place) as whole:
        (failed,) = whole.records.find(series_uid=uid("kept", "series"))
        whole.queue.rerun(failed.id)
        state, reason = whole.ends(uid("kept", "series"))
        assert state in {State.DELIVERED, State.CONFIRMED}, reason
    codes, labels = told(pacs, "kept")
    assert "SECAGREE" in codes
    assert {"T11", "T12", "T11-T12"} <= labels
