"""How bright each tissue is: fixed T2w and T1w contrasts, and T2w-like ones drawn at random. CSF on T2w is 1."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spineps_pacs.phantom.tissues import Tissue

T2_RANGES: dict[Tissue, tuple[float, float]] = {
    Tissue.AIR: (0.0, 0.01), Tissue.CSF: (0.95, 1.0), Tissue.CORD: (0.3, 0.5), Tissue.GREY: (0.36, 0.56),
    Tissue.ROOT: (0.3, 0.55), Tissue.MARROW: (0.15, 0.55), Tissue.CORTEX: (0.02, 0.1), Tissue.ENDPLATE: (0.03, 0.13),
    Tissue.ANNULUS: (0.05, 0.2), Tissue.NUCLEUS: (0.3, 0.78), Tissue.NUCLEUS_DULL: (0.2, 0.42),
    Tissue.NUCLEUS_BLACK: (0.07, 0.2), Tissue.ARCH_MARROW: (0.25, 0.6), Tissue.SACRAL_MARROW: (0.25, 0.6),
    Tissue.RIB_MARROW: (0.25, 0.55), Tissue.FAT: (0.35, 0.95), Tissue.EPIDURAL_FAT: (0.35, 0.95),
    Tissue.MUSCLE: (0.08, 0.22), Tissue.MUSCLE_FAT: (0.3, 0.6), Tissue.LIGAMENT: (0.04, 0.16),
    Tissue.JOINT: (0.2, 0.6), Tissue.VEIN: (0.4, 0.75), Tissue.FLOW_VOID: (0.0, 0.06), Tissue.AIRWAY: (0.0, 0.02),
    Tissue.LUNG: (0.01, 0.06), Tissue.HEART: (0.04, 0.2), Tissue.LIVER: (0.1, 0.25), Tissue.BOWEL: (0.2, 0.45),
    Tissue.BOWEL_FLUID: (0.5, 0.9), Tissue.BRAIN: (0.3, 0.5), Tissue.SKIN: (0.12, 0.35),
    Tissue.SKULL_MARROW: (0.25, 0.55), Tissue.HAEMANGIOMA: (0.65, 0.95), Tissue.OEDEMA: (0.5, 0.85),
    Tissue.METAL: (0.0, 0.01), Tissue.SCAR: (0.2, 0.5), Tissue.FLUID: (0.85, 1.05), Tissue.KIDNEY: (0.4, 0.65),
    Tissue.GLAND: (0.3, 0.55), Tissue.FLOW_CSF: (0.4, 0.7), Tissue.MODIC: (0.4, 0.7),
}  # fmt: skip
"""Lowest and highest mean of each tissue in T2w turbo spin echo, relative to CSF."""

FATTY: dict[Tissue, float] = {
    Tissue.FAT: 1.0, Tissue.EPIDURAL_FAT: 1.0, Tissue.MUSCLE_FAT: 0.9, Tissue.MARROW: 0.6, Tissue.ARCH_MARROW: 0.7,
    Tissue.SACRAL_MARROW: 0.75, Tissue.RIB_MARROW: 0.6, Tissue.SKULL_MARROW: 0.8, Tissue.SKIN: 0.4,
    Tissue.BOWEL: 0.3, Tissue.GLAND: 0.3, Tissue.MODIC: 0.8,
}  # fmt: skip
"""How much of a tissue's signal a perfect fat suppression takes."""

