"""Tests of codes: what we invented is listed, what we did not invent is known."""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pydicom.sr._concepts_dict as dictionary
import pytest

from spineps_pacs.domain import anatomy
from spineps_pacs.domain.anatomy import HEAD_TO_TAIL, PRIVATE_SCHEME, VERTEBRAE, Code, disc_code
from spineps_pacs.encode import concepts, numbers

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "codes.md").read_text()
LISTED: dict[str, str] = dict(re.findall(r"^\| `([A-Z0-9_<>n]+)` \| ([^|]+?) \|", DOCUMENT, re.MULTILINE))


@cache
def _written() -> dict[str, str]:
    """Every private code that stands in our source, value to meaning; parts that vary become <...>."""
    found = {}
    for path in sorted((ROOT / "spineps_pacs").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "private":
                value, meaning = (_pattern(argument) for argument in node.args)
                found[value] = meaning
    return found


def _pattern(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.JoinedStr)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "<>" for part in node.values)


@cache
def _expanded() -> dict[str, str]:
    """The same, with every level put in for what varies."""
    codes = {value: meaning for value, meaning in _written().items() if "<>" not in value}
    for vertebra in VERTEBRAE.values():
        codes |= {c.value: c.meaning for c in (vertebra.code, vertebra.body) if c.scheme == PRIVATE_SCHEME}
    names = [VERTEBRAE[i].name for i in HEAD_TO_TAIL]
    pairs = [*pairwise(names), ("T11", "L1"), ("T12", "L1"), ("L5", "S1"), ("L4", "S1"), ("T12", "T13")]
    codes |= {c.value: c.meaning for c in (disc_code(*pair) for pair in pairs) if c.scheme == PRIVATE_SCHEME}
    return codes


def test_every_private_code_is_listed() -> None:
    """docs/codes.md names each code of ours with its meaning, the counted ones as a pattern."""
    assert {value: LISTED.get(value) for value in _expanded()} == _expanded()
    for pattern in ("VCOUNT", "DCOUNT"):
        assert f"{pattern}<n>" in LISTED
    assert {value for value in _written() if "<>" in value} == {"<>V", "IVD_<>_<>", "VCOUNT<>", "DCOUNT<>"}


def test_nothing_listed_is_unknown() -> None:
    """The document has no code that nobody writes."""
    assert set(LISTED) - {"VCOUNT<n>", "DCOUNT<n>"} <= set(_expanded())


@pytest.mark.parametrize("code", sorted(_expanded()))
def test_a_private_code_fits_its_attribute(code: str) -> None:
    """At most 16 characters (SH), its meaning at most 64 (LO)."""
    assert len(code) <= 16
    assert len(_expanded()[code]) <= 64


def _public() -> list[Code]:
    everything = [*vars(concepts).values(), *vars(anatomy).values(), *numbers.WHY_MISSING.values()]
    return [c for c in everything if isinstance(c, Code) and c.scheme in {"SCT", "DCM"}]


@cache
def _known(scheme: str) -> frozenset[str]:
    return frozenset(value for words in dictionary.concepts[scheme].values() for value in words)


SECONDARY = {"3572006", "360499006", "1145012009", "1145014005"}
"""SNOMED CT concepts without a place in a DICOM context group (see domain/anatomy.py)."""


@pytest.mark.parametrize("code", _public(), ids=lambda code: code.value)
def test_public_codes_are_those_of_the_standard(code: Code) -> None:
    """Every DCM and SCT code that we name stands in pydicom's dictionary of PS3.16, or is a known exception."""
    assert code.value in _known(code.scheme) or code.value in SECONDARY
