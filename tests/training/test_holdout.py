"""The hold-out keeps its promises, and the examination measures what it says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.masks import InstanceMask, SemanticMask
from spineps_pacs.domain.volume import Volume
from spineps_pacs.phantom.contrast import FAMILIES
from training.examination import Truth, examine, sides_swapped, visible
from training.holdout import QUICK, SEED, SIZE, VARIANTS, cases, render
from training.pool import TRAINING_SEED


def test_each_variant_in_a_tenth_of_the_volumes() -> None:
    """A hundred volumes; variants, contrasts and fields of view as promised."""
    drawn = cases()
    counts = Counter(variant for case in drawn for variant in case.variants)
    assert len(drawn) == SIZE == 100
    assert all(counts[variant] >= 10 for variant in VARIANTS if variant != "ordinary")
    assert set(Counter(case.family for case in drawn)) == set(FAMILIES)
    assert all(150 <= case.height_mm <= 600 and 2.5 <= case.slice_mm <= 5 for case in drawn)
    assert min(case.height_mm for case in drawn) < 200
    assert max(case.height_mm for case in drawn) > 560


def test_training_never_saw_it() -> None:
    """Seeds of the hold-out end before those of the training begin."""
    assert SEED + SIZE < TRAINING_SEED


def test_quick_form_covers_contrasts_and_regions() -> None:
    """The smallest lumbosacral and cervical volume of every contrast, the smallest thoracic and lumbar one."""
    drawn = sorted(cases(), key=lambda case: case.height_mm)
    wanted = {
        next(c.number for c in drawn if (c.region, c.family) == (region, family))
        for region in ("lumbosacral", "cervical")
        for family in FAMILIES
    }
    wanted |= {next(c.number for c in drawn if c.region == region) for region in ("thoracic", "lumbar")}
    assert set(QUICK) == wanted
    assert len(QUICK) == 10


@pytest.fixture(scope="module")
def truth() -> Truth:
    """The smallest volume of the hold-out."""
    return render(min(cases(), key=lambda case: case.height_mm))


def test_a_perfect_answer_is_exact(truth: Truth) -> None:
    """The truth itself has Dice 1 everywhere, the exact count, and its sides in place."""
    case = min(cases(), key=lambda c: c.height_mm)
    keep = np.where(np.isin(truth.instances.labels, visible(truth)), truth.instances.labels, 0)
    instances = InstanceMask(keep, truth.instances.geometry)
    outcome = examine(case, lambda _: (truth.structures, instances))
    assert set(outcome.dice.values()) == {1.0}
    assert outcome.exact
    assert not outcome.swapped


def test_a_refusal_is_a_sentence(truth: Truth) -> None:
    """What cannot be analysed counts as wrong, with its reason."""

    def refuse(image: Volume) -> tuple[SemanticMask, None]:
        raise Unusable("no canal was found")

    outcome = examine(min(cases(), key=lambda c: c.height_mm), refuse)
    assert outcome.sentence == "no canal was found"
    assert not outcome.exact


def test_swapped_sides_are_seen(truth: Truth) -> None:
    """Left for right is noticed; a missing process is not taken for it."""
    swap = np.arange(256, dtype=np.uint8)
    swap[[43, 44, 45, 46, 47, 48]] = [44, 43, 46, 45, 48, 47]
    geometry = truth.structures.geometry
    assert not sides_swapped(truth.structures, truth)
    assert sides_swapped(SemanticMask(swap[truth.structures.labels], geometry), truth)
    without = np.where(truth.structures.labels == 43, 0, truth.structures.labels).astype(np.uint8)
    assert not sides_swapped(SemanticMask(without, geometry), truth)