T1_MEANS: dict[Tissue, float] = {
    Tissue.AIR: 0.0, Tissue.CSF: 0.14, Tissue.CORD: 0.42, Tissue.GREY: 0.38, Tissue.ROOT: 0.36, Tissue.MARROW: 0.55,
    Tissue.CORTEX: 0.05, Tissue.ENDPLATE: 0.07, Tissue.ANNULUS: 0.22, Tissue.NUCLEUS: 0.3, Tissue.NUCLEUS_DULL: 0.3,
    Tissue.NUCLEUS_BLACK: 0.26, Tissue.ARCH_MARROW: 0.62, Tissue.SACRAL_MARROW: 0.62, Tissue.RIB_MARROW: 0.55,
    Tissue.FAT: 1.0, Tissue.EPIDURAL_FAT: 1.0, Tissue.MUSCLE: 0.3, Tissue.MUSCLE_FAT: 0.7, Tissue.LIGAMENT: 0.12,
    Tissue.JOINT: 0.2, Tissue.VEIN: 0.35, Tissue.FLOW_VOID: 0.02, Tissue.AIRWAY: 0.0, Tissue.LUNG: 0.03,
    Tissue.HEART: 0.15, Tissue.LIVER: 0.45, Tissue.BOWEL: 0.35, Tissue.BOWEL_FLUID: 0.2, Tissue.BRAIN: 0.45,
    Tissue.SKIN: 0.3, Tissue.SKULL_MARROW: 0.65, Tissue.HAEMANGIOMA: 0.85, Tissue.OEDEMA: 0.25, Tissue.METAL: 0.0,
    Tissue.SCAR: 0.3, Tissue.FLUID: 0.14, Tissue.KIDNEY: 0.35, Tissue.GLAND: 0.4, Tissue.FLOW_CSF: 0.14,
    Tissue.MODIC: 0.4,
}  # fmt: skip


@dataclass(frozen=True)
class Contrast:
    """Means and spreads per tissue, and everything that the scanner adds; lengths in mm, noise relative to CSF = 1.

    `texture` scales each tissue's fine pattern, `blur` is the in-plane point spread (sigma), `bias` the strength of the
    smooth bias field, `coil` how fast the surface coil's signal falls towards the front (per 100 mm), `ghost` and
    `motion` the strength of ghosts and shifts along the phase direction, `flow` of CSF flow voids, `sharpen` of the
    overshoot at edges. `stretch` makes the blur wider along the phase direction, `band` is the share of the field of
    view (beyond the 110 mm around the spine) whose front a saturation band darkens.
    """

    name: str
    means: tuple[float, ...]
    texture: tuple[float, ...]
    noise: float = 0.02
    blur: float = 0.45
    bias: float = 0.15
    coil: float = 0.35
    gamma: float = 1.0
    ghost: float = 0.0
    motion: float = 0.0
    flow: float = 0.15
    marrow_patch: float = 0.08
    sharpen: float = 0.0
    stretch: float = 1.0
    band: float = 0.0
    family: str = field(default="TSE")


def _row(means: dict[Tissue, float]) -> tuple[float, ...]:
    return tuple(float(means[t]) for t in Tissue)


def _texture(scale: float) -> tuple[float, ...]:
    more = {Tissue.BOWEL: 2.5, Tissue.MUSCLE_FAT: 2.0, Tissue.HEART: 2.0, Tissue.CSF: 0.4, Tissue.AIR: 0.0,
            Tissue.METAL: 0.0, Tissue.HAEMANGIOMA: 2.2, Tissue.SCAR: 2.0}  # fmt: skip
    return tuple(scale * more.get(t, 1.0) for t in Tissue)


T2W = Contrast(
    name="T2W",
    means=_row(
        {t: 0.45 * low + 0.55 * high for t, (low, high) in T2_RANGES.items()}
        | {Tissue.MARROW: 0.4, Tissue.FAT: 0.8, Tissue.FLOW_CSF: 0.85}
    ),
    texture=_texture(0.08),
)
"""The ordinary T2w turbo spin echo of the studies."""

T1W = Contrast(name="T1W", means=_row(T1_MEANS), texture=_texture(0.08), flow=0.0, noise=0.025)
"""A T1w turbo spin echo; fat is 1."""

FAMILIES = ("TSE", "FS", "STIR", "SPACE")


