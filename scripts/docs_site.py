"""Builds docs/ as a site into build/site; the commented TOML becomes a page; a warning is an error."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS, PAGES = ROOT / "docs", ROOT / "build" / "site-pages"
TABLE = re.compile(r"^(?:# )?\[+([a-z_.]+)\]+$", re.MULTILINE)
MARK = "<!-- every table of config/spineps-pacs.toml -->"


def tables(toml: str) -> Iterator[tuple[str, str]]:
    """Name and text of each table of the commented file; a paragraph without a header belongs to the table above it."""
    name, held = "", [""]
    for paragraph in re.split(r"\n{2,}", toml.strip()):
        header = TABLE.search(paragraph)
        if header is None:
            held.append(paragraph)
            continue
        if name:
            yield name, "\n\n".join(held)
        name, held = header[1], [paragraph]
    yield name, "\n\n".join(held)


def configuration(toml: str) -> str:
    """The tables as sections of a page."""
    return "\n".join(f"## {name}\n\n```toml\n{text}\n```\n" for name, text in tables(toml))


def prepare() -> None:
    """The pages as they are built: those of docs/, and the configuration's with its tables."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(DOCS, PAGES)
    page, toml = PAGES / "configuration.md", ROOT / "config" / "spineps-pacs.toml"
    text = page.read_text(encoding="utf-8")
    if MARK not in text:
        sys.exit(f"docs/configuration.md does not say where the tables go: {MARK}")
    page.write_text(text.replace(MARK, configuration(toml.read_text(encoding="utf-8"))), encoding="utf-8")


def main() -> int:
    """Builds; the exit code is that of the generator."""
    prepare()
    generator = Path(sys.executable).with_name("zensical")
    return subprocess.run([generator, "build", "--clean", "--strict"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
