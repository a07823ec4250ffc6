"""Every command that the documentation shows exists, with the options that it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from spineps_pacs.cli.main import application

ROOT = Path(__file__).parents[2]
_SHOWN = re.compile(r"^\s*(?:\.venv/bin/)?spineps-pacs (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^ *```[a-z]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Page and command line of each line that begins with the command, inside a block."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = [(page.name, block) for page in pages for block in _BLOCK.findall(page.read_text(encoding="utf-8"))]
    return [(name, line.split(" #")[0].strip()) for name, block in blocks for line in _SHOWN.findall(block)]


def test_there_are_commands() -> None:
    """The pages do show some, or the search above is wrong."""
    assert len(commands()) >= 8


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_a_command_of_the_documentation_exists(page: str, line: str) -> None:
    """It is taken as it stands, words in capitals standing for something."""
    if "--help" in line or "[" in line:
        return
    application().parse_args(shlex.split(line), exit_on_error=False, print_error=False)
