"""The page of troubleshooting speaks of messages that the node really gives."""

from __future__ import annotations

import re

import pytest

from docs.commands import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
FOREIGN = ("Address already in use", "Permission denied")
"""What the operating system says."""


def messages() -> list[str]:
    """The first column of the table."""
    rows = [line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| ")]
    return [row for row in rows if row not in {"message", "---"}]


def code() -> str:
    """Our sources as one text; strings that are written in several pieces are joined, what is filled in is cut out."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "spineps_pacs").rglob("*.py"))
    text = re.sub(r'"\s*\n\s*f?"', "", text)
    return re.sub(r"\{[^{}\n\"]*\}", "…", text)


CODE = code()


def test_there_are_messages() -> None:
    """The table is found."""
    assert len(messages()) >= 15


@pytest.mark.parametrize("message", messages())
def test_the_node_gives_this_message(message: str) -> None:
    """Its fixed words stand in the code; dots stand for what is filled in."""
    words = message
    for foreign in FOREIGN:
        words = words.replace(foreign, "")
    pieces = [piece.strip(" :,;") for piece in re.split(r"\.\.\.|,", words)]
    assert [piece for piece in pieces if len(piece) > 3 and piece not in CODE] == []
