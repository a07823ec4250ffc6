"""Prints how long each operator page takes with 10,000 series: `PYTHONPATH=tests python -m scripts.page_times`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from starlette.testclient import TestClient

from spineps_pacs.storage.tables import open_database, sqlite_url
from spineps_pacs.web.pages import Desk
from spineps_pacs.web.site import site
from tests.test_desk import MANY, PATHS, board, fill, many, opened

TIMES = 7


def main() -> None:
    """One line a page: median of several answers, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        common = opened(Path(folder), open_database(sqlite_url(Path(folder) / "node.sqlite")))
        fill(common, many())
        browser = TestClient(site(Desk(board(common))), "http://127.0.0.1")
        print(f"{MANY} series")
        for path in (*PATHS, "/drift", "/metrics", "/api/jobs"):
            times = []
            for _ in range(TIMES):
                start = time.perf_counter()
                browser.get(path).raise_for_status()
                times.append(time.perf_counter() - start)
            print(f"{1000 * sorted(times)[TIMES // 2]:7.1f} ms  {path}")


if __name__ == "__main__":
    main()
