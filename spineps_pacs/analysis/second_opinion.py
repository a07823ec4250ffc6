"""Two labellers that check each other: one verdict per series, one confidence per vertebra, and why.

Names go in and names come out; no voxel is looked at here (opinion_pairs.py says which vertebrae are the same).
Trusts are stated, not measured: how often a labeller, or an anchor, is right about a whole series.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod
from typing import Literal

from spineps_pacs.analysis.levels import anomalies
from spineps_pacs.analysis.opinion_pairs import L6, T13, USUAL, Pair, by_overlap, place
from spineps_pacs.analysis.opinion_verdict import Comparison, Verdict, compare
from spineps_pacs.analysis.pieces import Labels
from spineps_pacs.domain.anatomy import LEVEL_IDS, SACRUM_ID, VERTEBRAE
from spineps_pacs.domain.masks import UNCONFIRMED, LevelChoice, LevelMethod, Levels
from spineps_pacs.domain.report import Flag

Names = dict[int, int]
"""The leader's instance to a level."""
WRONG_WAYS = 4
"""In how many ways a naming is usually wrong: one up or down, and one at either transition."""
UNKNOWN = 0.5
"""How likely a vote fits a naming that nobody proposed."""
DISAGREE = "labellers-disagree"


@dataclass(frozen=True)
class Vote:
    """What else speaks about names: instance and level each, one source, trusted 0..1 as a whole.

    `usual` is a vote that takes the usual number of vertebrae for granted; an anomaly that both see answers it.
    """

    source: str
    names: tuple[tuple[int, int], ...]
    trust: float
    usual: bool = False


@dataclass(frozen=True)
class OpinionSettings:
    """What a site chooses.

    `leader` gives the names that are shown. `on_disagreement`: name and flag, or withhold names and count. `anchors`:
    a vote against names that both labellers gave flags them, or only weighs. Below `least_confidence` all is flagged.
    """

    leader: Literal["spineps", "small-fov"] = "spineps"
    on_disagreement: Literal["flag", "withhold"] = "flag"
    anchors: Literal["flag", "weigh"] = "flag"
    least_confidence: float = 0.9
    trust: Mapping[str, float] = field(default_factory=lambda: {"spineps": 0.95, "small-fov": 0.9})


@dataclass(frozen=True)
class Said:
    """The comparison, the names to show, the other labeller's, the belief in each shown, and what else was said."""

    found: Comparison
    shown: Names
    others: Names
    belief: Mapping[int, float]
    votes: tuple[Vote, ...]


@dataclass(frozen=True)
class Opinion:
    """The joined names. `table` moves the first labeller's instance ids to those that `levels` speaks of.

    `heard` is what the second calls each of those.
    """

    levels: Levels
    flags: tuple[Flag, ...]
    comparison: Comparison
    confidence: float | None
    table: tuple[tuple[int, int], ...] = ()
    heard: tuple[tuple[int, str], ...] = ()


def anchor_votes(ordered: Sequence[int], *, sacrum: bool, axis: bool, last_rib: int | None = None) -> tuple[Vote, ...]:
    """Anchors that need no network, for instances from the head down.

    `sacrum`: it follows the lowest one (L5 in nine spines of ten). `axis`: the topmost has a dens, so it is C2.
    `last_rib`: the instance that bears the last rib (T12).
    """
    found = []
    if ordered and sacrum:
        found.append(Vote("the sacrum in view", ((ordered[-1], LEVEL_IDS["L5"]),), 0.9, usual=True))
    if ordered and axis:
        found.append(Vote("the dens in view", ((ordered[0], LEVEL_IDS["C2"]),), 0.97))
    if last_rib is not None:
        found.append(Vote("the last rib", ((last_rib, LEVEL_IDS["T12"]),), 0.9))
    return tuple(found)


def said_by(source: str, names: Mapping[int, int], trust: float) -> Vote:
    """A neighbouring station ("the station above") or "an earlier study": its names for the instances they share."""
    return Vote(source, tuple(names.items()), trust)


def second_opinion(
    first: tuple[Labels, Levels],
    second: tuple[Labels, Levels],
    votes: Sequence[Vote] = (),
    settings: OpinionSettings | None = None,
) -> Opinion:
    """The two results (instance mask in ids of the project, and names) on one grid, joined."""
    pairs, wanted = by_overlap(first, second), settings or OpinionSettings()
    if all(p.level is None for p in pairs):  # nobody checks the second: its own doubt counts
        least = min((c.confidence for c in second[1].choices if c.confidence is not None), default=1.0)
        wanted = replace(wanted, trust={**wanted.trust, "small-fov": min(wanted.trust["small-fov"], least)})
    found = opinion(pairs, votes, wanted)
    if found.levels.method is LevelMethod.COUNTED or found.table:
        return found
    return replace(found, levels=replace(found.levels, margin=first[1].margin))


