"""Small ONNX files written byte by byte: a 1 x 1 convolution over the middle slice, in the published form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spineps_pacs.analysis.small_fov_fit import SACRUM
from training.onnx_file import Dim, model, node, tensor, value

FORM: tuple[Dim, ...] = ("batch", 3, 320, 896)
BONE_FROM, DISC_AT = 0.3, 0.2
"""Grey values by which the files tell classes: background 0, disc, then vertebrae from C2 up to 1."""


def bone(position: int) -> float:
    """The grey value that the naming file calls by this position."""
    return BONE_FROM + (1 - BONE_FROM) * position / SACRUM


def segmentation(folder: Path, name: str = "Seg2.onnx") -> Path:
    """Background below 0.1, disc up to 0.25, vertebra above."""
    return write(folder / name, [(0.0, 0.0), (2.0, -0.35), (1.0, -0.1)])


def naming(folder: Path, name: str = "Seg25.onnx", names: int = SACRUM) -> Path:
    """The nearest grey value of all names; background below the first."""
    greys = [DISC_AT, *(bone(at) for at in range(1, names)), bone(SACRUM)]
    return write(folder / name, [(2 * grey, -grey * grey) for grey in greys])


def write(
    path: Path,
    lines: Sequence[tuple[float, float]],
    form: Sequence[Dim] = FORM,
    classes: Dim | None = None,
) -> Path:
    """A file whose class c scores slope * grey + offset of its line; `classes` is what it states of its output."""
    count = len(lines)
    weights = np.zeros((count, 3, 1, 1), np.float32)
    weights[:, 1, 0, 0] = [slope for slope, _ in lines]
    offsets = np.array([offset for _, offset in lines], np.float32)
    given = (form[0], count if classes is None else classes, *form[2:])
    path.write_bytes(
        model(
            [node("Conv", ("image", "weights", "offsets"), "scores")],
            [tensor("weights", weights), tensor("offsets", offsets)],
            value("image", form),
            value("scores", given),
        )
    )
    return path
