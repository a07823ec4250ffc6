"""Where a level is marked on an image: in its body, which a reader looks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from encode.cases import Wish, case
from spineps_pacs.domain.masks import SemanticMask
from spineps_pacs.encode.segments import level_segments
from spineps_pacs.encode.views import points

BODY, ARCH = 49, 41


def test_a_vertebra_is_marked_in_its_body() -> None:
    """However thick its arch is; a vertebra of which no body is seen is marked where it is seen."""
    report, _ = case(Wish())
    labels = np.array(report.structures.labels)
    vertebrae = [s for s in level_segments(report) if not s.disc and s.instance < 26]
    first, second = (report.instances.labels == segment.instance for segment in vertebrae[:2])
    labels[first | second] = ARCH
    rows = np.argwhere(first)[:, 1]
    body = first.copy()
    body[:, rows.min() + 2 :] = False  # a thin edge, not the deepest part
    labels[body] = BODY
    marked = points(
        replace(report, structures=SemanticMask(labels, report.structures.geometry)),
        level_segments(report),
        tuple(range(labels.shape[0])),
    )
    assert body[marked[vertebrae[0].number]]
    assert second[marked[vertebrae[1].number]]
