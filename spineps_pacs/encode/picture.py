"""Pictures of a report for people: slices with overlay and level names, in true proportions, no identifiers."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from spineps_pacs.domain.anatomy import RGB
from spineps_pacs.domain.report import Report
from spineps_pacs.encode.header import NOT_FOR_DIAGNOSIS
from spineps_pacs.encode.segments import Segment, level_segments, structure_segments
from spineps_pacs.encode.views import middle_slice, name_place

PLANES = ("sagittal", "coronal", "axial")
_DOWNWARDS = {"sagittal": 2, "coronal": 2, "axial": 1}
"""World axis (LPS) that runs from top to bottom of the screen: superior or anterior is on top."""
_RIGHTWARDS = {"sagittal": 1, "coronal": 0, "axial": 0}
"""World axis that runs from left to right of the screen, ascending: posterior, or the patient's left."""
_HEIGHT = 768
_OPACITY = 0.45
_MONTAGE_TILE = 320
_MOST_TILES = 12
_TEXT: RGB = (255, 255, 255)
_MARGIN = 4


@dataclass(frozen=True)
class _View:
    """Which slice is drawn, how high in pixels, with what on it."""

    index: int
    plane: str
    height: int
    overlay: bool = True
    names: bool = True


@dataclass(frozen=True, eq=False)
class _Look:
    """What all slices of a report share: segments with their colours, and the grey values of black and white."""

    structures: tuple[Segment, ...]
    levels: tuple[Segment, ...]
    window: tuple[float, float]


@dataclass(frozen=True, eq=False)
class _Cut:
    """One slice turned as it is looked at: grey values, structures, instances, and its rows' and columns' spacing."""

    grey: NDArray[np.generic]
    structures: NDArray[np.integer]
    instances: NDArray[np.integer]
    spacing: tuple[float, float]


def preview(report: Report) -> bytes:
    """The middle sagittal slice with overlay and level names, as PNG."""
    return _png(middle_picture(report))


def slice_png(report: Report, index: int, plane: str = "sagittal", overlay: bool = True) -> bytes:
    """One slice in one plane as PNG; index 0 is the patient's right, anterior or superior-most."""
    return _png(_drawn(report, _look(report), _View(index, plane, _HEIGHT, overlay=overlay, names=overlay)))


def slice_count(report: Report, plane: str) -> int:
    """How many slices there are in a plane."""
    return report.volume.geometry.shape[_axis(report, plane)]


def middle_picture(report: Report) -> Image.Image:
    """The middle sagittal slice with overlay and level names."""
    axis = _axis(report, "sagittal")
    index = middle_slice(report) if axis == 0 else slice_count(report, "sagittal") // 2
    return _drawn(report, _look(report), _View(_from_right(report, index), "sagittal", _HEIGHT))