def opinion(pairs: Sequence[Pair], votes: Sequence[Vote] = (), settings: OpinionSettings | None = None) -> Opinion:
    """The names to show, flagged or withheld as the settings say.

    Pairs have SPINEPS first, from the head down. What only the second labeller has drawn takes no part in the names.
    """
    seen = [p for p in pairs if p.instance is not None]
    found = _opinion(seen, votes, settings or OpinionSettings())
    moved = dict(found.table)
    said = ((moved.get(p.instance, p.instance), p.other_level) for p in seen if p.instance is not None)
    return replace(found, heard=tuple((i, VERTEBRAE[level].name) for i, level in said if level is not None))


def _opinion(seen: Sequence[Pair], votes: Sequence[Vote], wanted: OpinionSettings) -> Opinion:
    found = compare(seen)
    proposed = {who: names for who, names in (("spineps", _first(seen)), ("small-fov", _second(seen))) if names}
    shown = _shown(seen, proposed, wanted.leader)
    if not shown:
        return Opinion(_counted(seen, found.sentence), _doubt(found), found, None)
    heard = tuple(vote for vote in votes if any(i in shown for i, _ in vote.names))
    who = next(who for who, names in proposed.items() if names == shown)
    others = next((names for other, names in proposed.items() if other != who), {})
    said = Said(found, shown, others, _belief(shown, proposed, heard, wanted.trust), heard)
    reason = _reason(said, who)
    least = min(said.belief.values())
    if _sure(said, seen, wanted):
        return Opinion(_levels(seen, said, reason), (), found, least, _moves(shown))
    if wanted.on_disagreement == "withhold":
        withheld = f"names are withheld: {reason}"
        return Opinion(_counted(seen, withheld), (Flag(DISAGREE, withheld, found.differing),), found, least)
    moved = dict(_moves(shown))
    flag = Flag(DISAGREE, reason, tuple(moved.get(i, i) for i in found.differing))
    doubted = set(found.differing or shown)
    return Opinion(_marked(_levels(seen, said, reason), doubted, moved), (flag,), found, least, _moves(shown))


def _doubt(found: Comparison) -> tuple[Flag, ...]:
    """Nothing can be shown: a flag, unless there was nothing to disagree about."""
    return () if found.verdict is Verdict.NEITHER else (Flag(DISAGREE, found.sentence, found.differing),)


def _first(seen: Sequence[Pair]) -> Names:
    return {p.instance: p.level for p in seen if p.instance is not None and p.level is not None}


def _second(seen: Sequence[Pair]) -> Names:
    """The second's names for the first's vertebrae; gaps and ends are counted on from its neighbours."""
    if not any(p.other_level for p in seen):
        return {}
    bones = [(p.instance, p.other_level) for p in seen if p.instance is not None and p.instance != SACRUM_ID]
    levels = [level for _, level in bones]
    for at in range(1, len(levels)):
        levels[at] = levels[at] or _next(levels[at - 1], 1)
    for at in range(len(levels) - 2, -1, -1):
        levels[at] = levels[at] or _next(levels[at + 1], -1)
    names = {i: level for (i, _), level in zip(bones, levels, strict=True) if level is not None}
    sacrum = [p.other_level or SACRUM_ID for p in seen if p.instance == SACRUM_ID]
    return {**names, SACRUM_ID: sacrum[0]} if sacrum else names


def _next(level: int | None, step: int) -> int | None:
    if level not in USUAL:
        return None
    at = USUAL.index(level) + step
    return USUAL[at] if 0 <= at < len(USUAL) - 1 else None


def _shown(seen: Sequence[Pair], proposed: Mapping[str, Names], leader: str) -> Names:
    """The leader's names, else the other's; each only if every vertebra has one and they run downwards."""
    bones = [p.instance for p in seen if p.instance is not None and p.instance != SACRUM_ID]
    for who in sorted(proposed, key=lambda who: who != leader):
        row = [proposed[who].get(i) for i in bones]
        if None not in row and all(place(a) < place(b) for a, b in pairwise(r for r in row if r is not None)):
            return proposed[who]
    return {}


def _belief(
    shown: Names, proposed: Mapping[str, Names], votes: Sequence[Vote], trust: Mapping[str, float]
) -> dict[int, float]:
    """For each vertebra how much of the belief lies in namings that give it the name that is shown."""
    candidates = list({tuple(sorted(names.items())): names for names in proposed.values()}.values())
    masses = [_mass(names, proposed, votes, trust) for names in candidates]
    wrong = prod(1 - trust[who] for who in proposed) / WRONG_WAYS ** (len(proposed) - 1)
    whole = sum(masses) + wrong * UNKNOWN ** len(votes)
    return {
        i: sum(m for m, names in zip(masses, candidates, strict=True) if names.get(i) == level) / whole
        for i, level in shown.items()
    }


