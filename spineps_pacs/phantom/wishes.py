"""What one may ask of a phantom spine: normal variants and pathologies."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Wishes:
    """The spine that is asked for; levels are names such as "L4".

    `levels` is the range that a study's field of view must show ("C2-S1"); the anatomy always goes on beyond it.
    `missing_disc`, `merged` name the upper vertebra of a pair: no disc below it; fused with the one below it.
    `fracture`, `haemangioma` and `gap` (removed laminae and spinous process) name vertebrae, `metal` the upper of two
    vertebrae with pedicle screws, `listhesis` the vertebra that has slipped forward and by how many millimetres.
    `degeneration` is 0 (young) to 1 (all discs dark and low); `scoliosis` is the Cobb angle in degrees.
    `crop` is the part (head, tail) of the range, 0..1 each, that the field of view cuts off.
    """

    levels: str = "C2-S1"
    thoracic: int = 12
    lumbar: int = 5
    sacralisation: bool = False
    missing_disc: str | None = None
    merged: str | None = None
    scoliosis: float = 0.0
    degeneration: float = 0.2
    fracture: tuple[tuple[str, float], ...] = ()
    listhesis: tuple[tuple[str, float], ...] = ()
    haemangioma: tuple[str, ...] = ()
    metal: str | None = None
    gap: str | None = None
    ribs: bool = True
    stenosis: tuple[tuple[str, float], ...] = ()
    osteophytes: float = 0.0
    size: float = 1.0
    crop: tuple[float, float] = field(default=(0.0, 0.0))

    def __post_init__(self) -> None:
        if self.thoracic not in (11, 12, 13):
            raise ValueError(f"a phantom has 11, 12 or 13 thoracic vertebrae, not {self.thoracic}")
        if self.lumbar not in (4, 5, 6):
            raise ValueError(f"a phantom has 4, 5 or 6 lumbar vertebrae, not {self.lumbar}")
        present = level_names(self.thoracic, self.lumbar)
        for name in self._named():
            if name not in present[:-1]:
                raise ValueError(f"this spine has no {name} of which one could wish that")
        self._check_range(present)
        self._check_amounts()

    def _check_range(self, present: tuple[str, ...]) -> None:
        names = self.levels.split("-")
        if len(names) != 2 or not set(names) <= set(present) or present.index(names[0]) > present.index(names[1]):
            raise ValueError(f"levels run from the head down, as C2-S1, and are those of the spine, not {self.levels}")
        if min(self.crop) < 0 or sum(self.crop) >= 0.9:
            raise ValueError(f"a field of view cannot lose {self.crop[0]} of its head and {self.crop[1]} of its tail")

    def _check_amounts(self) -> None:
        for what, value, least, most in (
            ("degeneration", self.degeneration, 0, 1),
            ("scoliosis", self.scoliosis, 0, 60),
            ("osteophytes", self.osteophytes, 0, 2),
            ("size", self.size, 0.5, 1.4),
            *(("fracture", x, 0, 0.7) for _, x in self.fracture),
            *(("listhesis", x, -12, 15) for _, x in self.listhesis),
            *(("stenosis", x, 0, 0.7) for _, x in self.stenosis),
        ):
            if not least <= value <= most:
                raise ValueError(f"{what} lies between {least} and {most}, not {value}")

    def _named(self) -> list[str]:
        pairs = [name for name, _ in (*self.fracture, *self.listhesis, *self.stenosis)]
        single = [name for name in (self.missing_disc, self.merged, self.metal, self.gap) if name]
        return [*pairs, *single, *self.haemangioma]


def level_names(thoracic: int = 12, lumbar: int = 5) -> tuple[str, ...]:
    """The levels of such a spine from C2 down to S1."""
    cervical = [f"C{n}" for n in range(2, 8)]
    return (*cervical, *(f"T{n}" for n in range(1, thoracic + 1)), *(f"L{n}" for n in range(1, lumbar + 1)), "S1")


def random_wishes(rng: np.random.Generator) -> Wishes:
    """Draws a spine as they come: mostly ordinary, each variant and pathology in roughly one of ten."""
    thoracic = int(rng.choice([11, 12, 13], p=[0.06, 0.88, 0.06]))
    lumbar = int(rng.choice([4, 5, 6], p=[0.06, 0.87, 0.07]))
    names = [n for n in level_names(thoracic, lumbar) if n != "S1"]
    inner, lower = names[1:-1], names[-6:]

    def some(chance: float) -> bool:
        return bool(rng.random() < chance)

    def one(of: list[str]) -> str:
        return str(rng.choice(of))

    breaks = 1 + int(rng.integers(0, 3))
    return Wishes(
        thoracic=thoracic,
        lumbar=lumbar,
        sacralisation=some(0.08),
        missing_disc=one(inner) if some(0.06) else None,
        merged=one(inner) if some(0.07) else None,
        scoliosis=float(rng.uniform(8, 30)) if some(0.2) else float(rng.uniform(0, 4)),
        degeneration=float(rng.beta(1.3, 1.7)),
        fracture=tuple((one(names[8:]), float(rng.uniform(0.2, 0.6))) for _ in range(breaks)) if some(0.12) else (),
        listhesis=((one(lower), float(rng.uniform(3, 10)) * (1 if some(0.75) else -0.6)),) if some(0.12) else (),
        haemangioma=tuple(one(inner) for _ in range(breaks)) if some(0.15) else (),
        metal=one(lower[:-1]) if some(0.1) else None,
        gap=one(lower) if some(0.1) else None,
        ribs=True,
        stenosis=tuple((one(names), float(rng.uniform(0.2, 0.5))) for _ in range(breaks)) if some(0.25) else (),
        osteophytes=float(rng.uniform(0.2, 1.0)) if some(0.35) else float(rng.uniform(0, 0.2)),
        size=float(np.clip(rng.normal(1.0, 0.07), 0.82, 1.18)),
    )
