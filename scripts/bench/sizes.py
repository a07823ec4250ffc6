"""What a volume costs by its size: CPU seconds around the networks and peak memory, with the exponent of their growth.

    PYTHONPATH=. python scripts/bench/sizes.py

Prints rows as JSON. The networks are stubs of published size: the memory for their answers is real, that for a forward
pass is not in it. What was measured is kept in build/bench/sizes.json, so that a run that was cut short goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from spineps_pacs.evaluation.bench import Answer, Row, exponent

HERE, BUILD = Path(__file__).parent, Path("build/bench")
KEPT = BUILD / "sizes.json"
SLICES = ((10, 900, 320), (20, 900, 320), (40, 900, 320))
FIELDS = ((20, 225, 320), (20, 450, 320), (20, 900, 320))
SPANS = ("prepare", "n4", "semantic_around", "instance_around", "labelling_around", "post", "measure", "joins")


def measured(size: tuple[int, int, int]) -> dict[str, float]:
    """CPU seconds of all that is not a network and of N4, wall seconds, and the peak of resident memory."""
    folder = BUILD / ("case" if size == (20, 900, 320) else "case-" + "x".join(map(str, size)))
    if not (folder / "case.npz").is_file():
        command = [sys.executable, str(HERE / "case.py"), str(folder), *map(str, size)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")
    command = [sys.executable, str(HERE / "ours.py"), str(folder), "1", "corrected", "float32"]
    done = subprocess.run(
        command, input='{"do": "around"}\n', text=True, capture_output=True, check=True, env=os.environ | threads
    )
    answer = Answer.parsed(done.stdout)
    cpu, wall = answer.total(SPANS)
    return {"cpu": cpu, "wall": wall, "n4": answer.total(("n4",))[0], "mb": answer.peak_mb}


def main() -> None:
    """Measures what is missing, prints the rows."""
    known = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    for size in (*SLICES, *FIELDS):
        name = "x".join(map(str, size))
        if name not in known:
            print(f"  {name}", file=sys.stderr, flush=True)
            known[name] = measured(size)
            KEPT.write_text(json.dumps(known), encoding="utf-8")
    rows = [
        Row(f"size {name}", found["cpu"], None, found["wall"], None, None, found["mb"], None, f"N4 {found['n4']:.2f} s")
        for name, found in known.items()
    ]
    for what, sizes in (("slices", SLICES), ("field of view", FIELDS)):
        voxels = [float(a * b * c) for a, b, c in sizes]
        found = [known["x".join(map(str, size))] for size in sizes]
        cpu, memory = (exponent(voxels, [one[key] for one in found]) for key in ("cpu", "mb"))
        rows.append(
            Row(f"growth by {what}", note=f"CPU time grows with size ^ {cpu:.2f}, memory with size ^ {memory:.2f}")
        )
    print(json.dumps([vars(row) for row in rows]))


if __name__ == "__main__":
    main()
