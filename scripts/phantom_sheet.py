"""Draws docs/img/phantom-sheet.png: what phantom spines look like, their labels, variants, pathologies and contrasts.

Usage: python scripts/phantom_sheet.py [--out docs/img/phantom-sheet.png] [--real NIFTI]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from spineps_pacs.domain.anatomy import STRUCTURES
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.contrast import T1W, T2W, Contrast, random_contrast
from spineps_pacs.phantom.image import photograph, sub_slices
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.views import Orientation, Raster, place
from spineps_pacs.phantom.wishes import Wishes

Bytes = NDArray[np.uint8]
REAL = Path("tests/data/spine-t2w-nifti/t2.nii.gz")
CAPTION = 16
GAP = 4
THICK = 4.0
"""Thickness of all slices in mm."""


def colours() -> Bytes:
    """A colour for each structure id."""
    table = np.zeros((256, 3), np.uint8)
    for structure in STRUCTURES:
        for identity in structure.ids:
            table[identity] = structure.rgb
    return table


def shot(spine: Spine, geometry: Geometry, contrast: Contrast, overlay: bool = False) -> Bytes:
    """The middle slice of a grid as an RGB picture, with its labels over it or not."""
    parts = sub_slices(spine, geometry, geometry.spacing[0], 3)
    image = photograph([p.tissues for p in parts], geometry, contrast, np.random.default_rng(spine.seed))
    middle = geometry.shape[0] // 2
    grey = np.clip(image[middle] / max(float(np.quantile(image[middle], 0.995)), 0.1), 0, 1) * 255
    rgb = np.repeat(grey[..., None], 3, axis=2)
    if overlay:
        labels = parts[1].structures[middle]
        shown = labels > 0
        rgb[shown] = 0.55 * rgb[shown] + 0.45 * colours()[labels[shown]]
    return rgb.astype(np.uint8)


def sagittal(spine: Spine, level: str, left: float, size: tuple[int, int], pixel: float) -> Geometry:
    """A sagittal slice at so many mm to the left of a level's middle."""
    centre = spine.vertebra(level).placed.world(left, 12, 0)
    centre[0] = spine.vertebra(level).placed.origin[0] + left
    return place(centre, Raster(1, *size, THICK, THICK, pixel), Orientation("LFP"), "")


def axial(spine: Spine, level: str, up: float, size: int, pixel: float) -> Geometry:
    """A slice across a level, at so many body heights above its middle."""
    v = spine.vertebra(level)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([-v.placed.axes[2] * 4, v.placed.axes[1] * pixel, v.placed.axes[0] * pixel])
    shape = (1, size, size)
    centre = v.placed.world(0, v.canal_centre - 8, up * v.body.height)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, shape)


def coronal(spine: Spine, level: str, size: tuple[int, int], pixel: float) -> Geometry:
    """A coronal slice through the bodies about a level."""
    centre = spine.vertebra(level).placed.origin
    return place(centre, Raster(1, *size, 4.0, 4.0, pixel), Orientation("AFL"), "")


def captioned(picture: Bytes, text: str) -> Image.Image:
    """A picture with a line of text above it."""
    image = Image.new("RGB", (picture.shape[1], picture.shape[0] + CAPTION))
    image.paste(Image.fromarray(picture), (0, CAPTION))
    ImageDraw.Draw(image).text((3, 2), text, fill=(235, 235, 235))
    return image


def row(tiles: list[tuple[str, Bytes]]) -> Image.Image:
    """Pictures side by side."""
    images = [captioned(picture, text) for text, picture in tiles]
    width = sum(i.width for i in images) + GAP * (len(images) - 1)
    whole = Image.new("RGB", (width, max(i.height for i in images)), (40, 40, 40))
    x = 0
    for image in images:
        whole.paste(image, (x, 0))
        x += image.width + GAP
    return whole


def whole_spine() -> Image.Image:
    """The study's series: T2w and T1w, in the middle and beside it, and the labels."""
    spine = draw_spine(1, Wishes())
    stir = random_contrast(np.random.default_rng(3), family="STIR")

    def view(left: float, contrast: Contrast, overlay: bool = False) -> Bytes:
        return shot(spine, sagittal(spine, "T9", left, (600, 200), 1.2), contrast, overlay)

    return row([
        ("T2w, middle", view(0, T2W)), ("labels", view(0, T2W, overlay=True)), ("T2w, 16 mm left", view(16, T2W)),
        ("labels", view(16, T2W, overlay=True)), ("T1w", view(0, T1W)), ("STIR", view(0, replace(stir, ghost=0.0))),
    ])  # fmt: skip


