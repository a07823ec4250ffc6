"""Stage inputs for the reference, and our own run of the same stages in mode `upstream`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.corpora import corpus_centres
from spineps_pacs.analysis.cutouts import classes, cut, places
from spineps_pacs.analysis.discs import completed
from spineps_pacs.analysis.fusion import cleaned, couples, fuse, predictions
from spineps_pacs.analysis.geometry import bounding_box, crop, turn, zoom
from spineps_pacs.analysis.instances import MARGIN_MM, least_voxels
from spineps_pacs.analysis.level_path import likeliest, names, steps_for
from spineps_pacs.analysis.matching import match, numbered, second_axis
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.patches import Spine, patches
from spineps_pacs.analysis.scores import combined
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.ports import CutoutPlan, PatchPlan
from spineps_pacs.domain.volume import Geometry
from tests.parity import cases

Arrays = dict[str, NDArray[Any]]
CUTOUT = (96, 96, 24)
CLASSES = (*((n, min(n - 40, 9)) for n in range(41, 52)), (26, 0))
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def plan(spacing: tuple[float, float, float]) -> CutoutPlan:
    """A cutout plan as the published instance model has it, with a small cutout."""
    volume = float(np.prod(spacing))
    return CutoutPlan(spacing, CUTOUT, 10, CLASSES, 100 * volume, 250 * volume)


def soiled_spines(seeds: range, names: list[str]) -> Iterator[tuple[str, cases.Truth, NDArray[np.uint8]]]:
    """Every named spine as a network may have seen it, and plain, and with two bodies in one."""
    for seed in seeds:
        for name in names:
            spine = cases.truth(name, seed)
            yield f"{name}-true-{seed}", spine, spine.structures
            yield f"{name}-soiled-{seed}", spine, cases.soiled(spine.structures, seed)
            upper = int(np.random.default_rng(seed).choice([n for n in np.unique(spine.vertebrae) if 4 < n < 22]))
            if upper + 1 in spine.vertebrae:
                yield f"{name}-fused-{seed}", spine, cases.fused_bodies(spine, upper)


def corpora_input(spine: cases.Truth, semantic: NDArray[np.uint8]) -> Arrays:
    """Structures on the model's grid, for the centres of the bodies."""
    smallest = least_voxels(100 * float(np.prod(cases.SPACING)), cases.SPACING)
    return {"semantic": semantic.astype(np.uint16), "affine": spine.affine_ras, "smallest": np.array(smallest)}


def corpora(case: Arrays) -> Arrays:
    """Our centres."""
    spacing = np.linalg.norm(case["affine"][:3, 1])
    try:
        found = corpus_centres(case["semantic"], float(spacing), int(case["smallest"]), Mode.UPSTREAM)
    except Unusable:
        return {"failed": np.array("failed")}
    return {"centres": np.array(found).reshape(-1, 3)}


def _prepared(case: Arrays) -> tuple[Any, ...]:
    geometry = Geometry(RAS @ case["affine"], case["semantic"].shape)
    box = bounding_box(case["semantic"] > 0, int(MARGIN_MM / min(zoom(geometry))))
    assert box is not None
    part = crop(geometry, box)
    inside = np.ascontiguousarray(part.there(case["semantic"]))
    spacing = tuple(float(z) for z in case["zoom"])
    wanted_plan = plan(spacing)  # type: ignore[arg-type]
    smallest = least_voxels(wanted_plan.corpus_size_mm3, wanted_plan.spacing_pir)
    found = corpus_centres(inside, zoom(geometry)[1], smallest, Mode.UPSTREAM)
    known = classes(inside, wanted_plan)
    wanted = places(found, known, wanted_plan)
    return part, inside, wanted_plan, found, wanted, cut(known, part.after, wanted)


