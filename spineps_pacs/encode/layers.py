"""The layers of the operator's page: each slice as a grey picture, and what was found on it as a transparent one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spineps_pacs.domain.anatomy import CORPUS_ID
from spineps_pacs.domain.report import Report
from spineps_pacs.encode import picture

HEIGHT = 640
MOST_SLICES = 48
_OPAQUE = 115


@dataclass(frozen=True)
class Layered:
    """Which slices were drawn, counted from the patient's right, and the one that shows most."""

    slices: tuple[int, ...]
    middle: int


def chosen(report: Report) -> Layered:
    """All slices, or evenly chosen ones of a fine series; in the middle that with the most bone."""
    count = picture.slice_count(report, "sagittal")
    picked = np.unique(np.linspace(0, count - 1, min(count, MOST_SLICES)).round().astype(int))
    areas = [_area(report, "sagittal", int(k)) for k in picked]
    return Layered(tuple(int(k) for k in picked), int(picked[int(np.argmax(areas))]))


def layers(report: Report) -> Iterator[tuple[str, bytes]]:
    """File names and PNGs: `sagittal-n`, `coronal`, each with its `-overlay`."""
    look = picture._look(report)  # the same room's drawing, here and below
    for index in chosen(report).slices:
        yield from _pair(report, look, picture._View(index, "sagittal", HEIGHT, False, False), f"sagittal-{index}")
    if picture.slice_count(report, "coronal") > 1:
        most = int(np.argmax(_bodies(report)))
        yield from _pair(report, look, picture._View(most, "coronal", HEIGHT, False, False), "coronal")


def overlay(report: Report, look: picture._Look, view: picture._View, size: tuple[int, int]) -> Image.Image:
    """What was found on one slice, in the colours of the other outputs; clear where nothing was."""
    cut = picture._cut(report, view.index, view.plane)
    colours = np.zeros((*cut.structures.shape, 4), dtype=np.uint8)
    for segment in look.structures:
        colours[np.isin(cut.structures, segment.ids)] = (*segment.rgb, _OPAQUE)
    for segment in look.levels:
        colours[cut.instances == segment.instance] = (*segment.rgb, _OPAQUE)
    return Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)


def _pair(report: Report, look: picture._Look, view: picture._View, name: str) -> Iterator[tuple[str, bytes]]:
    grey = picture._drawn(report, look, view).convert("L")
    yield f"{name}.png", picture._png(grey)
    yield f"{name}-overlay.png", picture._png(overlay(report, look, view, grey.size))


def _area(report: Report, plane: str, index: int) -> int:
    return int(np.count_nonzero(picture._cut(report, index, plane).instances))


def _bodies(report: Report) -> NDArray[np.intp]:
    """How much of vertebral bodies each coronal slice shows, counted from the front."""
    labels = report.structures.labels
    axis = picture._axis(report, "coronal")
    areas: NDArray[np.intp] = (labels == CORPUS_ID).sum(axis=tuple(a for a in range(3) if a != axis))
    ascending = report.volume.geometry.directions[1, axis] > 0
    return areas if ascending else areas[::-1]