def close_up(level: str, offsets: tuple[float, ...], cuts: tuple[float, ...]) -> Image.Image:
    """One region near: sagittal slices and axial ones, each with its labels."""
    spine = draw_spine(6, Wishes())
    tiles = []
    for left in offsets:
        grid = sagittal(spine, level, left, (220, 150), 0.6)
        tiles += [(f"{level} +{left:.0f} mm", shot(spine, grid, T2W)), ("", shot(spine, grid, T2W, overlay=True))]
    for up in cuts:
        grid = axial(spine, level, up, 220, 0.55)
        tiles += [(f"{level} axial", shot(spine, grid, T2W)), ("", shot(spine, grid, T2W, overlay=True))]
    return row(tiles)


def pathologies() -> Image.Image:
    """Variants and pathologies that one may wish for."""
    cases = (
        ("fractures", 11, "L2", Wishes(fracture=(("L1", 0.5), ("T11", 0.3)), degeneration=0.6)),
        ("listhesis", 12, "L3", Wishes(listhesis=(("L4", 8.0),), degeneration=0.7, osteophytes=0.9)),
        ("laminectomy", 13, "L3", Wishes(gap="L4")),
        ("block vertebra", 14, "L3", Wishes(merged="L2", haemangioma=("L4",))),
        ("missing disc", 15, "L3", Wishes(missing_disc="L3", sacralisation=True)),
        ("stenosis", 16, "L3", Wishes(stenosis=(("L3", 0.5),), lumbar=6)),
    )
    tiles = []
    for text, seed, level, wishes in cases:
        spine = draw_spine(seed, wishes)
        tiles.append((text, shot(spine, sagittal(spine, level, 0, (260, 160), 0.7), T2W)))
    screws = draw_spine(13, Wishes(metal="L3"))
    tiles.append(("metal", shot(screws, sagittal(screws, "L3", 12, (260, 160), 0.7), T2W)))
    bent = draw_spine(18, Wishes(scoliosis=28.0))
    tiles.append(("scoliosis", shot(bent, coronal(bent, "T12", (260, 130), 1.5), T2W)))
    return row(tiles)


def contrasts(real: Path) -> Image.Image:
    """Random contrasts of every family, and a real crop for comparison where it lies at hand."""
    tiles = []
    for n, family in enumerate(("TSE", "FS", "STIR", "SPACE", "TSE", "SPACE"), start=1):
        spine, contrast = draw_spine(40 + n, Wishes()), random_contrast(np.random.default_rng(n), family=family)
        tiles.append((family, shot(spine, sagittal(spine, "L2", 0, (220, 150), 0.8), contrast)))
    spine = draw_spine(47, Wishes())
    dark = random_contrast(np.random.default_rng(12), family="SPACE")
    tiles.append(("phantom, neck, 1 mm", magnified(shot(spine, sagittal(spine, "C6", 0, (55, 60), 1.0), dark))))
    if real.exists():
        image = nib.as_closest_canonical(nib.load(real))
        voxels = np.asarray(image.dataobj, dtype=float)
        plane = voxels[voxels.shape[0] // 2].T[::-1, ::-1]
        grey = (np.clip(plane / np.quantile(plane, 0.995), 0, 1) * 255).astype(np.uint8)
        tiles.append(("real, neck, 1 mm", magnified(np.repeat(grey[..., None], 3, axis=2))))
    return row(tiles)


def magnified(picture: Bytes) -> Bytes:
    """Four times as large."""
    return np.asarray(
        Image.fromarray(picture).resize((picture.shape[1] * 4, picture.shape[0] * 4), Image.Resampling.BICUBIC)
    )


def main() -> None:
    """Draws the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/img/phantom-sheet.png"))
    parser.add_argument("--real", type=Path, default=REAL)
    given = parser.parse_args()
    rows = [
        whole_spine(), close_up("L3", (0, 17), (0.12, -0.6)), close_up("T8", (0, 9), (0.1, -0.6)),
        close_up("C5", (0, 20), (0.0, -0.6)), pathologies(), contrasts(given.real),
    ]  # fmt: skip
    sheet = Image.new("RGB", (max(r.width for r in rows), sum(r.height for r in rows) + GAP * len(rows)), (40, 40, 40))
    y = 0
    for one in rows:
        sheet.paste(one, (0, y))
        y += one.height + GAP
    given.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(256, dither=Image.Dither.NONE).save(given.out, optimize=True)


if __name__ == "__main__":
    main()
