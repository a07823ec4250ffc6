"""Fails when a package in the environment has no version in constraints.txt, or another one."""

from __future__ import annotations

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

OWN = {"spineps-pacs", "pip", "setuptools", "wheel"}


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def pinned(text: str) -> dict[str, str]:
    """Package to version, as constraints.txt says."""
    lines = (line for line in text.splitlines() if "==" in line and not line.startswith("#"))
    return {_name(line.split("==")[0]): line.split("==")[1].strip() for line in lines}


def main() -> int:
    """Prints what is not pinned; 1 when something is."""
    pins = pinned(Path(__file__).parent.parent.joinpath("constraints.txt").read_text())
    faults = []
    for found in distributions():
        name, version = _name(found.metadata["Name"]), found.version.split("+")[0]
        if name in OWN or re.match(r"(nvidia|cuda|triton)", name):
            continue
        if pins.get(name) != version:
            faults.append(f"{name} {version} is installed, constraints.txt says {pins.get(name, 'nothing')}")
    print("\n".join(sorted(set(faults))))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
