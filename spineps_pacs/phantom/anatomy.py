"""Draws a whole spine: sizes with their spread, posture, degeneration, normal variants and pathologies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spineps_pacs.domain.anatomy import LEVEL_IDS
from spineps_pacs.phantom.grid import draw_waves
from spineps_pacs.phantom.posture import Piece, balanced, hang, stack
from spineps_pacs.phantom.sizes import POSITIONS, SACRUM, body_wedge, disc_wedge, vertebra_sizes
from spineps_pacs.phantom.spine import Body, Disc, Node, Placed, Posterior, Segment, Spine, Vertebra
from spineps_pacs.phantom.wishes import Wishes, level_names

Rng = np.random.Generator
NECK = 6
"""Vertebrae of the neck from C2 to C7."""


@dataclass(frozen=True)
class _Habit:
    """What the whole spine has in common: scale, robustness, curves, side differences, conus."""

    scale: float
    width: float
    slope: float
    lumbar: float
    thoracic: float
    cervical: float
    conus: float
    bend: float
    bend_at: float
    side: float
    lean: float
    gaze: float


def draw_spine(seed: int, wishes: Wishes) -> Spine:
    """The spine of this seed with these wishes; the same pair always gives the same spine."""
    rng = np.random.default_rng([seed, 7301])
    habit = _habit(rng, wishes)
    names = [n for n in level_names(wishes.thoracic, wishes.lumbar) if n != "S1"]
    drawn = [_vertebra(_own(seed, name, 1), habit, wishes, name, names) for name in names]
    pieces = [_piece(_own(seed, v.name, 2), habit, wishes, v) for v in reversed(drawn)]
    pieces, slope = balanced(pieces, NECK, habit.slope, habit.lean, habit.gaze)
    sacrum, coccyx = _sacrum(rng, habit, slope)
    drawn, sacrum = _flattened(drawn, sacrum)
    placed = list(reversed(stack(pieces, slope, sacrum[0].body.depth)))
    shift = -(placed[0].origin + sacrum[-1].placed.origin) / 2
    shift[1] = -np.mean([p.origin[1] for p in placed])
    return Spine(
        seed=seed,
        wishes=wishes,
        vertebrae=tuple(replace(v, placed=_moved(p, shift)) for v, p in zip(drawn, placed, strict=True)),
        sacrum=tuple(replace(s, placed=_moved(s.placed, shift)) for s in sacrum),
        coccyx=tuple(replace(s, placed=_moved(s.placed, shift)) for s in coccyx),
        conus=habit.conus,
        roughness=draw_waves(rng, 7.0, 30.0, 18),
        fat=float(rng.uniform(0.6, 1.7)),
        muscle=float(rng.uniform(0.0, 1.0)),
        scale=habit.scale,
        flow=float(rng.uniform(0, 1)),
        sacralised=float(rng.uniform(0.7, 1.0)) if wishes.sacralisation else 0.0,
    )


def _own(seed: int, name: str, purpose: int) -> Rng:
    """A level's own generator, so that a wish for one level leaves the others as they are."""
    return np.random.default_rng([seed, 7301, purpose, LEVEL_IDS[name]])


def _flattened(drawn: list[Vertebra], sacrum: list[Segment]) -> tuple[list[Vertebra], list[Segment]]:
    """Where a disc is missing, the two endplates that meet are flat."""
    found, above = [], True
    for v in drawn:
        upper, lower = v.body.hollow
        hollow = (upper if above else 0.0, lower if v.disc.present else 0.0)
        found.append(replace(v, body=replace(v.body, hollow=hollow)))
        above = v.disc.present
    if not above:
        sacrum = [replace(sacrum[0], body=replace(sacrum[0].body, hollow=(0.0, 0.0))), *sacrum[1:]]
    return found, sacrum


def _moved(placed: Placed, shift: np.ndarray) -> Placed:
    return Placed(placed.origin + shift, placed.axes)


def _habit(rng: Rng, wishes: Wishes) -> _Habit:
    lordosis = float(np.clip(rng.normal(1.1, 0.22), 0.45, 1.5))
    return _Habit(
        scale=wishes.size * float(np.clip(rng.normal(1.0, 0.02), 0.95, 1.05)),
        width=float(np.clip(rng.normal(1.0, 0.04), 0.9, 1.1)),
        slope=float(np.clip(39 * (0.5 + lordosis / 2) + rng.normal(0, 3), 22, 54)),
        lumbar=lordosis,
        thoracic=float(np.clip(0.45 * lordosis + rng.normal(0.48, 0.17), 0.45, 1.5)),
        cervical=float(np.clip(rng.normal(0.8, 0.5), -0.6, 1.9)),
        conus=float(np.clip(rng.normal(19.9, 0.6), 18.6, 21.4)),
        bend=wishes.scoliosis,
        bend_at=float(rng.uniform(10, 22)),
        side=float(rng.choice([-1.0, 1.0])),
        lean=float(rng.normal(0, 15)),
        gaze=float(rng.normal(6, 7)),
    )


