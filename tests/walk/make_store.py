"""Makes the store that a release leaves behind: work in every kind of row, packed for the test of the next release.

Run once for each release, from its own tree: python tests/walk/make_store.py tests/data/store-VERSION.tar.xz
"""

from __future__ import annotations

import multiprocessing.util
import sys
import tarfile
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from samples import series_of

from spineps_pacs.delivery.dimse import DimseDestination
from spineps_pacs.delivery.peer import Peer
from spineps_pacs.domain.job import State
from spineps_pacs.workflow import stages
from spineps_pacs.workflow.work import Retries
from walk.crash_parts import Plan, work
from walk.node import Back, Front, eventually
from walk.peers import FakePacs, send
from walk.test_crash import running

LATER = stages.Patience(delivery=Retries(40, 30.0, 30.0))


def make(data: Path) -> None:
    """Series delivered, refused and waiting, cut in the middle of its analysis, queued, and received without a job."""
    front, pacs = Front(data), FakePacs()
    peer = Peer("127.0.0.1", pacs.port, "PACS", "SPINEPS")
    back = Back(data, {"pacs": DimseDestination("pacs", peer)}, patience=LATER)
    send(series_of("done"), front.port)
    (done,) = front.jobs()
    front.reaches(done.id, State.CONFIRMED)
    pacs.answer = lambda _: 0xA700
    send(series_of("refused"), front.port)
    refused = next(job for job in front.jobs() if job.id != done.id)
    assert eventually(lambda: any(s.reason for s in front.reaches(refused.id, State.DELIVERING).sendings))
    back.close(grace_s=10)
    pacs.close()
    send(series_of("cut"), front.port)
    assert eventually(lambda: len(front.jobs()) == 3)
    (data / "hold").touch()
    with running(work, Plan(data, pacs.port, holds="hold")) as worker:
        assert eventually((data / "begun-test-0").exists)
        worker.kill()
    for left in ("hold", "begun-test-0"):
        (data / left).unlink()
    send(series_of("queued"), front.port)
    assert eventually(lambda: len(front.jobs()) == 4)
    send(series_of("received"), front.port)
    front.close()


def main() -> None:
    """Packs the folder."""
    target = Path(sys.argv[1])
    multiprocessing.util.get_temp_dir()  # made now, not in the folder where the DICOM port has temporary files
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "store"
        data.mkdir()
        make(data)
        with tarfile.open(target, "w:xz", preset=9) as archive:
            archive.add(data, "store")


if __name__ == "__main__":
    main()
