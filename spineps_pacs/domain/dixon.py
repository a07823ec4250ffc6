"""Dixon images: which of them, by a whole value of Image Type, show fat alone or water against fat."""

from __future__ import annotations

FAT = frozenset({"FAT", "F", "OPP_PHASE", "OP", "OUT_PHASE"})
"""Fat alone, and opposed phase, where fat takes away from water: no T2-weighted image as the networks know it."""

WATER = frozenset({"WATER", "W", "IN_PHASE", "IP"})
"""Water alone, and in phase, where both add up as in any spin echo."""


def shows_fat(image_type: str) -> bool:
    """True when Image Type (values divided by backslashes) names fat or opposed phase, and neither of the others."""
    words = {word.strip() for word in image_type.upper().split("\\")}
    return bool(words & FAT) and not words & WATER
