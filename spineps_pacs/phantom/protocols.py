"""What MR scanners write into the headers of their series: protocols of four series, and makers of scanners."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spineps_pacs.phantom.contrast import T1W, T2W, Contrast, random_contrast


@dataclass(frozen=True)
class Protocol:
    """One kind of series; times in ms."""

    key: str
    number: int
    description: str
    scanning_sequence: tuple[str, ...]
    sequence_variant: tuple[str, ...]
    scan_options: tuple[str, ...]
    acquisition: str
    echo_time: float
    repetition_time: float
    inversion_time: float | None
    echo_train: int
    flip_angle: float
    contrast: Contrast


_SPIN = ("SE",)
LOCALIZER = Protocol("localizer", 1, "localizer", ("GR",), ("SP", "OSP"), (), "2D", 2.69, 5.5, None, 1, 20.0, T1W)
T1_SAG = Protocol("t1-sag", 3, "t1_tse_sag", _SPIN, ("SK", "SP"), (), "2D", 9.6, 620.0, None, 3, 150.0, T1W)
T2_AX = Protocol("t2-ax", 4, "t2_tse_tra", _SPIN, ("SK", "SP"), (), "2D", 98.0, 4200.0, None, 17, 150.0, T2W)
T2_SAG = Protocol("t2-sag", 2, "t2_tse_sag", _SPIN, ("SK", "SP"), (), "2D", 104.0, 3500.0, None, 19, 150.0, T2W)


@dataclass(frozen=True)
class Vendor:
    """How a manufacturer names things. The device says of itself that it is a synthetic phantom."""

    manufacturer: str
    style: str
    software: str
    image_type: tuple[str, ...]
    sequence_name: str


_PRIMARY = ("ORIGINAL", "PRIMARY")
VENDORS = {
    "siemens": Vendor("SIEMENS", "Siemens style", "phantom E11", (*_PRIMARY, "M", "NORM", "DIS2D"), "*tse2d1_19"),
    "philips": Vendor("Philips Medical Systems", "Philips style", "phantom 5.7", (*_PRIMARY, "M_SE", "M", "SE"), ""),
    "ge": Vendor("GE MEDICAL SYSTEMS", "GE style", "phantom DV26", (*_PRIMARY, "OTHER"), ""),
    "canon": Vendor("CANON_MEC", "Canon style", "phantom V6", (*_PRIMARY, "OTHER"), "FSE2D19"),
}  # fmt: skip


def sagittal_t2(family: str, contrast: Contrast | None = None) -> Protocol:
    """The sagittal T2w protocol of a contrast family: TSE, FS (fat-suppressed), STIR or SPACE."""
    if family == "TSE":
        return replace(T2_SAG, contrast=contrast or T2W)
    shown = contrast or steady(family)
    if family == "FS":
        return replace(T2_SAG, description="t2_tse_fs_sag", scan_options=("FS",), contrast=shown)
    if family == "STIR":
        return replace(
            T2_SAG, description="t2_tirm_sag", scanning_sequence=("SE", "IR"), scan_options=("IR",),
            echo_time=62.0, repetition_time=4100.0, inversion_time=160.0, contrast=shown,
        )  # fmt: skip
    if family == "SPACE":
        return replace(
            T2_SAG, description="t2_space_sag", acquisition="3D", echo_time=118.0, repetition_time=1500.0,
            echo_train=60, flip_angle=140.0, contrast=shown,
        )  # fmt: skip
    raise ValueError(f"a contrast family is TSE, FS, STIR or SPACE, not {family!r}")


def steady(family: str) -> Contrast:
    """The middle of a family's ranges: no spread, no artefacts."""
    drawn = random_contrast(np.random.default_rng(5), family=family, spread=0.0)
    return replace(
        drawn, noise=T2W.noise, bias=T2W.bias, coil=T2W.coil, ghost=0.0, motion=0.0, gamma=1.0, blur=T2W.blur
    )
