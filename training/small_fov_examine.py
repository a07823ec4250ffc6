"""Measures the second labeller's networks on fresh phantom spines, alone and beside a first labeller; a line a spine.

    python -m training.small_fov_examine --networks spineps_pacs/engines/defaults/small-fov --out scans.jsonl
    python -m training.small_fov_examine --out scans.jsonl --count 0       # only the table of what is there

Each spine gives one field of view. Seeds are neither those of its training nor of the first labeller's. It goes on
where it stopped. `scripts/second_opinion_table.py --networks scans.jsonl` tells what both show together.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis.geometry import crop
from spineps_pacs.analysis.opinion_pairs import by_overlap
from spineps_pacs.analysis.small_fov import instance_ids, label, levels
from spineps_pacs.domain.anatomy import CORPUS_ID, DISC_ID, DISC_OFFSET, ENDPLATE_ID, ENDPLATE_OFFSET, SACRUM_ID
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.masks import InstanceMask, LevelChoice, LevelMethod, Levels
from spineps_pacs.domain.ports import SmallFovEngine
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.evaluation.naming import NamedCase, named_case
from spineps_pacs.evaluation.naming_table import label_text
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.contrast import random_contrast
from spineps_pacs.phantom.image import scan
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.voxels import Labels, voxelise
from spineps_pacs.phantom.wishes import random_wishes
from training.small_fov_both import Once, both
from training.small_fov_pool import first_sacral, grid

SEED = 7_000_000
VISIBLE = (5, 8, 10, 15, 99)
SLICES = 5
"""Around the middle; the phantom's bodies are seen in all of them."""
LEAST_SEEN = 0.6
"""Part of an object that a field of view must hold for it to be asked for."""
Ids = NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Scan:
    """One field of view of a rendered spine: the image, what is true in it, and what is cut off and not asked for."""

    image: Volume
    structures: NDArray[np.uint8]
    truth: Ids
    cut: NDArray[np.bool_]


def truth(labels: Labels, spine: Spine) -> Ids:
    """Bodies with endplates, the first piece of the sacrum as 26, discs."""
    found = np.where(labels.structures == CORPUS_ID, labels.instances, 0)
    plates = labels.structures == ENDPLATE_ID
    found[plates] = labels.instances[plates] - ENDPLATE_OFFSET
    discs = labels.structures == DISC_ID
    found[discs] = labels.instances[discs]
    found[first_sacral(labels, spine)] = SACRUM_ID
    return np.asarray(found, dtype=np.uint16)


def scan_of(number: int) -> tuple[int, Scan | None]:
    """The field of view of a spine: how many vertebrae were asked for, and the scan; only what is near is rendered.

    None where a bent spine leaves the few slices just there.
    """
    rng = np.random.default_rng([SEED, number])
    spine = draw_spine(SEED + number, random_wishes(rng))
    place = grid(spine, rng)
    visible = VISIBLE[number % len(VISIBLE)]
    order = [v.id for v in spine.vertebrae] + [SACRUM_ID]
    count = min(visible, len(order))
    start = int(rng.integers(len(order) - count + 1))
    near = crop(place, (_middle(place), slice(None), _around(spine, place, start, start + count)))
    labels = voxelise(spine, near.after)
    ids, wanted = truth(labels, spine), order[start : start + count]
    if not np.isin(ids, wanted).any():
        return visible, None
    image = scan(spine, near.after, random_contrast(rng), rng)
    return visible, _scan(image, labels, ids, wanted)


def _around(spine: Spine, place: Geometry, first: int, end: int) -> slice:
    """Columns from the middle of the vertebra above to that of the one below; to the end where there is none."""
    origins = [v.placed.origin for v in spine.vertebrae] + [spine.sacrum[0].placed.origin]
    heights = place.to_index(np.array(origins))[:, 2]
    top = heights[first - 1] if first else place.shape[2]
    bottom = heights[end] if end < len(heights) else 0
    return slice(max(int(bottom), 0), min(int(top) + 1, place.shape[2]))


