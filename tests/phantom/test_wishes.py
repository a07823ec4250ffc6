"""Tests of phantom/wishes.py."""

from __future__ import annotations

import numpy as np
import pytest

from spineps_pacs.phantom.wishes import Wishes, level_names, random_wishes


def test_levels_run_from_c2_to_s1() -> None:
    """The names follow the numbers of thoracic and lumbar vertebrae."""
    assert len(level_names()) == 6 + 12 + 5 + 1
    assert level_names(11, 6)[-8:] == ("T11", "L1", "L2", "L3", "L4", "L5", "L6", "S1")
    assert "T13" in level_names(13, 4)
    assert "L5" not in level_names(13, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"thoracic": 10},
        {"lumbar": 7},
        {"merged": "L6"},
        {"gap": "S1"},
        {"levels": "C2"},
        {"fracture": (("T13", 0.3),)},
        {"levels": "C2-L6"},
        {"levels": "S1-C2"},
        {"fracture": (("L1", 0.95),)},
        {"listhesis": (("L4", 40.0),)},
        {"degeneration": 1.5},
        {"crop": (0.6, 0.5)},
    ],
)
def test_a_wish_that_no_spine_has_is_refused(wrong: dict[str, object]) -> None:
    """The sentence names the number or level."""
    with pytest.raises(ValueError, match=r"10|7|L6|T13|S1-C2|S1|C2|0.95|40|1.5|0.6"):
        Wishes(**wrong)  # type: ignore[arg-type]


def test_random_wishes_draw_every_variant() -> None:
    """Among 300 draws each variant and pathology comes up, and most spines are ordinary in number."""
    drawn = [random_wishes(np.random.default_rng(n)) for n in range(300)]
    assert {w.thoracic for w in drawn} == {11, 12, 13}
    assert {w.lumbar for w in drawn} == {4, 5, 6}
    assert sum(w.thoracic == 12 and w.lumbar == 5 for w in drawn) > 180
    for name in (
        "sacralisation",
        "missing_disc",
        "merged",
        "fracture",
        "listhesis",
        "haemangioma",
        "metal",
        "gap",
        "stenosis",
    ):
        assert sum(bool(getattr(w, name)) for w in drawn) >= 8, name


def test_the_same_generator_state_draws_the_same_wishes() -> None:
    """Drawing depends on the generator alone."""
    assert random_wishes(np.random.default_rng(7)) == random_wishes(np.random.default_rng(7))
