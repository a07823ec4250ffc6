"""Series per hour with a backlog of small series; rows as JSON.

50 with the truth for networks, and a few with the embedded ones, once with one series in hand and once with two.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from nodes import WAIT_S, another, configuration, destination, free_port, send, serving, study, until

from spineps_pacs.app import shared
from spineps_pacs.domain.job import State
from spineps_pacs.evaluation.bench import Row
from spineps_pacs.settings import load

SERIES = int(sys.argv[1]) if len(sys.argv) > 1 else 50
FEW = int(sys.argv[2]) if len(sys.argv) > 2 else 8
TRUTH = 'folder = "study/truth"'
ONE_CORE = "threads = 1"
"""The embedded networks on one core, so that there is another for what overlaps."""


def main() -> None:
    """One after the other, each with a node of its own."""
    rows = [_row("backlog", SERIES, TRUTH, 1, "truth for networks")]
    rows += [_row(f"backlog, {n} in hand", FEW, ONE_CORE, n, "embedded networks on one thread") for n in (1, 2)]
    print(json.dumps([vars(row) for row in rows]))


def _row(name: str, count: int, models: str, hands: int, what: str) -> Row:
    """Everything is sent as fast as it goes; the last result ends it."""
    with tempfile.TemporaryDirectory() as held, destination() as (pacs, port):
        folder = Path(held)
        series = study(folder / "study")
        ports = (free_port(), free_port(), port)
        config = configuration(folder, ports, models, hands)
        with serving(config, ports[0]):
            common, begun = shared(load(config)), time.time()
            for number in range(count):
                send(another(series, number), ports[0])
            sent = time.time() - begun
            until(lambda: _done(common) >= count, "the last result", WAIT_S * 4)
            failed = common.records.counts().get(State.FAILED, 0)
            common.database.dispose()
        whole = max(pacs.stored) - begun
    note = f"{3600 * count / whole:.0f} series an hour; {count} sent in {sent:.1f} s, {len(pacs.stored)} results, "
    return Row(name, ours_wall_s=whole, note=note + f"{failed} failed; {what}")


def _done(common: object) -> int:
    counts = common.records.counts()
    return sum(counts.get(state, 0) for state in (State.DELIVERED, State.CONFIRMED, State.FAILED, State.DEAD_LETTER))


if __name__ == "__main__":
    main()
