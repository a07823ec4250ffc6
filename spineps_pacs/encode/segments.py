"""What becomes a segment: the structures and levels that are present, with number, label, codes and colour."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.anatomy import (
    BODY,
    DISC,
    DISC_OFFSET,
    ENDPLATE_OFFSET,
    HEAD_TO_TAIL,
    LEVEL_IDS,
    RGB,
    SACRUM,
    SACRUM_ID,
    SPINE,
    STRUCTURES,
    VERTEBRA,
    VERTEBRAE,
    VERTEBRAE_BELOW,
    Code,
    Structure,
    counted_rgb,
    disc_code,
    disc_name,
    disc_rgb,
    private,
)
from spineps_pacs.domain.masks import UNCONFIRMED, LevelChoice
from spineps_pacs.domain.report import Report

_ANOMALOUS = {LEVEL_IDS["T13"], LEVEL_IDS["L6"]}


@dataclass(frozen=True)
class Segment:
    """One segment: its number in the SEG, what viewers list, and the mask values that make it.

    `key` names it across runs (tracking). `code` is its property type, `side` the modifier of that. `finding` is what
    it is in general, `site` where it lies as the report says it, `level` the code whose meaning is the name a reader
    looks for. `instance` is the id in the instance mask, 0 for a structure.
    """

    number: int
    label: str
    key: str
    ids: tuple[int, ...]
    code: Code
    side: Code | None
    region: Code
    rgb: RGB
    finding: Code
    level: Code
    body: Code
    instance: int = 0
    choice: LevelChoice | None = None

    @property
    def tracked(self) -> str:
        """The name under which it is followed; the sacrum is a structure and a level, and each has its own."""
        return self.label if self.instance else f"{self.label} (structure)"

    @property
    def disc(self) -> bool:
        """True for an intervertebral disc."""
        return self.instance > DISC_OFFSET


def structure_segments(report: Report) -> tuple[Segment, ...]:
    """The structures that have voxels, in the order of the paper's table."""
    present = present_ids(report.structures.labels)
    found = (_structure(item) for item in STRUCTURES if present.intersection(item.ids))
    return tuple(replace(segment, number=n) for n, segment in enumerate(found, start=1))


def absent_structures(report: Report) -> tuple[str, ...]:
    """Names of the structures without a voxel."""
    present = present_ids(report.structures.labels)
    return tuple(item.name for item in STRUCTURES if not present.intersection(item.ids))


def level_segments(report: Report) -> tuple[Segment, ...]:
    """Vertebrae and sacrum from the head down, then discs from the head down."""
    present = sorted(present_ids(report.instances.labels))
    choices = _ordered(report, [i for i in present if i < VERTEBRAE_BELOW])
    known = {choice.instance: n for n, choice in enumerate(choices)}
    bones = [_vertebra(choice) for choice in choices if choice.instance in present]
    discs = [i for i in present if DISC_OFFSET < i < ENDPLATE_OFFSET]
    discs.sort(key=lambda i: known.get(i - DISC_OFFSET, -1))  # none above it: it lies over the topmost
    return numbered(_distinct([*bones, *(_disc(i, choices) for i in discs)]))


def present_ids(labels: NDArray[np.integer]) -> set[int]:
    """The ids that have a voxel, counted slice by slice: quicker than sorting all voxels, and small in memory."""
    found: set[int] = set()
    for plane in labels:
        found.update(np.flatnonzero(np.bincount(plane.ravel())).tolist())
    return found - {0}


def numbered(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """The same segments, counted from 1."""
    return tuple(replace(segment, number=n) for n, segment in enumerate(segments, start=1))


def picked(segments: Iterable[Segment], wanted: Callable[[Segment], bool]) -> tuple[Segment, ...]:
    """Those that are wanted, counted anew."""
    return numbered(segment for segment in segments if wanted(segment))


def relabelled(labels: NDArray[np.integer], segments: Iterable[Segment]) -> NDArray[np.uint8]:
    """The mask with each segment's number in place of its ids; what belongs to no segment becomes 0."""
    table = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.uint8)
    for segment in segments:
        for value in segment.ids:
            if value < len(table):
                table[value] = segment.number
    return np.asarray(table[labels])


def _structure(item: Structure) -> Segment:
    return Segment(
        0, item.name, f"structure {item.id}", item.ids, item.code, item.side, item.region, item.rgb, item.code,
        item.code, item.code,
    )  # fmt: skip


def _ordered(report: Report, present: list[int]) -> list[LevelChoice]:
    """The choices from the head down; a vertebra that nobody spoke of follows as one that is only counted."""
    named = sorted(report.levels.choices, key=lambda choice: choice.position)
    known = {choice.instance for choice in named}
    last = max((choice.position for choice in named), default=0)
    rest = [i for i in present if i not in known]
    return [*named, *(LevelChoice(i, last + n, None) for n, i in enumerate(rest, start=1))]