def _middle(geometry: Geometry) -> slice:
    start = max(0, (geometry.shape[0] - SLICES) // 2)
    return slice(start, start + SLICES)


def _scan(image: NDArray[np.float32], labels: Labels, ids: Ids, wanted: list[int]) -> Scan:
    """The columns that the wanted vertebrae span, and all that lies beside them.

    A disc is named after the vertebra above it: without that one it is asked of nobody either.
    """
    columns = np.flatnonzero(np.isin(ids, wanted).any(axis=(0, 1)))
    box = (slice(None), slice(None), slice(max(int(columns[0]) - 3, 0), int(columns[-1]) + 4))
    way = crop(labels.geometry, box)
    part = way.there(ids)
    sizes, seen = np.bincount(ids.ravel(), minlength=300), np.bincount(part.ravel(), minlength=300)
    lost = seen < LEAST_SEEN * sizes
    lost[DISC_OFFSET : 2 * DISC_OFFSET] |= lost[:DISC_OFFSET] | (seen[:DISC_OFFSET] == 0)
    cut = lost[part] & (part > 0)
    asked = np.asarray(np.where(cut, 0, part), dtype=np.uint16)
    return Scan(Volume(way.there(image), way.after), way.there(labels.structures), asked, cut)


def examined(engine: SmallFovEngine, seen: Scan) -> dict[str, Any]:
    """How the networks name one scan; what is cut off is asked of nobody."""
    geometry = seen.image.geometry
    own = np.zeros(geometry.shape, dtype=np.uint16)
    told, margin, why = Levels(LevelMethod.COUNTED, ()), None, ""
    try:
        found = label(seen.image, engine)
        own, told, margin = instance_ids(found), levels(found), found.fit.margin if found.fit else None
    except Unusable as reason:
        why = str(reason)
    own = _asked(own, seen)
    case = named_case(InstanceMask(own, geometry), InstanceMask(seen.truth, geometry))
    bones = [i for i in _ordered(seen.truth) if i < DISC_OFFSET]
    true = Levels(LevelMethod.MODEL, tuple(LevelChoice(i, n, i) for n, i in enumerate(bones, 1) if i != SACRUM_ID))
    pairs = by_overlap((seen.truth, true), (own, told))
    return {
        "true": [p.level for p in pairs if p.instance is not None],
        "called": [p.other_level for p in pairs if p.instance is not None],
        "margin": margin,
        "failed": why,
        "visible": case.visible,
        "right": {str(i): bool(right) for i, right in case.right.items()},
        "dice": case.dice,
        "exact": case.exact,
        "anomalies": [sorted(case.true), sorted(case.found)],
    }


def _asked(own: Ids, seen: Scan) -> Ids:
    """Without the objects that lie, for the greater part of what is true there, on what is cut off."""
    beyond = np.bincount(own[seen.cut], minlength=300)
    within = np.bincount(own[seen.truth > 0], minlength=300)
    return np.asarray(np.where((beyond > within)[own] | seen.cut, 0, own), dtype=np.uint16)


def _ordered(ids: Ids) -> list[int]:
    """Present ids from the top; columns run to Superior."""
    places = np.argwhere(ids > 0)
    values = ids[ids > 0]
    return sorted((int(i) for i in np.unique(values)), key=lambda i: -float(places[values == i, 2].mean()))


def as_case(line: dict[str, Any]) -> NamedCase:
    """As the table takes it."""
    true, found = (frozenset(names) for names in line["anomalies"])
    right = {int(i): bool(hit) for i, hit in line["right"].items()}
    return NamedCase(line["visible"], right, line["dice"], line["exact"], true, found)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def main() -> None:
    """Reads the command line, measures what is not there yet, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    if given.count:
        from spineps_pacs.engines.small_fov import open_small_fov

        engine = Once(open_small_fov(given.networks, "cpu"))
        done = {line["spine"] for line in _lines(given.out)}
        for number in sorted({*range(given.first, given.first + given.count)} - done):
            visible, seen = scan_of(number)
            if seen is None:
                continue
            line = {"spine": number, "asked": visible, **examined(engine, seen)}
            rng = np.random.default_rng([SEED, number, 1])
            line["joined"] = both(seen.image, seen.structures, seen.truth, engine, rng)
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    lines = _lines(given.out)
    print(label_text({f"{line['spine']}-{line['asked']}": as_case(line) for line in lines}))


if __name__ == "__main__":
    main()
