"""Tests of analysis/naming.py: which pieces are vertebrae of their own."""

from __future__ import annotations

import numpy as np

from spineps_pacs.analysis.matching import Matched
from spineps_pacs.analysis.naming import with_whole_ends


def test_a_sliver_at_the_edge_is_no_vertebra() -> None:
    """Outermost bodies that show little beside their neighbour do not count; small ones in between do."""
    structures = np.zeros((4, 60, 4), dtype=np.uint8)
    vertebrae = np.zeros(structures.shape, dtype=np.uint16)
    for number, (first, last) in {4: (0, 1), 1: (2, 12), 3: (13, 14), 2: (16, 28), 5: (29, 33), 6: (34, 35)}.items():
        structures[:, first:last] = 49
        vertebrae[:, first:last] = number
    found = with_whole_ends(Matched(structures, vertebrae), 0.3)
    assert set(np.unique(found.vertebrae)) == {0, 1, 3, 2, 5}
    assert np.array_equal(found.structures, structures)
    assert with_whole_ends(found, 0.0) is found