def instances_input(spine: cases.Truth, semantic: NDArray[np.uint8], seed: int) -> Arrays | None:
    """Structures and, for each cutout, what the network shall answer; None where no body is found."""
    case: Arrays = {
        "semantic": semantic,
        "affine": spine.affine_ras,
        "zoom": np.array(cases.SPACING),
        "cutout_size": np.array(CUTOUT),
    }
    rng = np.random.default_rng(seed)
    try:
        part, _, _, found, wanted, cutouts = _prepared(case)
    except Unusable:
        return None
    vertebrae = part.there(spine.vertebrae)
    given = []
    for place, centre, array in zip(wanted, found, cutouts.arrays, strict=True):
        around = [int(c) for c in centre]
        near = vertebrae[max(around[0] - 4, 0) : around[0] + 4, max(around[1] - 3, 0) : around[1] + 3, around[2]]
        votes = np.bincount(near[near > 0]) if (near > 0).any() else np.array([1])
        given.append(cases.answers(vertebrae[place.box], array, place.inner, int(np.argmax(votes)), rng))
    case["answers"] = np.stack(given)
    return case


def instances(case: Arrays) -> Arrays:
    """Our cutouts and fused vertebrae."""
    part, inside, wanted_plan, _, wanted, cutouts = _prepared(case)
    seen = predictions(case["answers"], wanted)
    try:
        fused, _ = fuse(seen, couples(seen), inside.shape, Mode.UPSTREAM)
    except Unusable:
        return {"failed": np.array("failed")}
    done = part.back(cleaned(fused, least_voxels(wanted_plan.vertebra_size_mm3, wanted_plan.spacing_pir)))
    return {"vertebrae": done, "cutouts": cutouts.arrays}


