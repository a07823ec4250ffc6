"""The layers of the page: an overlay lies on its picture, its colours on the anatomy that they stand for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from encode.phantoms import phantom
from spineps_pacs.encode.layers import chosen, layers
from spineps_pacs.encode.picture import _cut
from spineps_pacs.encode.segments import level_segments
from spineps_pacs.phantom.study import StudyRequest
from spineps_pacs.phantom.wishes import Wishes


def test_colours_lie_on_their_anatomy(tmp_path: Path) -> None:
    """On the middle slice the deepest voxel of each vertebra has its colour, where nothing is the overlay is clear."""
    report, _ = phantom(tmp_path, StudyRequest(Wishes(levels="L3-S1"), slices=7, pixel=2.0, only_t2=True))
    pictures = {name: Image.open(io.BytesIO(png)) for name, png in layers(report)}
    picked = chosen(report)
    assert len(pictures) == 2 * len(picked.slices) + 2
    grey, over = pictures[f"sagittal-{picked.middle}.png"], pictures[f"sagittal-{picked.middle}-overlay.png"]
    assert (grey.mode, over.mode, grey.size) == ("L", "RGBA", over.size)
    assert pictures["coronal.png"].size == pictures["coronal-overlay.png"].size
    instances = _cut(report, picked.middle, "sagittal").instances
    pixels = np.asarray(over)
    seen = 0
    for segment in level_segments(report):
        own = np.argwhere(instances == segment.instance)
        if len(own):
            row, column = own[len(own) // 2]
            y = int((row + 0.5) * over.size[1] / instances.shape[0])
            x = int((column + 0.5) * over.size[0] / instances.shape[1])
            assert tuple(pixels[y, x, :3]) == segment.rgb
            assert pixels[y, x, 3] > 0
            seen += 1
    assert seen >= 4
    structures = _cut(report, picked.middle, "sagittal").structures
    empty = np.argwhere((structures == 0) & (instances == 0))[0]
    y, x = ((empty + 0.5) * np.array(over.size[::-1]) / np.array(instances.shape)).astype(int)
    assert pixels[y, x, 3] == 0
