"""What the receiving half takes in a second, beside DCMTK's storescp, from the same storescu; a row as JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from nodes import another, answers, configuration, cpu_seconds, free_port, serving, study, until

from spineps_pacs.evaluation.bench import Row
from spineps_pacs.phantom.study import StudyRequest

COPIES, TIMES = 4, 3


def main() -> None:
    """The two take turns, each time with images that they have not seen."""
    if not shutil.which("storescp"):
        raise SystemExit("storescp (DCMTK) is not installed")
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        series = study(folder / "study", StudyRequest(rows=900, columns=320, slice_spacing=3.3, only_t2=True))
        ports = (free_port(), free_port(), free_port())
        config, other = configuration(folder, ports, 'folder = "study/truth"'), free_port()
        (folder / "kept").mkdir()
        command = ["storescp", "-od", str(folder / "kept"), "-aet", "SPINEPS", str(other)]
        with serving(config, ports[0], "--receive-only") as node, subprocess.Popen(command) as dcmtk:
            until(lambda: answers(other), "storescp")
            found = [(_sent(folder, series, n, (ports[0], node.pid)), _sent(folder, series, n, (other, dcmtk.pid)))
                     for n in range(TIMES)]  # fmt: skip
            dcmtk.terminate()
        size = sum(path.stat().st_size for path in (folder / "0").iterdir()) / 1e6
    images = COPIES * len(series)
    (cpu, wall), (their_cpu, their_wall) = (
        tuple(median(one[side][n] for one in found) for n in (0, 1)) for side in (0, 1)
    )
    note = (
        f"{images} images, {size:.0f} MB: {images / wall:.0f} images/s, {size / wall:.0f} MB/s; "
        f"storescp {images / their_wall:.0f} images/s, {size / their_wall:.0f} MB/s"
    )
    ratio = their_cpu / cpu if cpu else None
    print(json.dumps([vars(Row("ingest against storescp", cpu, their_cpu, wall, their_wall, ratio, note=note))]))


def _sent(folder: Path, series: list, number: int, to: tuple[int, int]) -> tuple[float, float]:
    """CPU seconds of the receiver and wall seconds of the sender, for some images of one number."""
    source = folder / str(number)
    if not source.exists():
        source.mkdir()
        for copy in range(COPIES):
            for n, dataset in enumerate(another(series, 100 * number + copy)):
                dataset.save_as(source / f"{copy}-{n}.dcm")
    port, pid = to
    before, begun = cpu_seconds(pid), time.perf_counter()
    command = ["storescu", "-aec", "SPINEPS", "127.0.0.1", str(port), "+sd", str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return cpu_seconds(pid) - before, time.perf_counter() - begun


if __name__ == "__main__":
    main()
