"""How long each operator page takes with 10,000 series: `PYTHONPATH=tests python -m scripts.page_times`.

The store holds 10,000 jobs with verdicts and timelines, what drift remembers of half of them, and 1,000 kept results.
Prints the median of several answers as a table, and writes build/page_times.json.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from spineps_pacs.desk import DRIFT, PAGES
from spineps_pacs.domain.job import State
from spineps_pacs.storage.tables import EVENTS, open_database, sqlite_url
from spineps_pacs.web import drift
from spineps_pacs.web.pages import Desk
from spineps_pacs.web.site import site
from tests.test_desk import MANY, PATHS, board, fill, many, opened
from tests.web.board_twin import REPORT

TIMES, KEPT = 7, 1000
MORE = ("/drift", "/parts/now", "/metrics", "/api/jobs", "/api/status", "/api/health", "/api/drift")
OUT = Path(__file__).parent.parent / "build" / "page_times.json"


def busy_node(folder: Path) -> Any:
    """What a node has after months."""
    common = opened(folder, open_database(sqlite_url(folder / "node.sqlite")))
    jobs = many()
    fill(common, jobs)
    rows = [
        {"job_id": job.id, "at": job.created + n, "kind": kind.value, "text": ""}
        for job in jobs
        for n, kind in enumerate((State.ARRIVING, State.WAITING, State.ANALYSING, State.ANALYSED))
    ]
    with common.database.begin() as connection:
        connection.execute(EVENTS.insert(), rows)
    for job in jobs[::2]:
        drift.remember(folder / DRIFT, drift.line(job.id, job.source, job.created, REPORT))
    for job in jobs[:KEPT]:
        (folder / PAGES / job.id).mkdir(parents=True)
        (folder / PAGES / job.id / "report.json").write_text(json.dumps(REPORT))
    return common


def main() -> None:
    """One line a page: median of several answers, in milliseconds."""
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        browser = TestClient(site(Desk(board(busy_node(Path(folder))))), "http://127.0.0.1")
        for path in (*PATHS, *MORE):
            taken = []
            for _ in range(TIMES):
                start = time.perf_counter()
                browser.get(path).raise_for_status()
                taken.append(time.perf_counter() - start)
            times[path] = round(1000 * sorted(taken)[TIMES // 2], 1)
    print("\n".join(["| page | ms |", "|---|---|", *(f"| `{path}` | {value:.0f} |" for path, value in times.items())]))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"series": MANY, "median_ms": times}, indent=1) + "\n")


if __name__ == "__main__":
    main()