def _vertebra(rng: Rng, habit: _Habit, wishes: Wishes, name: str, names: list[str]) -> Vertebra:
    position = POSITIONS[name]
    sizes = {
        k: v * habit.scale * float(np.clip(rng.normal(1, 0.03), 0.92, 1.08))
        for k, v in vertebra_sizes(position).items()
    }
    ribs = name.startswith("T") and wishes.ribs
    merged = wishes.merged == name
    blob = (*rng.uniform(-0.2, 0.2, 3), float(rng.uniform(4, 8.5))) if name in wishes.haemangioma else None
    return Vertebra(
        id=LEVEL_IDS[name],
        name=name,
        position=position,
        placed=Placed(np.zeros(3), np.eye(3)),
        body=_body(rng, habit, wishes, name, sizes),
        posterior=_posterior(rng, wishes, name, sizes, position),
        disc=_disc(rng, wishes, name, sizes, names),
        ribs=ribs,
        dens=15.5 * habit.scale if name == "C2" else 0.0,
        fused_below=merged,
        oedema=any(n == name for n, _ in wishes.fracture) and bool(rng.random() < 0.6),
        modic=_modic(rng, wishes),
        screws=wishes.metal is not None and name in names[names.index(wishes.metal) : names.index(wishes.metal) + 2],
        haemangioma=blob,
    )


def _modic(rng: Rng, wishes: Wishes) -> tuple[float, float]:
    """How deep (mm) fatty or oedematous marrow reaches from the upper and the lower endplate."""
    depths = rng.uniform(3, 9, 2) * (rng.random(2) < 0.3 * wishes.degeneration**2)
    return float(depths[0]), float(depths[1])


def _body(rng: Rng, habit: _Habit, wishes: Wishes, name: str, sizes: dict[str, float]) -> Body:
    position = POSITIONS[name]
    thoracic = 1.0 if 9 <= position <= 18 else 0.0
    hollow = 0.055 * sizes["height"] * rng.uniform(0.5, 1.5, 2)
    collapse = max((amount for n, amount in wishes.fracture if n == name), default=0.0)
    curve = habit.cervical if position < 8 else habit.thoracic if position < 19.8 else habit.lumbar
    at = float(rng.uniform(-1.0, 0.2))
    broken = float(np.degrees(np.arctan(collapse * sizes["height"] / sizes["depth"] * max(0.0, -at))))
    return Body(
        width=sizes["width"] * habit.width,
        depth=sizes["depth"],
        height=sizes["height"] * (1 - 0.55 * collapse),
        wedge=body_wedge(position) * (0.3 + 0.7 * curve) + float(rng.normal(0, 0.7)) - broken,
        hollow=(float(hollow[0]), float(hollow[1])),
        waist=float(rng.uniform(0.04, 0.09)) * (0.5 if position < 8 else 1.0),
        kidney=float(rng.uniform(0.05, 0.08)),
        taper=thoracic * float(rng.uniform(0.1, 0.22)),
        square=float(rng.uniform(0.25, 0.6)),
        cap=(float(rng.uniform(1.0, 1.6)), float(rng.uniform(1.0, 1.6))),
        lip=float(wishes.osteophytes * rng.gamma(2.0, 0.9)) if rng.random() < 0.7 else 0.0,
        collapse=0.3 * collapse,
        collapse_at=at,
        nodes=_nodes(rng, wishes, position),
    )


def _nodes(rng: Rng, wishes: Wishes, position: float) -> tuple[Node, ...]:
    """Schmorl nodes, mostly of the lower thoracic and lumbar spine, the more the more degenerated."""
    chance = (0.02 + 0.12 * wishes.degeneration) * (position > 12)
    return tuple(_node(rng, upper) for upper in (True, False) if rng.random() < chance)


def _node(rng: Rng, upper: bool) -> Node:
    left, back = (float(x) for x in rng.uniform(-0.45, 0.45, 2))
    return Node(upper, left, back, radius=float(rng.uniform(3, 5.5)), depth=float(rng.uniform(2, 5)))