def post_input(spine: cases.Truth, semantic: NDArray[np.uint8], axes: str, seed: int) -> Arrays:
    """Structures and soiled vertebrae on an input grid whose axes run as given."""
    rng = np.random.default_rng(seed)
    vertebrae = spine.vertebrae.copy()
    numbers = [n for n in np.unique(vertebrae) if n]
    shuffled = np.zeros(int(vertebrae.max()) + 1, dtype=np.uint16)
    shuffled[numbers] = rng.permutation(np.arange(1, len(numbers) + 1))
    noise = cases.ndimage.gaussian_filter(rng.normal(size=vertebrae.shape), 2.0)
    vertebrae = shuffled[np.where(noise > 1.3 * noise.std(), np.roll(vertebrae, 3, axis=1), vertebrae)]
    vertebrae[noise < -1.8 * noise.std()] = 0
    if rng.random() < 0.5:
        top = int(shuffled[numbers[0]])
        at = np.flatnonzero((vertebrae == top).any(axis=(0, 2)))
        vertebrae[:, : at[0] + len(at) // 3][vertebrae[:, : at[0] + len(at) // 3] == top] = len(numbers) + 1
    way = turn(turn(spine.geometry, axes).after)
    return {
        "structures": np.ascontiguousarray(way.back(semantic)),
        "vertebrae": np.ascontiguousarray(way.back(vertebrae)),
        "image": np.ascontiguousarray(way.back(spine.image)),
        "affine": RAS @ way.before.affine,
    }


def post(case: Arrays) -> Arrays:
    """Our combined post-processing without a labelling model."""
    way = turn(Geometry(RAS @ case["affine"], case["structures"].shape))
    structures, vertebrae = way.there(case["structures"]), way.there(case["vertebrae"])
    matched = match(structures, vertebrae, zoom(way.after), Mode.UPSTREAM, second_axis(way))
    ranked = numbered(matched.vertebrae, lambda rank: rank + 1)
    kinds, named = completed(matched.structures, ranked, (26,), (80,), Mode.UPSTREAM)
    return {"structures": way.back(kinds), "instances": way.back(named)}


HEADS = {"REGION": 3, "VERT": 24, "VERTEX": 26, "VT13": 2, "VERTREL": 6, "VERTGRP": 12, "FULLYVISIBLE": 2}
TRUE_PATHS = (range(1, 24), range(7, 24), (*range(9, 19), 18, *range(19, 24)), (*range(9, 18), *range(19, 24), 23))


def path_input(seed: int) -> Arrays:
    """Scores of some heads along a spine, more or less sure of a true numbering."""
    rng = np.random.default_rng(seed)
    classes = list(TRUE_PATHS[seed % len(TRUE_PATHS)])[int(rng.integers(0, 5)) :]
    chosen = [h for h in HEADS if rng.random() < 0.75] or ["VERT"]
    if seed % 5 == 0:
        chosen = [h for h in chosen if h != "VERT"] + ["VERTEX"]
    if not {"VERT", "VERTEX", "VERTGRP"} & set(chosen):
        chosen.append("VERT")
    sure = rng.uniform(0, 6)
    case: Arrays = {"disable_c1": np.array(rng.random() < 0.8), "only_twelve": np.array(seed % 7 == 0)}
    for head in dict.fromkeys(chosen):
        logits = rng.normal(0, 1.5, (len(classes), HEADS[head]))
        truth = {"VERT": classes, "VERTEX": [c + (c > 18) for c in classes]}.get(head)
        if truth is not None:
            logits[np.arange(len(classes)), truth] += sure
        soft = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        case[f"head_{head}"] = soft.astype(np.float32)
    return case


def path(case: Arrays) -> Arrays:
    """Our scores and numbering."""
    heads = {key[5:]: value for key, value in case.items() if key.startswith("head_")}
    scores = combined(heads, Mode.UPSTREAM)
    steps = steps_for(scores, Mode.UPSTREAM, has_c1=not case["disable_c1"], only_twelve=bool(case["only_twelve"]))
    found, _ = likeliest(scores, steps, Mode.UPSTREAM)
    return {
        "cost": np.array(found.cost),
        "raw": np.array(found.classes),
        "named": np.array(names(found, scores)),
        "matrix": scores.scores,
    }


def patches_input(spine: cases.Truth, axes: str, seed: int, *, rotate: bool) -> Arrays:
    """An image with its vertebrae numbered from 2, and the scores that the network shall give."""
    rng = np.random.default_rng(seed)
    numbers = sorted((n for n in np.unique(spine.vertebrae) if n), key=lambda n: 19.5 if n == 28 else n)
    table = np.zeros(int(spine.vertebrae.max()) + 1, dtype=np.uint16)
    table[numbers] = np.arange(2, len(numbers) + 2)
    way = turn(turn(spine.geometry, axes).after)
    scores = rng.random((len(numbers), 24)).astype(np.float32)
    return {
        "image": np.ascontiguousarray(way.back(spine.image)),
        "vertebrae": np.ascontiguousarray(way.back(table[spine.vertebrae])),
        "structures": np.ascontiguousarray(way.back(spine.structures)),
        "affine": RAS @ way.before.affine,
        "patch_size": np.array((48, 56, 16)),
        "zoom": np.array((1.8, 1.8, 3.3)),
        "rotate": np.array(rotate),
        "head_VERT": scores / scores.sum(axis=1, keepdims=True),
    }


def patches_(case: Arrays) -> Arrays:
    """Our patches before they are normalised."""
    geometry = Geometry(RAS @ case["affine"], case["structures"].shape)
    size = tuple(int(n) for n in case["patch_size"])
    spacing = tuple(float(z) for z in case["zoom"])
    want = PatchPlan(spacing, size, rotate=bool(case["rotate"]))  # type: ignore[arg-type]
    found = patches(Spine(case["image"], case["structures"], case["vertebrae"], geometry), want)
    return {"patches": found.cutouts.arrays}


STAGES: dict[str, Callable[[Arrays], Arrays]] = {
    "corpora": corpora,
    "instances": instances,
    "post": post,
    "path": path,
    "patches": patches_,
}