def _level(choice: LevelChoice) -> int | None:
    return SACRUM_ID if choice.instance == SACRUM_ID else choice.level


def _vertebra(choice: LevelChoice) -> Segment:
    level = _level(choice)
    if level is None:
        label = f"vertebra {choice.position} (counted)"
        site = private(f"VCOUNT{choice.position}", f"Vertebra {choice.position} (counted)")
        colour = counted_rgb(choice.position)
        key = f"counted {choice.position}"
        return Segment(
            0, label, key, (choice.instance,), VERTEBRA, None, SPINE, colour, VERTEBRA, site, BODY, choice.instance,
            choice,
        )  # fmt: skip
    known = VERTEBRAE[level]
    label, finding = ("Sacrum", SACRUM) if level == SACRUM_ID else (known.name + _doubt(choice), VERTEBRA)
    return Segment(
        0, label, known.name, (choice.instance,), known.code, None, known.region, known.rgb, finding, known.code,
        known.body, choice.instance, choice,
    )  # fmt: skip


def _doubt(choice: LevelChoice | None) -> str:
    """A question mark behind a name that the second labeller does not confirm."""
    return "?" if choice is not None and UNCONFIRMED in choice.flags else ""


def _disc(instance: int, choices: list[LevelChoice]) -> Segment:
    above = instance - DISC_OFFSET
    place = next((n for n, choice in enumerate(choices) if choice.instance == above), None)
    if place is None and choices:
        return _topmost_disc(instance, choices[0])
    choice = choices[place] if place is not None else LevelChoice(above, above, None)
    upper = _level(choice)
    if upper is None or upper == SACRUM_ID:
        return _disc_below(instance, choice)
    below = choices[place + 1] if place is not None and place + 1 < len(choices) else None
    lower = (_level(below) if below else None) or _usual_next(upper)
    return replace(_named_disc(instance, (upper, lower), choice), choice=choice)


def _topmost_disc(instance: int, first: LevelChoice) -> Segment:
    """The disc over the topmost vertebra, whose upper neighbour is out of view: it is named by the lower one."""
    lower = first.level
    if lower is None or lower == HEAD_TO_TAIL[0]:
        site = private("DCOUNT0", "Disc above vertebra 1 (counted)")
        return _counted_disc(instance, ("disc above vertebra 1 (counted)", "disc above counted 1", site), 0)
    return _named_disc(instance, (_usual_before(lower), lower), first)


def _named_disc(instance: int, pair: tuple[int, int], doubted: LevelChoice) -> Segment:
    """The disc between two levels; its name is as sure as the choice that it comes from."""
    upper, names = pair[0], (VERTEBRAE[pair[0]].name, VERTEBRAE[pair[1]].name)
    code = disc_code(*names)
    return Segment(
        0, disc_name(*names) + _doubt(doubted), disc_name(*names), (instance,), code, None, VERTEBRAE[upper].region,
        disc_rgb(upper), DISC, code, DISC, instance,
    )  # fmt: skip


def _disc_below(instance: int, choice: LevelChoice) -> Segment:
    n = choice.position
    site = private(f"DCOUNT{n}", f"Disc below vertebra {n} (counted)")
    names = f"disc below vertebra {n} (counted)", f"disc below counted {n}", site
    return replace(_counted_disc(instance, names, n), choice=choice)


def _counted_disc(instance: int, names: tuple[str, str, Code], position: int) -> Segment:
    """A disc without a level; `names` are its label, its key and its code."""
    label, key, site = names
    r, g, b = counted_rgb(position)
    colour = ((2 * r + 255) // 3, (2 * g + 255) // 3, (2 * b + 255) // 3)  # as domain/anatomy.py does for named ones
    return Segment(0, label, key, (instance,), DISC, None, SPINE, colour, DISC, site, DISC, instance)


def _usual_next(level: int) -> int:
    """The level below in a spine without anomalies."""
    after = HEAD_TO_TAIL[HEAD_TO_TAIL.index(level) + 1 :]
    return next(i for i in after if i not in _ANOMALOUS)


def _usual_before(level: int) -> int:
    """The level above in a spine without anomalies."""
    before = HEAD_TO_TAIL[: HEAD_TO_TAIL.index(level)]
    return next(i for i in reversed(before) if i not in _ANOMALOUS)


def _distinct(segments: list[Segment]) -> list[Segment]:
    """No two with the same label: the second becomes "T12 (2)"."""
    seen: dict[str, int] = {}
    result = []
    for segment in segments:
        seen[segment.label] = count = seen.get(segment.label, 0) + 1
        mark = f" ({count})" if count > 1 else ""
        result.append(replace(segment, label=segment.label + mark, key=segment.key + mark))
    return result
