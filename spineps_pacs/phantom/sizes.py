"""Ordinary sizes of vertebrae, discs, canal and cord from C2 to S5, in mm and degrees, for an adult of average height.

Rounded from the ranges that morphometric textbooks give; C2 is 2, T1 is 8, L1 is 20, L5 is 24 on the position axis.
"""

from __future__ import annotations

import numpy as np

POSITIONS = {f"C{n}": float(n) for n in range(1, 8)}
POSITIONS |= {f"T{n}": 7.0 + n for n in range(1, 13)} | {"T13": 19.5}
POSITIONS |= {f"L{n}": 19.0 + n for n in range(1, 6)} | {"L6": 24.3}

_BODY = np.array([
    # position, width, depth, height, disc below, canal width, canal depth
    (1, 17, 16, 15, 2.0, 28, 20), (2, 17, 15.5, 20, 5.0, 24, 17), (3, 17.5, 15.5, 14.0, 5.2, 24, 14.6),
    (4, 18, 16, 13.6, 5.2, 25, 14.2), (5, 19, 16.3, 13.2, 5.3, 25.5, 14.2), (6, 20.5, 16.8, 13.2, 5.5, 25.5, 14.2),
    (7, 23, 17, 14.6, 5.2, 24, 14.6), (8, 27, 16.8, 16.0, 4.4, 21, 15), (9, 27, 17.6, 17.3, 4.0, 18.5, 15.2),
    (10, 26, 19, 18.0, 3.8, 17, 15.5), (11, 25.5, 21, 18.5, 3.8, 16.5, 15.6), (12, 26, 23, 19.0, 4.0, 16.5, 15.8),
    (13, 27, 24.5, 19.5, 4.2, 16.5, 16), (14, 28, 26, 20.0, 4.6, 16.5, 16), (15, 29, 27.3, 20.6, 5.0, 16.5, 16),
    (16, 30.5, 28.4, 21.2, 5.4, 17, 16), (17, 32, 29.4, 22.0, 5.9, 17.5, 15.8), (18, 35, 30, 22.8, 6.6, 18.5, 16),
    (19, 38.5, 31, 24.4, 7.0, 21, 17), (20, 41.8, 32.2, 26.2, 8.0, 22.5, 17.2), (21, 43.4, 33.2, 27.3, 9.0, 22.5, 16.8),
    (22, 45.4, 34.2, 27.8, 9.9, 23, 16.4), (23, 47.4, 34.8, 27.6, 10.5, 24, 16.8),
    (24, 49.2, 34.8, 27.0, 9.9, 26, 17.5),
])  # fmt: skip
_BODY_NAMES = ("width", "depth", "height", "disc", "canal_width", "canal_depth")

_POSTERIOR = np.array([
    # position, pedicle w, h, lamina thickness, height, spinous length, angle down, height, thickness, transverse span
    (2, 7.5, 8.0, 4.5, 12, 17, 15, 12, 9.0, 52), (3, 5.5, 7.0, 3.2, 10.5, 14, 22, 6.5, 8.0, 52),
    (5, 5.8, 7.0, 3.2, 11, 16, 24, 6.5, 8.5, 55), (6, 6.2, 7.2, 3.8, 12, 21, 24, 7.5, 7.5, 57),
    (7, 7.0, 7.6, 4.8, 13.5, 30, 22, 9.5, 7.0, 66), (8, 8.0, 9.0, 5.2, 15, 31, 30, 10, 7.0, 75),
    (10, 6.0, 11, 5.6, 17, 33, 44, 9.5, 6.0, 67), (12, 5.4, 11.5, 6.0, 19, 36, 54, 9.5, 5.6, 63),
    (15, 6.2, 12.5, 6.0, 20, 36, 55, 10, 5.6, 59), (17, 7.4, 14.5, 6.2, 21, 29, 42, 12, 6.0, 54),
    (19, 8.5, 16.0, 6.4, 22, 24, 20, 17, 6.8, 47), (20, 8.0, 15.5, 6.6, 22.5, 27, 13, 20, 7.2, 68),
    (22, 10.2, 14.6, 6.8, 22, 30, 12, 22, 7.6, 91), (24, 15.5, 14.0, 7.0, 17.5, 22, 18, 15, 7.2, 91),
])  # fmt: skip
_POSTERIOR_NAMES = (
    "pedicle_width", "pedicle_height", "lamina_thickness", "lamina_height", "spinous_length", "spinous_angle",
    "spinous_height", "spinous_thickness", "transverse_span",
)  # fmt: skip

_CORD = np.array([
    # position, width, depth
    (0, 12.5, 9.5), (2, 12, 8.2), (5, 13.5, 7.4), (7, 12.2, 7.0), (9, 9.8, 6.8), (14, 8.8, 6.6), (18, 9.6, 7.4),
    (19, 10.0, 8.0), (25, 10.0, 8.0),
])  # fmt: skip

SACRUM = {
    # width at the top, depth at the top, height, half span of the alae, canal width, canal depth
    "S1": (50.0, 31.0, 29.0, 55.0, 30.0, 15.0),
    "S2": (34.0, 21.0, 25.0, 46.0, 24.0, 11.0),
    "S3": (28.0, 15.0, 20.0, 37.0, 17.0, 7.5),
    "S4": (24.0, 11.0, 17.0, 31.0, 12.0, 5.0),
    "S5": (20.0, 8.0, 14.0, 25.0, 9.0, 3.5),
}


def vertebra_sizes(position: float) -> dict[str, float]:
    """All sizes of a vertebra at a position between C1 (1) and L5 (24), by name."""
    sizes = {n: float(np.interp(position, _BODY[:, 0], _BODY[:, i + 1])) for i, n in enumerate(_BODY_NAMES)}
    more = {
        n: float(np.interp(position, _POSTERIOR[:, 0], _POSTERIOR[:, i + 1])) for i, n in enumerate(_POSTERIOR_NAMES)
    }
    return sizes | more


def cord_size(position: float) -> tuple[float, float]:
    """Width and depth of the cord at a position."""
    return tuple(float(np.interp(position, _CORD[:, 0], _CORD[:, i])) for i in (1, 2))  # type: ignore[return-value]


def body_wedge(position: float) -> float:
    """Degrees by which the front of a body is taller than its back (negative: kyphotic)."""
    return float(
        np.interp(
            position,
            (2, 3, 7, 8, 12, 17, 19, 20, 21, 22, 23, 24),
            (0, -0.5, -0.8, -1.6, -3.4, -3.2, -2.4, -1.6, -0.6, 0.6, 2.2, 8),
        )
    )


def disc_wedge(position: float) -> float:
    """Degrees by which the front of the disc below a position is taller than its back."""
    return float(
        np.interp(
            position,
            (2, 3, 6, 7, 8, 12, 17, 18, 19, 20, 21, 22, 23, 24),
            (5, 6, 6, 5, 1.0, -0.6, -0.3, 0, 1.5, 4, 6, 8, 11, 14),
        )
    )
