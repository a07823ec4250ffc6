"""Series per hour with a backlog of 50 small series, their networks replaced by the truth; a row as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from nodes import another, configuration, destination, free_port, send, serving, study, until

from spineps_pacs.app import shared
from spineps_pacs.domain.job import State
from spineps_pacs.evaluation.bench import Row
from spineps_pacs.settings import load

SERIES = int(sys.argv[1]) if len(sys.argv) > 1 else 50


def main() -> None:
    """Everything is sent as fast as it goes; the last result ends it."""
    with tempfile.TemporaryDirectory() as held, destination() as (pacs, port):
        folder = Path(held)
        series = study(folder / "study")
        ports = (free_port(), free_port(), port)
        config = configuration(folder, ports, 'folder = "study/truth"')
        with serving(config, ports[0]):
            common, begun = shared(load(config)), time.time()
            for number in range(SERIES):
                send(another(series, number), ports[0])
            sent = time.time() - begun
            until(lambda: _done(common) >= SERIES, "the last result")
            failed = common.records.counts().get(State.FAILED, 0)
            common.database.dispose()
        whole = max(pacs.stored) - begun
    note = f"{3600 * SERIES / whole:.0f} series an hour; {SERIES} sent in {sent:.1f} s, {len(pacs.stored)} results, "
    print(json.dumps([vars(Row("backlog", ours_wall_s=whole, note=note + f"{failed} failed; truth for networks"))]))


def _done(common: object) -> int:
    counts = common.records.counts()
    return sum(counts.get(state, 0) for state in (State.DELIVERED, State.CONFIRMED, State.FAILED, State.DEAD_LETTER))


if __name__ == "__main__":
    main()