def montage(report: Report) -> Image.Image:
    """Up to twelve sagittal slices side by side, those that show something."""
    shown = _shown(report)
    look = _look(report)
    tiles = [_drawn(report, look, _View(k, "sagittal", _MONTAGE_TILE, names=False)) for k in shown]
    columns = min(len(tiles), 4)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (columns * width, -(-len(tiles) // columns) * height))
    for n, tile in enumerate(tiles):
        sheet.paste(tile, (n % columns * width, n // columns * height))
    _caption(sheet, report)
    return sheet


def _shown(report: Report) -> list[int]:
    """Indices in the sagittal plane, evenly over the slices with a label."""
    axis = _axis(report, "sagittal")
    others = tuple(a for a in range(3) if a != axis)
    found = np.flatnonzero((report.structures.labels > 0).any(axis=others))
    indices = found if len(found) else np.arange(slice_count(report, "sagittal"))
    picked = indices[np.unique(np.linspace(0, len(indices) - 1, min(len(indices), _MOST_TILES)).round().astype(int))]
    return sorted(_from_right(report, int(k)) for k in picked)


def _axis(report: Report, plane: str) -> int:
    """The index axis that runs across a plane; each plane has its own."""
    weights = np.abs(report.volume.geometry.directions)
    order = [np.argmax(weights[0]), np.argmax(weights[1])]
    first = int(order[0])
    second = int(order[1]) if order[1] != first else int(np.argmax(np.delete(weights[1], first)))
    third = ({0, 1, 2} - {first, second}).pop() if first != second else second
    return {"sagittal": first, "coronal": second, "axial": third}[plane]


def _from_right(report: Report, index: int) -> int:
    """An index of the array to one that counts from the patient's right."""
    axis = _axis(report, "sagittal")
    ascending = report.volume.geometry.directions[0, axis] > 0
    return index if ascending else slice_count(report, "sagittal") - 1 - index


def _cut(report: Report, index: int, plane: str) -> _Cut:
    geometry = report.volume.geometry
    axis = _axis(report, plane)
    normal = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    ascending = geometry.directions[normal, axis] > 0
    if ascending == (plane == "axial"):  # axial slices count from the head
        index = geometry.shape[axis] - 1 - index
    down = _DOWNWARDS[plane]
    vertical = _axis(report, {0: "sagittal", 1: "coronal", 2: "axial"}[down])
    horizontal = ({0, 1, 2} - {axis, vertical}).pop()
    flip_down = (geometry.directions[down, vertical] > 0) == (down == 2)
    flip_across = geometry.directions[_RIGHTWARDS[plane], horizontal] < 0

    def turned(array: NDArray[np.generic]) -> NDArray[np.generic]:
        flat = np.take(array, index, axis=axis)
        flat = flat if vertical < horizontal else flat.T
        flat = flat[::-1] if flip_down else flat
        return np.asarray(flat[:, ::-1] if flip_across else flat)

    spacing = geometry.spacing[vertical], geometry.spacing[horizontal]
    return _Cut(
        turned(report.volume.voxels),
        turned(report.structures.labels),  # type: ignore[arg-type]
        turned(report.instances.labels),  # type: ignore[arg-type]
        spacing,
    )


def _look(report: Report) -> _Look:
    """Grey values between the 1st and 99th percentile of the whole volume, so that slices compare."""
    sample = report.volume.voxels[:: max(1, report.volume.voxels.shape[0] // 16), ::4, ::4].astype(np.float32)
    low, high = np.percentile(sample, (1, 99))
    return _Look(structure_segments(report), level_segments(report), (float(low), float(high)))


def _drawn(report: Report, look: _Look, view: _View) -> Image.Image:
    cut = _cut(report, view.index, view.plane)
    rows, columns = cut.grey.shape
    tall, wide = rows * cut.spacing[0], columns * cut.spacing[1]
    scale = view.height / max(tall, wide)
    size = max(1, round(wide * scale)), max(1, round(tall * scale))
    picture = _grey(cut.grey, look.window).resize(size, Image.Resampling.BILINEAR).convert("RGB")
    if view.overlay:
        picture = _coloured(picture, cut, look)
    if view.names:
        _write_names(picture, cut, look.levels, size)
        _caption(picture, report)
    return picture


def _grey(values: NDArray[np.generic], window: tuple[float, float]) -> Image.Image:
    low, high = window
    span = max(high - low, 1e-6)
    return Image.fromarray((np.clip((values.astype(np.float32) - low) / span, 0, 1) * 255).astype(np.uint8))


def _coloured(picture: Image.Image, cut: _Cut, look: _Look) -> Image.Image:
    """Levels in their colours; what is no vertebra or disc (cord, canal) in that of its structure."""
    colours = np.zeros((*cut.structures.shape, 4), dtype=np.uint8)
    for segment in look.structures:
        colours[np.isin(cut.structures, segment.ids)] = (*segment.rgb, round(255 * _OPACITY))
    for segment in look.levels:
        colours[cut.instances == segment.instance] = (*segment.rgb, round(255 * _OPACITY))
    layer = Image.fromarray(colours).resize(picture.size, Image.Resampling.NEAREST)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _write_names(picture: Image.Image, cut: _Cut, segments: tuple[Segment, ...], size: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(picture)
    rows, columns = cut.instances.shape
    font = _font(max(11, size[1] // 48))
    for segment in segments:
        where = None if segment.disc else name_place(cut.structures, cut.instances, segment.instance)
        if where is None:
            continue
        row, column = where
        place = ((column + 0.5) * size[0] / columns, (row + 0.5) * size[1] / rows)
        draw.text(place, _short(segment), fill=_TEXT, font=font, anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0))


def _short(segment: Segment) -> str:
    counted = segment.choice is not None and segment.label.startswith("vertebra ")
    return f"({segment.choice.position})" if counted and segment.choice else segment.label


def _caption(picture: Image.Image, report: Report) -> None:
    if report.demonstration:
        text, font = NOT_FOR_DIAGNOSIS.upper(), _font(max(10, picture.size[0] // 26))
        ImageDraw.Draw(picture).text(
            (_MARGIN, _MARGIN), text, fill=(255, 220, 0), font=font, stroke_width=1, stroke_fill=(0, 0, 0)
        )


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
