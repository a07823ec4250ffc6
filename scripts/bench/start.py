"""How long the command line takes to answer: `--help` and the import of the networks; rows as JSON."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from statistics import median

from spineps_pacs.evaluation.bench import Row

TIMES = 5
COMMANDS = {
    "start --help": ["-m", "spineps_pacs", "--help"],
    "start serve --help": ["-m", "spineps_pacs", "serve", "--help"],
    "import engines": ["-c", "import spineps_pacs.engines.semantic, spineps_pacs.engines.vertebra"],
}


def main() -> None:
    """The median of several runs each."""
    rows = []
    for name, command in COMMANDS.items():
        cpu, wall = [], []
        for _ in range(TIMES):
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            wall.append(time.perf_counter() - begun)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        rows.append(Row(name, median(cpu), None, median(wall), None, note=f"median of {TIMES}"))
    print(json.dumps([vars(row) for row in rows]))


if __name__ == "__main__":
    main()
