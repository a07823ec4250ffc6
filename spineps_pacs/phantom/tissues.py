"""The tissues that the image knows, by number; what they look like in a contrast stands in contrast.py."""

from __future__ import annotations

from enum import IntEnum


class Tissue(IntEnum):
    """One byte per voxel; more than the label structures, because the image shows more."""

    AIR = 0
    CSF = 1
    CORD = 2
    GREY = 3
    ROOT = 4
    MARROW = 5
    CORTEX = 6
    ENDPLATE = 7
    ANNULUS = 8
    NUCLEUS = 9
    NUCLEUS_DULL = 10
    NUCLEUS_BLACK = 11
    ARCH_MARROW = 12
    SACRAL_MARROW = 13
    RIB_MARROW = 14
    FAT = 15
    EPIDURAL_FAT = 16
    MUSCLE = 17
    MUSCLE_FAT = 18
    LIGAMENT = 19
    JOINT = 20
    VEIN = 21
    FLOW_VOID = 22
    AIRWAY = 23
    LUNG = 24
    HEART = 25
    LIVER = 26
    BOWEL = 27
    BOWEL_FLUID = 28
    BRAIN = 29
    SKIN = 30
    SKULL_MARROW = 31
    HAEMANGIOMA = 32
    OEDEMA = 33
    METAL = 34
    SCAR = 35
    FLUID = 36
    KIDNEY = 37
    GLAND = 38
    FLOW_CSF = 39
    MODIC = 40


COUNT = len(Tissue)
