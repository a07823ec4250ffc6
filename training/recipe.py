"""The facts that training, export and examination of the embedded model share: grid, classes, architecture."""

from __future__ import annotations

from typing import Any

from spineps_pacs.domain.anatomy import STRUCTURES

SPACING_RIP = (2.5, 1.0, 1.0)
"""Millimetres of the network's grid along Right, Inferior, Posterior.

Rounding true borders to this grid and back to slices of 4 mm (0.7 mm in the plane) leaves a disc a Dice of 0.926 at
2.5 x 1 x 1 mm, 0.914 at 2.5 x 1.25 x 1.25 mm and 0.907 at 3 x 1 x 1 mm (four spines). So scores, not labels, go back
to the finer grid of `resolution_range`, where the borders between voxels are found again.
"""

GRID_RANGE_PIR = ((0.8, 0.8, 2.5), (1.25, 1.25, 5.0))
"""Finest and coarsest grid on which the semantic mask is made: slices stay where the scanner took them."""

PATCH_RIP = (16, 128, 96)
"""Voxels of a tile: 40 x 128 x 96 mm, three to four lumbar vertebrae with their processes and the canal."""

CLASSES: tuple[int, ...] = tuple(structure.id for structure in STRUCTURES)
"""SPINEPS id of network class 1, 2, ...; class 0 is background."""

MIRRORED: tuple[tuple[int, int], ...] = ((43, 44), (45, 46), (47, 48))
"""Ids that change places when left and right do."""

FEATURES = (16, 32, 64, 96, 128)
"""Multiples of 16: other widths fall into slow convolutions on a CPU."""

ARCHITECTURE: dict[str, Any] = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": len(FEATURES),
        "features_per_stage": list(FEATURES),
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 2], [2, 2, 2]],
        "n_conv_per_stage": [2, 2, 2, 2, 2],
        "n_conv_per_stage_decoder": [1, 1, 1, 1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
"""As plans.json writes it. Two slices' worth of millimetres go by before R is halved, so voxels end up near cubic."""


def class_table() -> list[int]:
    """Network class of every SPINEPS id 0..255; ids that the model does not know are background."""
    table = [0] * 256
    for number, structure in enumerate(STRUCTURES, start=1):
        for identity in structure.ids:
            table[identity] = number
    return table


def mirror_table() -> list[int]:
    """Network class after left and right have changed places."""
    swap = dict(MIRRORED) | {b: a for a, b in MIRRORED}
    return [0] + [CLASSES.index(swap.get(identity, identity)) + 1 for identity in CLASSES]


CUTOUT_SPACING_PIR = (1.5, 1.0, 2.0)
"""Millimetres along Posterior, Inferior, Right. The method erodes bodies by two voxels on each side to find their
centres: on true labels of two necks 11 of 18 centres are left at 2 x 1.5 x 2.5 mm, 16 at 1.5 x 1.25 x 2, all here."""

CUTOUT_PIR = (80, 112, 32)
"""Voxels of an instance cutout: 120 x 112 x 64 mm hold three lumbar vertebrae; only the tips of their longest processes
lie outside and come back by their connection."""

CUTOUT_DIM, CUTOUT_CHANNELS = 8, 10

MAPPING: dict[int, int] = {identity: number for number, identity in enumerate(range(41, 49), start=1)} | {
    49: 9,
    50: 9,
    51: 9,
}
"""SPINEPS id to channel of the instance network's one-hot input; channel 0 is all the rest."""
