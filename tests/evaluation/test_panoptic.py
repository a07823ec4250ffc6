"""Recognition and segmentation quality of instances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spineps_pacs.evaluation.panoptic import panoptic

SPACING = (1.0, 1.0, 1.0)


def _row(**bars: tuple[int, int]) -> np.ndarray:
    labels = np.zeros((1, 1, 40), np.int64)
    for name, (low, high) in bars.items():
        labels[0, 0, low:high] = int(name[1:])
    return labels


def test_two_of_three_found() -> None:
    """IoU 1 and 0.6 are found, 0.4 is not: RQ 2/3, SQ 0.8, PQ their product."""
    truth = _row(v1=(0, 10), v2=(12, 17), v3=(20, 30))
    found = _row(v1=(0, 10), v2=(12, 15), v3=(26, 30))
    result = panoptic(found, truth, SPACING)
    assert result.rq == pytest.approx(2 / 3)
    assert result.sq == pytest.approx(0.8)
    assert result.pq == pytest.approx(0.8 * 2 / 3)
    assert result.dice == pytest.approx((1 + 0.75) / 2)
    assert (result.missed, result.invented) == ((3,), (3,))


def test_names_do_not_matter() -> None:
    """A numbering that is off by one finds every instance."""
    result = panoptic(_row(v5=(0, 10), v6=(12, 20)), _row(v4=(0, 10), v5=(12, 20)), SPACING)
    assert result.pq == 1
    assert result.assd == 0
    assert result.pairs == ((5, 4), (6, 5))


def test_exactly_one_half_is_found() -> None:
    """IoU 0.5 counts, and each reference is given away once."""
    result = panoptic(_row(v1=(0, 5), v2=(5, 10)), _row(v1=(0, 10)), SPACING)
    assert len(result.pairs) == 1
    assert result.rq == pytest.approx(1 / 1.5)


def test_nothing_found() -> None:
    """Instances missed altogether give RQ and PQ 0 and no SQ; two empty masks give no number."""
    nothing = _row()
    result = panoptic(nothing, _row(v1=(0, 4)), SPACING)
    assert (result.rq, result.pq) == (0, 0)
    assert math.isnan(result.sq)
    assert math.isnan(panoptic(nothing, nothing, SPACING).rq)
