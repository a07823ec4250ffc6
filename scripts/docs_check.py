"""Fails on a dead link between pages, a page missing in the contents of the site, or a word that does not belong."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FORBIDDEN = re.compile(
    "|".join(["/wo" + "rk/", "pythonho" + "sted", "//py" + "pi", r"registry\.n" + "pmjs", r"deb\.deb" + "ian"])
)


def tracked() -> list[Path]:
    """The files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def dead_links(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [t for t in targets if not re.match(r"[a-z]+:", t)]
    return [f"{page.relative_to(ROOT)}: {t} does not exist" for t in local if not (page.parent / t).exists()]


def in_contents(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Every page that the site's contents name."""
    for entry in entries:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from in_contents(target)


def astray() -> list[str]:
    """Pages that are not in the contents, and entries of it without a page."""
    contents = list(in_contents(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    faults = [f"docs/{name} is not in the nav of zensical.toml" for name in sorted(pages - set(contents))]
    return faults + [f"zensical.toml: docs/{name} does not exist" for name in sorted(set(contents) - pages)]


def forbidden(path: Path) -> list[str]:
    """Lines of a text file with a word that may not stand in the project."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []
    return [
        f"{path.relative_to(ROOT)}:{n}: {line.strip()[:80]}"
        for n, line in enumerate(lines, 1)
        if FORBIDDEN.search(line)
    ]


def main() -> int:
    """Prints all faults; 1 when there are any."""
    files = tracked()
    faults = [fault for page in files if page.suffix == ".md" for fault in dead_links(page)]
    faults += astray()
    faults += [fault for path in files for fault in forbidden(path)]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
