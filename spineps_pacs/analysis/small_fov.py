"""Names the vertebrae of a small field of view: two networks slice by slice, planes through the discs, a sliding fit.

From Python: `label_array(voxels, (thickness, row, column) in mm, engine)` gives a semantic mask, an instance mask of
the 49 ids and id -> name, in the shape that was given. `label(volume, engine)` does the same for a Volume.

The 49 ids count from the head: vertebra k has 2k-1, the disc below it 2k (C2 is 1, C2-C3 is 2, ..., S1 is 49).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.levels import anomalies
from spineps_pacs.analysis.pieces import Labels, ids
from spineps_pacs.analysis.small_fov_fit import NAMES, SACRUM, Fit, fit, votes
from spineps_pacs.analysis.small_fov_input import PIXEL_MM, Prepared, prepare
from spineps_pacs.analysis.small_fov_split import DISC, VERTEBRA, disc_places, discs, main_piece, vertebrae
from spineps_pacs.analysis.small_fov_unusual import T13, Unusual, level_of, unusual
from spineps_pacs.domain.anatomy import CORPUS_ID, DISC_ID, DISC_OFFSET, LEVEL_IDS, SACRUM_ID, VERTEBRAE, disc_name
from spineps_pacs.domain.errors import ModelError, Unusable
from spineps_pacs.domain.masks import LevelChoice, LevelMethod, Levels
from spineps_pacs.domain.ports import SmallFovEngine, Watch, unwatched
from spineps_pacs.domain.volume import Geometry, Volume

LUMBAR_5, LUMBAR_6 = NAMES.index("L5") + 1, NAMES.index("L6") + 1
RARE = frozenset({LEVEL_IDS["T13"], LEVEL_IDS["L6"]})
HALF = 0.5
"""Vertebrae that eleven or thirteen thoracic ones must explain better to be told of."""
WITHOUT_L6 = SACRUM - 1
"""A naming network with this many names is taken to have none for L6: its last is S1. Not established upstream."""


@dataclass(frozen=True)
class SmallFovSettings:
    """The networks' in-plane pixel (their own word counts, where they give it), and whether naming is left out."""

    pixel_mm: float = PIXEL_MM
    semantic_only: bool = False


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the networks drew on their own grid: classes, and positions where names were wanted."""

    prepared: Prepared
    classes: NDArray[np.uint8]
    said: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class Labelled:
    """Masks on one grid: classes (0, 1 vertebra, 2 disc), the 49 ids, what each id present is called, and the fit.

    `fit` is None, and `instances` empty, where only the semantic mask was wanted. `unusual` is what speaks for eleven
    or thirteen thoracic vertebrae, for which the 49 ids have no names.
    """

    semantic: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    names: dict[int, str]
    fit: Fit | None
    notes: tuple[str, ...]
    unusual: Unusual | None = None


def label_array(
    voxels: NDArray[np.generic],
    spacing: tuple[float, float, float],
    engine: SmallFovEngine,
    settings: SmallFovSettings | None = None,
    *,
    same_shape: bool = True,
) -> Labelled:
    """A usual sagittal series as an array: (slice, row, column), rows to Inferior, columns to Posterior, mm a voxel.

    Masks come in the array's own shape; with `same_shape=False` on the networks' grid (slices, 320, 896).
    """
    if voxels.ndim != 3 or 0 in voxels.shape:
        raise Unusable(f"a volume has slices, rows and columns; this array has the shape {voxels.shape}")
    affine = np.zeros((4, 4))
    affine[0, 0], affine[2, 1], affine[1, 2], affine[3, 3] = spacing[0], -spacing[1], spacing[2], 1
    i, j, k = voxels.shape
    prepared, labelled = _on_grid(Volume(voxels, Geometry(affine, (i, j, k))), engine, settings, unwatched)
    return on_source(prepared, labelled) if same_shape else labelled


def label(
    volume: Volume, engine: SmallFovEngine, settings: SmallFovSettings | None = None, watch: Watch = unwatched
) -> Labelled:
    """Masks on the volume's grid; Unusable says why vertebrae could not be found or named."""
    return on_source(*_on_grid(volume, engine, settings, watch))


def on_source(prepared: Prepared, labelled: Labelled) -> Labelled:
    """The same on the grid that the volume came on."""
    instances = prepared.on_source(labelled.instances)
    kept = set(ids(instances))
    names = {n: name for n, name in labelled.names.items() if n in kept}
    return replace(labelled, semantic=prepared.on_source(labelled.semantic), instances=instances, names=names)


def draw(volume: Volume, engine: SmallFovEngine, settings: SmallFovSettings, watch: Watch = unwatched) -> Drawn:
    """Asks the networks, slice by slice."""
    prepared = prepare(volume, engine.pixel_mm or settings.pixel_mm)
    slices = prepared.slices()
    classes = engine.segment(slices, watch)
    said = None if settings.semantic_only else positions(engine.name(slices, watch), engine.names)
    return Drawn(prepared, classes, said)


def _on_grid(
    volume: Volume, engine: SmallFovEngine, settings: SmallFovSettings | None, watch: Watch
) -> tuple[Prepared, Labelled]:
    drawn = draw(volume, engine, settings or SmallFovSettings(), watch)
    notes = drawn.prepared.notes
    if drawn.said is None:
        classes = main_piece(drawn.classes)
        return drawn.prepared, Labelled(classes, np.zeros_like(classes), {}, None, notes)
    return drawn.prepared, named(drawn.classes, drawn.said, notes)


