"""Holds every pinned package against the published advisories; says so plainly where that cannot be done from here.

The advisories come from the service that pip-audit asks. A machine that reaches only a mirror of packages gets no
advisory for any of them: then nothing was audited, which is no pass. With --must (a CI that has the network) it fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PINS = ROOT / "constraints.txt"
LIMIT_S = 300
ENOUGH = 0.9
"""Share of the pins that must have been audited; builds with a local version have no advisories of their own."""
PROBE = "pydicom"
"""The pin that is asked about first: where nothing is known of it, nobody is asked about all the others."""


def advisories(pins: str) -> list[dict[str, object]]:
    """What pip-audit finds for each pin; empty when it cannot ask."""
    program = str(Path(sys.executable).parent / "pip-audit")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pins)
        file.flush()
        command = [program, "-r", file.name, "--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
            return list(json.loads(done.stdout)["dependencies"])
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
            return []


def verdict(found: list[dict[str, object]]) -> tuple[bool, list[str]]:
    """Whether enough was audited, and a line for each advisory."""
    audited = [package for package in found if "vulns" in package]
    lines = []
    for package in audited:
        for advisory in package["vulns"]:  # type: ignore[attr-defined]
            mended = ", ".join(advisory["fix_versions"]) or "none yet"
            lines.append(f"{package['name']} {package['version']}: {advisory['id']}, mended in {mended}")
    return bool(found) and len(audited) >= ENOUGH * len(found), lines


def main() -> int:
    """Exit code 1 for an advisory, or, with --must, when nothing could be audited."""
    pins = PINS.read_text(encoding="utf-8")
    probe = next(line for line in pins.splitlines() if line.startswith(f"{PROBE}=="))
    reached, _ = verdict(advisories(probe))
    done, lines = verdict(advisories(pins) if reached else [])
    print("\n".join(lines) if lines else "no advisory for any pin" if done else "not done: no advisories from here")
    return 1 if lines or (not done and "--must" in sys.argv) else 0


if __name__ == "__main__":
    sys.exit(main())
