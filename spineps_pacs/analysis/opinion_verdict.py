"""How two namings of one series stand to each other: the verdict, and its sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import ceil, copysign

from spineps_pacs.analysis.opinion_pairs import Pair
from spineps_pacs.domain.anatomy import LEVEL_IDS, SACRUM_ID, VERTEBRAE

TRANSITIONS = frozenset(LEVEL_IDS[n] for n in ("T11", "T12", "T13", "L1", "L4", "L5", "L6", "S1"))


class Verdict(StrEnum):
    """How two namings of a series stand to each other."""

    AGREE = "agree"
    SHIFTED = "shifted"
    TRANSITION = "differ at the transition"
    DIFFER = "differ"
    ONE_ONLY = "only one could name"
    NEITHER = "neither could name"


@dataclass(frozen=True)
class Comparison:
    """The verdict on one series, its sentence, and by how many levels the second lies below the first if shifted.

    A sacrum that both see takes no part in a shift.
    """

    verdict: Verdict
    sentence: str
    shift: int | None = None
    differing: tuple[int, ...] = ()


def compare(pairs: Sequence[Pair], first: str = "spineps", second: str = "small-fov") -> Comparison:
    """How two namings of one series stand to each other."""
    named = {first: any(p.level is not None for p in pairs), second: any(p.other_level is not None for p in pairs)}
    able = [who for who, named_any in named.items() if named_any]
    if not able:
        return Comparison(Verdict.NEITHER, "neither labeller could name the vertebrae")
    if len(able) == 1:
        return Comparison(Verdict.ONE_ONLY, f"only {able[0]} could name the vertebrae")
    both = [p for p in pairs if p.both]
    if not both:
        return Comparison(Verdict.DIFFER, f"{first} and {second} named no vertebra in common")
    return _compared(both, f"{first} and {second}", second)


def _compared(both: Sequence[Pair], who: str, second: str) -> Comparison:
    away = [p.difference for p in both]
    apart = tuple(p.instance for p in both if not p.agree and p.instance is not None)
    if not apart:
        return Comparison(Verdict.AGREE, f"{who} agree on {len(both)} vertebrae")
    example = next(p for p in both if not p.agree)
    told = f"{_name(example.level)} is {_name(example.other_level)} in {second}"
    shift = _shift([p for p in both if not (p.agree and p.level == SACRUM_ID)])
    if shift:
        above = " above the sacrum" if len(apart) < len(both) else ""
        sentence = f"{who} differ by {abs(shift)} on all vertebrae{above}: {told}"
        return Comparison(Verdict.SHIFTED, sentence, shift, apart)
    if _only_at_transitions(both, away):
        sentence = f"{who} differ at the transition, on {len(apart)} of {len(both)} vertebrae: {told}"
        return Comparison(Verdict.TRANSITION, sentence, None, apart)
    sentence = f"{who} differ on {len(apart)} of {len(both)} vertebrae: {told}"
    return Comparison(Verdict.DIFFER, sentence, None, apart)


def _shift(both: Sequence[Pair]) -> int:
    """By how much all differ, 0 where they do not alike; L5 called L6 is one further down, as L4 called L5 is.

    One that differs by half a place alone, as L5 and L6 do, is no shift: that is what the transition is about.
    """
    away = [p.difference for p in both]
    steps = {int(copysign(ceil(abs(step)), step)) for step in away}
    return steps.pop() if len(steps) == 1 and any(step.is_integer() for step in away) else 0


def _only_at_transitions(both: Sequence[Pair], away: Sequence[float]) -> bool:
    """True when differences change only next to the thoracolumbar or lumbosacral transition, and some are none."""
    changes = [pair for pair, (a, b) in zip(pairwise(both), pairwise(away), strict=True) if a != b]
    near = [any(level in TRANSITIONS for p in pair for level in (p.level, p.other_level)) for pair in changes]
    return (0 in away and all(near)) or all(0 < abs(step) < 1 for step in away)


def _name(level: int | None) -> str:
    return VERTEBRAE[level].name if level is not None else "a vertebra"
