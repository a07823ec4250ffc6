"""How long the operator's pages take with 10,000 series; rows as JSON."""

from __future__ import annotations

import io
import json
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

from spineps_pacs.evaluation.bench import Row

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))


def main() -> None:
    """What scripts/page_times.py tells."""
    from scripts import page_times

    told = io.StringIO()
    with redirect_stdout(told):
        page_times.main()
    found = re.findall(r"([\d.]+) ms\s+(\S+)", told.getvalue())
    rows = [Row(f"page {path}", ours_wall_s=float(ms) / 1000, note="10,000 series, median of 7") for ms, path in found]
    print(json.dumps([vars(row) for row in rows]))


if __name__ == "__main__":
    main()