def _mass(names: Names, proposed: Mapping[str, Names], votes: Sequence[Vote], trust: Mapping[str, float]) -> float:
    labellers = (trust[who] if said == names else (1 - trust[who]) / WRONG_WAYS for who, said in proposed.items())
    return prod(labellers) * prod(vote.trust if fits(vote, names) else 1 - vote.trust for vote in votes)


def fits(vote: Vote, names: Names) -> bool:
    """True when a vote says nothing against a naming."""
    return all(names.get(i, level) == level for i, level in vote.names)


def _sure(said: Said, seen: Sequence[Pair], wanted: OpinionSettings) -> bool:
    """Both agree, on half of the vertebrae at least; or what else votes speaks for the names shown.

    When only one could name, any vote for it will do. When all names of the other are shifted, it must be one that
    speaks against those; that L5 is the usual last one says nothing where the other counted from the same sacrum. When
    some names differ, votes must hold the names shown at both ends, and one of them speak against the other's.
    """
    against = any(not fits(v, said.shown) and not (v.usual and _explained(v, said)) for v in said.votes)
    if min(said.belief.values()) < wanted.least_confidence or (against and wanted.anchors == "flag"):
        return False
    if said.found.verdict is Verdict.ONE_ONLY:
        return bool(said.votes) and not against
    settles = said.found.verdict is Verdict.SHIFTED or (
        said.found.verdict in {Verdict.DIFFER, Verdict.TRANSITION} and _held_at_both_ends(said)
    )
    if settles:
        counted = any(p.agree and p.level == SACRUM_ID for p in seen)
        return not against and any(not fits(v, said.others) and not (v.usual and counted) for v in said.votes)
    return said.found.verdict is Verdict.AGREE and 2 * sum(p.both for p in seen) >= len(seen)


def _held_at_both_ends(said: Said) -> bool:
    """One vote names the topmost vertebra and another the lowest one, so that only so many fit in between."""
    bones = [i for i in said.shown if i != SACRUM_ID]
    heard = [{v.source for v in said.votes if end in dict(v.names)} for end in (*bones[:1], *bones[-1:])]
    return all(heard) and len(set().union(*heard)) > 1


def _explained(vote: Vote, said: Said) -> bool:
    """Both labellers agree on L6, or on L4 where L5 would be: the one vertebra that the sacrum is wrong about."""
    return said.found.verdict is Verdict.AGREE and all(
        said.shown.get(i) in {LEVEL_IDS["L4"], L6} and said.others.get(i) == said.shown.get(i) for i, _ in vote.names
    )


def _reason(said: Said, who: str) -> str:
    parts = [said.found.sentence]
    if said.found.verdict is not Verdict.AGREE:
        parts.append(f"names by {who}")
    parts += [f"{v.source} speaks {'for' if fits(v, said.shown) else 'against'} them" for v in said.votes]
    parts.append(f"joined confidence {min(said.belief.values()):.3f}")
    return "; ".join(parts)


def _levels(seen: Sequence[Pair], said: Said, reason: str) -> Levels:
    named = [p.instance for p in seen if p.instance in said.shown and p.instance != SACRUM_ID]
    bones = [(i, said.shown[i]) for i in named if i is not None]
    choices = tuple(
        LevelChoice(level, n, level, round(said.belief[i], 6), (VERTEBRAE[level].name,) if level in {T13, L6} else ())
        for n, (i, level) in enumerate(bones, start=1)
    )
    unusual = anomalies([level for _, level in bones], sacrum_follows=SACRUM_ID in said.shown)
    return Levels(LevelMethod.MODEL, choices, None, unusual, reason)


def _marked(levels: Levels, doubted: Collection[int], moved: Mapping[int, int]) -> Levels:
    """The same names, those of the doubted instances marked as unconfirmed."""
    marks = {moved.get(i, i) for i in doubted}
    choices = (replace(c, flags=(*c.flags, UNCONFIRMED)) if c.instance in marks else c for c in levels.choices)
    return replace(levels, choices=tuple(choices))


def _counted(seen: Sequence[Pair], reason: str) -> Levels:
    rows = [p.instance for p in seen if p.instance is not None and p.instance != SACRUM_ID]
    choices = tuple(LevelChoice(i, n, None) for n, i in enumerate(rows, start=1))
    return Levels(LevelMethod.COUNTED, choices, reason=reason)


def _moves(shown: Names) -> tuple[tuple[int, int], ...]:
    return tuple((old, new) for old, new in shown.items() if old not in {new, SACRUM_ID})