def random_contrast(
    rng: np.random.Generator, wild: float = 0.0, family: str | None = None, spread: float = 1.0
) -> Contrast:
    """A T2w contrast of a random family (half plain TSE), or with the chance `wild` entirely random means.

    `spread` 0 keeps the middle of each range, 1 uses all of it.
    """
    if rng.random() < wild:
        return _wild(rng)
    kind = family or str(rng.choice(FAMILIES, p=[0.55, 0.15, 0.12, 0.18]))
    means = {}
    for tissue, (low, high) in T2_RANGES.items():
        means[tissue] = (low + high) / 2 + (high - low) * spread * float(rng.uniform(-0.5, 0.5))
    _alike(rng, means)
    if kind in ("FS", "STIR"):
        left = float(rng.uniform(0.08, 0.35))
        for tissue, part in FATTY.items():
            means[tissue] *= 1 - part * (1 - left)
        if kind == "STIR":
            means[Tissue.MUSCLE] *= 1.3
            means[Tissue.OEDEMA] = float(rng.uniform(0.8, 1.0))
    return _scanner(rng, kind, means, spread)


def _alike(rng: np.random.Generator, means: dict[Tissue, float]) -> None:
    """Tissues of one kind look alike: marrow with marrow, fat with fat, discs in their order."""
    for tissue in (Tissue.ARCH_MARROW, Tissue.SACRAL_MARROW, Tissue.RIB_MARROW, Tissue.SKULL_MARROW):
        means[tissue] = means[Tissue.MARROW] * float(rng.uniform(0.9, 1.3))
    means[Tissue.EPIDURAL_FAT] = means[Tissue.FAT] * float(rng.uniform(0.9, 1.05))
    means[Tissue.MUSCLE_FAT] = (means[Tissue.FAT] + means[Tissue.MUSCLE]) / 2
    means[Tissue.GREY] = means[Tissue.CORD] * float(rng.uniform(1.0, 1.2))
    means[Tissue.NUCLEUS] = max(means[Tissue.NUCLEUS], means[Tissue.ANNULUS] * 1.5)
    means[Tissue.NUCLEUS_DULL] = means[Tissue.ANNULUS] + 0.45 * (means[Tissue.NUCLEUS] - means[Tissue.ANNULUS])
    means[Tissue.NUCLEUS_BLACK] = means[Tissue.ANNULUS] * float(rng.uniform(0.9, 1.3))


def _scanner(rng: np.random.Generator, kind: str, means: dict[Tissue, float], spread: float) -> Contrast:
    smooth = kind == "SPACE"
    flow = 0.0 if smooth else float(rng.uniform(0, 0.5))
    means[Tissue.FLOW_CSF] = means[Tissue.CSF] * (1 - flow)
    return Contrast(
        name=f"T2W {kind}",
        means=_row(means),
        texture=_texture(float(rng.uniform(0.03, 0.13))),
        noise=float(rng.uniform(0.008, 0.05)),
        blur=float(rng.uniform(0.45, 0.8) if smooth else rng.uniform(0.25, 0.7)),
        bias=float(rng.uniform(0.03, 0.35)) * spread + 0.03,
        coil=float(rng.uniform(0.0, 0.9)),
        gamma=float(1 + spread * rng.uniform(-0.25, 0.25)),
        ghost=float(rng.uniform(0.02, 0.12)) if rng.random() < 0.25 else 0.0,
        motion=float(rng.uniform(0.5, 1.6)) if rng.random() < 0.12 else 0.0,
        flow=flow,
        marrow_patch=float(rng.uniform(0.03, 0.16)),
        sharpen=float(rng.uniform(0.2, 0.9)) if rng.random() < 0.35 else 0.0,
        stretch=float(rng.uniform(1.0, 1.7)),
        band=float(rng.uniform(0.3, 0.9)) if rng.random() < 0.25 else 0.0,
        family=kind,
    )


def _wild(rng: np.random.Generator) -> Contrast:
    means = {t: float(rng.random()) for t in Tissue}
    return _scanner(rng, "WILD", means | {Tissue.AIR: 0.01}, 1.0)
