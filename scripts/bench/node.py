"""From the last C-STORE of a series to its last result at a destination, with the job's timeline; a row as JSON."""

from __future__ import annotations

import json
import tempfile
from itertools import pairwise
from pathlib import Path

from nodes import another, configuration, destination, free_port, send, serving, study, until

from spineps_pacs.app import shared
from spineps_pacs.domain.job import State
from spineps_pacs.evaluation.bench import Row
from spineps_pacs.settings import load

DONE = (State.DELIVERED, State.CONFIRMED, State.FAILED, State.DEAD_LETTER)


def main() -> None:
    """A first series loads the models, the second one is measured."""
    with tempfile.TemporaryDirectory() as held, destination() as (pacs, port):
        folder = Path(held)
        series = study(folder / "study")
        ports = (free_port(), free_port(), port)
        config = configuration(folder, ports, "# the embedded model")
        with serving(config, ports[0]):
            common = shared(load(config))
            for number in range(2):
                one = another(series, number)
                before, last = len(pacs.stored), send(one, ports[0])
                uid = str(one[0].SeriesInstanceUID)
                until(lambda uid=uid: _state(common, uid) in DONE, "the results")
            job = common.records.find(series_uid=uid)[0]
            whole, events = max(pacs.stored) - last, common.records.timeline(job.id)
            common.database.dispose()
    if job.state in (State.FAILED, State.DEAD_LETTER):
        raise SystemExit(f"the job is {job.state}: {job.reason}")
    spent = ", ".join(f"{a.kind} {b.at - a.at:.2f} s" for a, b in pairwise(events))
    note = f"embedded model, {len(series)} images, {len(pacs.stored) - before} results; {spent}"
    print(json.dumps([vars(Row("last C-STORE to last result", ours_wall_s=whole, note=note))]))


def _state(common: object, uid: str) -> object:
    found = common.records.find(series_uid=uid)
    return found[0].state if found else None


if __name__ == "__main__":
    main()
