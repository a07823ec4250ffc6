"""Broken files are refused or read: no crash, no hang, no gigabytes."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import made_dicom as made
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fuzz import campaign, mutations

ROOT = Path(__file__).parents[2]
SLOWEST_S = 5.0
MOST_GB = 2.0
SHORT = 1000
LONG = 20_000
CHUNK = 1000


@pytest.mark.timeout(300)
def test_a_thousand_broken_files_are_refused_or_read() -> None:
    """The short form of the campaign; both outcomes occur, none takes 5 s."""
    outcomes, longest = campaign.run(0, SHORT)
    assert outcomes["read"] + outcomes["refused"] == SHORT
    assert min(outcomes["read"], outcomes["refused"]) > SHORT // 10
    assert longest < SLOWEST_S


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("first", range(SHORT, SHORT + LONG, CHUNK))
def test_twenty_thousand_broken_files_are_refused_or_read(first: int) -> None:
    """The full form, in processes of their own: a crash or a hang names the case, and memory stays below 2 GB."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-m", "tests.fuzz.campaign", str(first), str(first + CHUNK)]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", timeout=1200, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout)
    assert told["read"] + told["refused"] == CHUNK
    assert told["longest_s"] < SLOWEST_S
    assert told["peak_gb"] < MOST_GB


def _claiming(keyword: str, value: object) -> bytes:
    dataset = made.series(*made.grid((2, 48, 40)))[0]
    setattr(dataset, keyword, value)
    return mutations._written(dataset)


def _long_value() -> bytes:
    """An element whose length says 3 GB in a file of a few kB."""
    content = _claiming("Rows", 48)
    at = content.rindex(b"OW\0\0") + 4
    return content[:at] + struct.pack("<I", 3_000_000_000) + content[at + 4 :]


def _bomb() -> bytes:
    """A deflated file of 0.7 MB that would inflate to 0.7 GB."""
    dataset = made.series(*made.grid((2, 48, 40)))[0]
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = mutations._written(dataset)
    (length,) = struct.unpack_from("<I", content, 140)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(1 << 24)
    body = b"".join(packer.compress(zeros) for _ in range(40)) + packer.flush()
    return content[: 144 + length] + body


def _many_pixels() -> bytes:
    return _claiming("Rows", 65535)


def _many_frames() -> bytes:
    return _claiming("NumberOfFrames", 10**9)


@pytest.mark.parametrize(
    ("make", "outcome"),
    [(_long_value, "read"), (_bomb, "refused"), (_many_pixels, "refused"), (_many_frames, "refused")],
)
def test_a_claim_of_gigabytes_takes_no_memory(make: Callable[[], bytes], outcome: str, tmp_path: Path) -> None:
    """Nothing is allocated for it, in a process whose address space ends at 2 GB; pixels that are there are read."""
    path = tmp_path / "claim.dcm"
    path.write_bytes(make())
    program = (
        "import resource, sys; from pathlib import Path; from fuzz import campaign;"
        "resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000));"
        "print(campaign.read(Path(sys.argv[1])))"
    )
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, **threads, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", program, str(path)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout.strip() == outcome, ran.stderr[-2000:]


@pytest.mark.parametrize("number", range(len(mutations.corpus())))
def test_the_sound_files_that_are_broken_here_are_read(number: int, tmp_path: Path) -> None:
    """The campaign starts from files that can be read: whatever is refused was broken on purpose."""
    path = tmp_path / "sound.dcm"
    path.write_bytes(mutations.corpus()[number])
    assert campaign.read(path) == "read"