def positions(classes: Labels, names: int) -> NDArray[np.uint8]:
    """Classes of the naming network as positions 1 (C2) to 25 (S1)."""
    if names not in {WITHOUT_L6, SACRUM}:
        raise ModelError(f"the naming network has {names} names; {WITHOUT_L6} (without L6) or {SACRUM} are known")
    table = np.arange(names + 1, dtype=np.uint8)
    table[-1] = SACRUM
    return np.asarray(table[classes])


def named(classes: Labels, said: Labels, notes: tuple[str, ...] = ()) -> Labelled:
    """From classes and the positions that the naming network saw to named vertebrae and discs, on one grid."""
    main = main_piece(classes)
    bones = vertebrae(main, discs(main))
    count = int(bones.max(initial=0))
    if not count:
        raise Unusable("the segmentation network found discs, but no vertebra")
    table_of_votes = votes(bones, np.where(classes == VERTEBRA, said, 0), count)
    found = fit(table_of_votes)
    odd = unusual(table_of_votes, found.positions)
    table = np.array([0, *(2 * at - 1 for at in found.positions)], dtype=np.uint8)
    below = np.array([0, 2 * found.positions[0] - 2, *(2 * at for at in found.positions)], dtype=np.uint8)
    below[below >= 2 * SACRUM] = 0
    instances = table[bones] + below[disc_places(main, bones)]
    return Labelled(main, instances, names_of(ids(instances)), found, notes + doubts(found, odd), odd)


def names_of(present: Sequence[int]) -> dict[int, str]:
    """What each of the 49 ids is called among those present: a disc between L5 and S1 is L5-S1."""
    bones = [n for n in present if n % 2]
    return {n: NAMES[n // 2] if n % 2 else _disc(n // 2, [(b + 1) // 2 for b in bones]) for n in present}


def _disc(above: int, present: Sequence[int]) -> str:
    """Named after the vertebra above and the next one below that is there, else the usual next."""
    usual = SACRUM if above in {LUMBAR_5, LUMBAR_6} else above + 1
    follows = next((at for at in present if at > above), usual) if above in present else above + 1
    return disc_name(NAMES[above - 1], NAMES[follows - 1])


def doubts(found: Fit, odd: Unusual | None = None) -> tuple[str, ...]:
    """What is weak about a fit, a sentence each."""
    told = []
    if odd is not None and odd.gain >= HALF:
        many = 13 if T13 in odd.positions else 11
        told.append(f"{many} thoracic vertebrae would explain {odd.gain:.1f} vertebrae that are named otherwise")
    if len(found.positions) == 1:
        told.append("one vertebra is in view: its name rests on its looks alone")
    told += [f"the naming network saw two names within {NAMES[at - 1]}: a disc may be missed" for at in found.doubled]
    if found.end_margin is not None and found.end_margin < 1 / (2 * len(found.positions)):
        told.append(f"the last vertebra could be read otherwise (margin {found.end_margin:.3f})")
    return tuple(told)


def structure_ids(labelled: Labelled) -> NDArray[np.uint8]:
    """Classes as structures of the project: 49 vertebral body, 100 disc, and 26 where a vertebra is called S1."""
    table = np.zeros(3, dtype=np.uint8)
    table[[VERTEBRA, DISC]] = CORPUS_ID, DISC_ID
    return np.where(labelled.instances == 2 * SACRUM - 1, SACRUM_ID, table[labelled.semantic]).astype(np.uint8)


def instance_ids(labelled: Labelled) -> NDArray[np.uint16]:
    """The 49 ids as instances of the project: 1-26, and 100+X for the disc below X.

    A disc above the first vertebra belongs to none that is there, and is left out.
    """
    table = np.zeros(2 * SACRUM, dtype=np.uint16)
    called = given(labelled)
    for at, level in zip(labelled.fit.positions if labelled.fit else (), called, strict=True):
        table[2 * at - 1] = level
        if level != SACRUM_ID and at < SACRUM:
            table[2 * at] = DISC_OFFSET + level
    return np.asarray(table[labelled.instances])


def given(labelled: Labelled) -> tuple[int, ...]:
    """The levels of the vertebrae from the top: of the fit, or of eleven or thirteen thoracic ones where believed."""
    if labelled.fit is None:
        return ()
    odd = labelled.unusual
    return tuple(level_of(at) for at in (odd.positions if odd and odd.believed else labelled.fit.positions))


def levels(labelled: Labelled) -> Levels:
    """The names as the report holds them; the sacrum needs none."""
    if labelled.fit is None:
        raise ValueError("vertebrae without a fit have no names")
    found, called = labelled.fit, given(labelled)
    bones = tuple(level for level in called if level != SACRUM_ID)
    choices = tuple(
        LevelChoice(level, n, level, round(found.confidence, 6), (VERTEBRAE[level].name,) if level in RARE else ())
        for n, level in enumerate(bones, start=1)
    )
    odd = anomalies(bones, sacrum_follows=called[-1] == SACRUM_ID)
    said = "; ".join(doubts(found, labelled.unusual))
    return Levels(LevelMethod.MODEL, choices, round(found.margin, 6), odd, said)
