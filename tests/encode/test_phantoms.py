"""Tests over phantoms: the encoders behind rebuilding and measuring, on spines instead of blobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from encode.cases import OPTIONS, identity
from encode.phantoms import phantom
from spineps_pacs.encode.options import Options
from spineps_pacs.encode.results import encode
from spineps_pacs.encode.verify import verify_all
from spineps_pacs.phantom.study import WHOLE, StudyRequest
from spineps_pacs.phantom.wishes import Wishes

LUMBAR = StudyRequest(Wishes(levels="L3-S1"), only_t2=True, slices=7, pixel=1.6, slice_spacing=8.0)


def _checked(folder: Path, request: StudyRequest, options: Options) -> dict[str, int]:
    report, series = phantom(folder, request)
    results = encode(report, series, identity(report, series, options), options)
    verify_all(results, report, series)
    return {result.kind: len(result.content) for result in results}


@pytest.mark.parametrize("enhanced", [False, True])
def test_a_lumbar_phantom_passes_the_check(enhanced: bool, tmp_path: Path) -> None:
    """Classic and Enhanced, oblique: everything that is measured in it is written and read back."""
    request = replace(LUMBAR, enhanced=enhanced, turn=6.0, tilt=-4.0)
    options = replace(OPTIONS, labelmap=True, gsps=True, rtstruct=True)
    assert set(_checked(tmp_path, request, options)) >= {"structures", "levels", "report", "picture", "contours"}


@pytest.mark.long
def test_a_whole_spine_passes_the_check(tmp_path: Path) -> None:
    """20 slices of 896 x 320 with some 60 segments: all agree with the report, the SEGs stay below 30 MB."""
    request = StudyRequest(Wishes(levels=WHOLE), only_t2=True, slices=20, rows=896, columns=320, slice_spacing=3.5)
    sizes = _checked(tmp_path, request, replace(OPTIONS, split_levels=True))
    assert set(sizes) >= {"structures", "vertebrae", "discs", "report"}
    assert max(sizes.values()) < 30_000_000