def _posterior(rng: Rng, wishes: Wishes, name: str, sizes: dict[str, float], position: float) -> Posterior:
    spans = sizes["transverse_span"] * rng.normal(1.0, 0.05, 2).clip(0.85, 1.15)
    return Posterior(
        canal_width=sizes["canal_width"],
        canal_depth=sizes["canal_depth"],
        pedicle_width=sizes["pedicle_width"],
        pedicle_height=sizes["pedicle_height"],
        lamina_thickness=sizes["lamina_thickness"],
        lamina_height=sizes["lamina_height"],
        spinous_length=sizes["spinous_length"] * float(rng.uniform(0.85, 1.12)),
        spinous_angle=sizes["spinous_angle"] + float(rng.normal(0, 3)),
        spinous_height=sizes["spinous_height"] * float(rng.uniform(0.88, 1.1)),
        spinous_thickness=sizes["spinous_thickness"],
        spinous_sideways=float(rng.normal(0, 3)),
        transverse_span=(float(spans[0]), float(spans[1])),
        articular=float(rng.uniform(0.9, 1.15)) * (1 + 0.15 * wishes.degeneration * (position > 19)),
        removed=name == wishes.gap,
    )


def _disc(rng: Rng, wishes: Wishes, name: str, sizes: dict[str, float], names: list[str]) -> Disc:
    last = name == names[-1]
    worse = 0.25 if name in (*names[-2:], "C5", "C6") else 0.0
    state = float(np.clip(wishes.degeneration + worse * wishes.degeneration * 2 + rng.normal(0, 0.16), 0, 1))
    height = sizes["disc"] * (1 - 0.45 * max(0.0, state - 0.25))
    bulge = max((a * sizes["canal_depth"] for n, a in wishes.stenosis if n == name), default=0.0)
    if last and wishes.sacralisation:
        return Disc(0.45 * height, 1.0, 0.0)
    if name in (wishes.missing_disc, wishes.merged):
        return Disc(0.0 if name == wishes.merged else 0.4, 1.0, 0.0, present=False)
    return Disc(height, state, bulge + float(rng.uniform(0, 1.6)) * state)


def _piece(rng: Rng, habit: _Habit, wishes: Wishes, v: Vertebra) -> Piece:
    curve = habit.cervical if v.position < 8 else habit.thoracic if v.position < 19.8 else habit.lumbar
    stiff = 0.0 if not v.disc.present else 1.0
    phase = (v.position - habit.bend_at) / 5.5
    tilt = habit.side * habit.bend / 2 * np.sin(phase) * np.exp(-0.12 * phase**2) * np.sqrt(np.e) * 0.75
    slip = sum(mm for n, mm in wishes.listhesis if n == v.name) + float(rng.normal(0, 0.25))
    return Piece(
        height=v.body.height,
        depth=v.body.depth,
        wedge=v.body.wedge,
        disc_height=v.disc.height,
        disc_wedge=stiff * (disc_wedge(v.position) * curve * (1 - 0.4 * v.disc.state) + float(rng.normal(0, 0.9))),
        tilt=float(tilt),
        turn=float(-0.45 * habit.side * habit.bend * np.cos(phase) * np.exp(-0.12 * phase**2)),
        slip=slip,
    )


def _sacrum(rng: Rng, habit: _Habit, slope: float) -> tuple[list[Segment], list[Segment]]:
    rows = [tuple(x * habit.scale for x in SACRUM[n]) for n in SACRUM]
    rows += [(16.0, 9.0, 11.0, 14.0, 0.0, 0.0), (11.0, 8.0, 9.0, 6.0, 0.0, 0.0), (8.0, 6.0, 8.0, 4.0, 0.0, 0.0)]
    bow = float(rng.uniform(0.6, 1.4))
    bends = [0.0, *(np.array([9, 17, 17, 15]) * bow), *(np.array([16, 14, 12]) * bow)]
    placed = hang([r[2] for r in rows], [r[1] for r in rows], bends, slope)
    names = [*SACRUM, "Co1", "Co2", "Co3"]
    pieces = [
        Segment(n, p, _sacral_body(rng, r), r[3], r[4], r[5]) for n, p, r in zip(names, placed, rows, strict=True)
    ]
    return pieces[:5], pieces[5:]


def _sacral_body(rng: Rng, row: tuple[float, ...]) -> Body:
    cap = float(rng.uniform(1.0, 1.5))
    return Body(row[0], row[1], row[2], 0.0, (0.6, 0.6), 0.08, 0.03, 0.0, 0.35, (cap, cap), 0.0)
