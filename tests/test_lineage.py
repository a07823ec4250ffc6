"""What takes the place of what: a report names the one that it replaces, of the node's own producing."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from spineps_pacs import logs
from spineps_pacs.domain.job import Job, Sending, State
from spineps_pacs.domain.ports import Receipt, Result
from spineps_pacs.domain.series import Series
from spineps_pacs.lineage import analysed_now, predecessors
from spineps_pacs.phantom.study import StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes
from spineps_pacs.producing import Loaded, produce
from spineps_pacs.settings import parse
from spineps_pacs.shadowing import Shadow, compared, summary
from spineps_pacs.storage.datasets import DatasetFolder
from spineps_pacs.storage.records import SqlRecords
from spineps_pacs.storage.tables import open_database, sqlite_url
from spineps_pacs.workflow.stages import outbox_name

SMALL = StudyRequest(wishes=Wishes(levels="L4-S1"), slices=7, pixel=2.5, slice_spacing=6.0, only_t2=True)
SETTINGS = """
[node]
data_folder = "data"
[models]
folder = "study/truth"
[shadow]
folder = "shifted"
[results]
pictures = false
"""


def shifted(truth: Path, folder: Path) -> None:
    """The same truth, but every vertebra goes by the name of the one above."""
    shutil.copytree(truth, folder)
    for path in folder.rglob("instances.nii.gz"):
        image = nibabel.load(path)
        ids = np.asarray(image.dataobj)
        moved = np.where((ids > 1) & (ids < 26), ids - 1, ids)
        nibabel.save(nibabel.Nifti1Image(moved.astype(ids.dtype), image.affine, image.header), path)


def report_in(results: list[Result]) -> Dataset:
    """The report among results."""
    (found,) = (dcmread(io.BytesIO(r.content)) for r in results if r.kind == "report")
    return found


def test_a_late_slice_names_the_report_that_it_replaces(tmp_path: Path) -> None:
    """As soon as somebody has accepted the first; one that never left the node is not named."""
    folder = write_study(tmp_path / "study", SMALL).series[0]
    shifted(tmp_path / "study" / "truth", tmp_path / "shifted")
    slices = tuple(dcmread(path) for path in sorted(folder.glob("*.dcm")))
    database = open_database(sqlite_url(tmp_path / "node.sqlite"))
    records, outbox = SqlRecords(database, lambda uid: logs.hashed(b"salt", uid)), DatasetFolder(tmp_path / "outbox")
    current = parse(SETTINGS, folder=tmp_path)
    loaded = Loaded()
    shadow = Shadow(current, loaded.engines)
    produced = produce(lambda: current, records, outbox, loaded, shadow)
    early, late = (
        Series(str(slices[0].SeriesInstanceUID), slices[:-1]),
        Series(str(slices[0].SeriesInstanceUID), slices),
    )
    first, second = (
        Job(name, series.series_uid, "1", series.fingerprint, State.ANALYSING)
        for name, series in (("first", early), ("second", late))
    )
    records.put(first)
    assert analysed_now(records, early) == first
    results = list(produced(early, lambda *_: None))
    assert "PredecessorDocumentsSequence" not in report_in(results)
    for result in results:
        outbox.add("first", outbox_name(result.kind, result.sop_instance_uid), result.content)
    names = tuple(outbox_name(r.kind, r.sop_instance_uid) for r in results)
    gone = replace(first, state=State.SUPERSEDED, results=names, sendings=(Sending("pacs", State.CONFIRMED),))
    records.put(gone)
    records.put(second)
    assert predecessors(records, outbox, second) == ()
    replaced = report_in(results)
    records.receipt("first", "pacs", Receipt(str(replaced.SOPInstanceUID), accepted=True, status="0x0000"))

    again = report_in(list(produced(late, lambda *_: None)))
    shadow.run(late, second, lambda *_: None)
    study = again.PredecessorDocumentsSequence[0]
    item = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert study.StudyInstanceUID == replaced.StudyInstanceUID
    assert item.ReferencedSOPInstanceUID == replaced.SOPInstanceUID != again.SOPInstanceUID
    database.dispose()

    (line,) = compared(tmp_path / "data")
    assert line.job == "second"
    assert line.levels[0] == ("L3", "L4", "L5", "S1")
    assert line.levels[1] == ("L2", "L3", "L4", "S1")
    assert [second for _, second, _ in line.vertebrae] == ["L2", "L3", "L4", "S1"]
    whole = summary([line])
    assert (whole.series, whole.agreeing, whole.vertebrae, whole.same_names) == (1, 0, 4, 1)
    assert whole.dice["vertebrae"][3] == 1.0
    assert not list((tmp_path / "data" / "shadow").glob("second.npz"))
