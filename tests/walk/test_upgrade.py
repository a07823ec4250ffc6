"""Upgrade: stores that earlier releases left behind, with work in every kind of row, drain under this one."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from spineps_pacs.delivery.folder import FolderDestination
from spineps_pacs.domain.job import State
from walk.node import Back, Front, eventually

STORES = sorted((Path(__file__).parent.parent / "data").glob("store-*.tar.xz"))
"""Made by walk/make_store.py from each release's own tree, before its successor's first change."""
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")


@pytest.mark.parametrize("store", STORES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def test_the_store_of_a_release_before_drains(tmp_path: Path, store: Path) -> None:
    """Refused, cut in the middle, queued, or not yet a job: all is delivered once; what was delivered stays so."""
    with tarfile.open(store) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has none yet
        archive.extractall(tmp_path)  # noqa: S202  our own archive
    data, out = tmp_path / "store", tmp_path / "out"
    front = Front(data)
    assert eventually(lambda: len(front.jobs()) == 5)
    states = sorted(job.state for job in front.jobs())
    assert states == [State.ANALYSING, State.ARRIVING, State.ARRIVING, State.CONFIRMED, State.DELIVERING]
    back = Back(data, {"pacs": FolderDestination("pacs", out)})
    for job in front.jobs():
        front.reaches(job.id, State.CONFIRMED)
    back.close()
    front.close()
    assert back.faults == []
    assert len(list(out.rglob("*.dcm"))) == 4 * 2  # all but the series that the release itself delivered
