"""The tables of anatomy: every id once, every code in its scheme, every colour legible."""

from __future__ import annotations

import colorsys
import itertools

import pytest

from spineps_pacs.domain.anatomy import (
    HEAD_TO_TAIL,
    LEVEL_IDS,
    MEASUREMENTS,
    PRIVATE_SCHEME,
    RGB,
    STRUCTURES,
    VERTEBRAE,
    Code,
    counted_rgb,
    disc_code,
    disc_name,
    disc_rgb,
)


def _codes() -> list[Code]:
    neighbours = itertools.pairwise(HEAD_TO_TAIL)
    discs = [disc_code(VERTEBRAE[a].name, VERTEBRAE[b].name) for a, b in neighbours]
    vertebrae = [code for v in VERTEBRAE.values() for code in (v.code, v.body, v.region)]
    return [*discs, *vertebrae, *(s.code for s in STRUCTURES), *(q.code for q in MEASUREMENTS.values())]


def test_there_are_fourteen_structures() -> None:
    """The paper's 14 structures, no SPINEPS id in two of them."""
    ids = [i for s in STRUCTURES for i in s.ids]
    assert len(STRUCTURES) == 14
    assert len(ids) == len(set(ids))


def test_levels_run_from_head_to_tail() -> None:
    """C1 to L6 and the sacrum, T13 between T12 and L1, with the ids that upstream writes."""
    names = [VERTEBRAE[i].name for i in HEAD_TO_TAIL]
    assert names[:7] == [f"C{n}" for n in range(1, 8)]
    assert names[7:20] == [f"T{n}" for n in range(1, 14)]
    assert names[20:] == [*(f"L{n}" for n in range(1, 7)), "S1"]
    assert (LEVEL_IDS["T13"], LEVEL_IDS["L6"], LEVEL_IDS["S1"]) == (28, 25, 26)


def test_codes_fit_the_standard() -> None:
    """A code value has at most 16 characters; SNOMED values are digits; private ones name our scheme."""
    for code in _codes():
        assert 0 < len(code.value) <= 16, code
        assert code.scheme in {"SCT", "DCM", PRIVATE_SCHEME}
        assert code.scheme != "SCT" or code.value.isdigit()


def _verhoeff(digits: str) -> bool:
    """The check digit that every SNOMED CT identifier ends with (dihedral group of order ten)."""

    def times(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 + (0 if b < 5 else 5)
        return (a - b) % 5 + (5 if b < 5 else 0)

    turn = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)

    def turned(digit: int, times_: int) -> int:
        for _ in range(times_ % 8):
            digit = turn[digit]
        return digit

    check = 0
    for n, digit in enumerate(reversed(digits)):
        check = times(check, turned(int(digit), n))
    return check == 0


def test_snomed_codes_pass_their_check_digit() -> None:
    """No SNOMED CT identifier was mistyped."""
    assert not [code for code in _codes() if code.scheme == "SCT" and not _verhoeff(code.value)]


@pytest.mark.parametrize("digit", range(10))
def test_the_check_digit_finds_a_wrong_one(digit: int) -> None:
    """Of the ten last digits that L4's code could have, one is right."""
    assert _verhoeff(f"1199400{digit}") is (digit == 2)


def test_a_pair_that_only_an_anomaly_makes_is_private() -> None:
    """L5-L6 has no public code, L5-S1 has one."""
    assert disc_code("L5", "L6") == Code("IVD_L5_L6", PRIVATE_SCHEME, "L5/L6 disc")
    assert disc_code("L5", "S1").scheme == "SCT"
    assert disc_name("L4", "L5") == "L4-L5"


def test_colours_are_legible() -> None:
    """Every colour has a hue that an eye can tell from grey, also where it is lightened for a disc."""
    discs = [disc_rgb(i) for i in VERTEBRAE]
    every: list[RGB] = [*(v.rgb for v in VERTEBRAE.values()), *discs, *(counted_rgb(n) for n in range(30))]
    for rgb in [*every, *(s.rgb for s in STRUCTURES)]:
        assert colorsys.rgb_to_hsv(*(c / 255 for c in rgb))[1] > 0.25, rgb


def test_neighbours_differ_in_colour() -> None:
    """A vertebra never has the colour of the next two."""
    colours = [VERTEBRAE[i].rgb for i in HEAD_TO_TAIL]
    for n, colour in enumerate(colours):
        assert colour not in colours[n + 1 : n + 3]
