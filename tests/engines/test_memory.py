"""Memory that is free stays with the process until it is given back."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import ctypes
from pathlib import Path
from spineps_pacs.engines.memory import give_back, reuse_memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20
assert reuse_memory()
blocks = [bytearray(64 << 20) for _ in range(4)]
for block in blocks:
    block[::4096] = b"x" * len(block[::4096])
full = resident()
del block, blocks
kept = resident()
give_back()
print(full, kept, resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_memory_is_reused_and_given_back() -> None:
    """What was freed is still the process's own; given back, it no longer is."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    full, kept, after = (int(n) for n in done.stdout.split())
    assert kept > full - 40
    assert after < full - 200
