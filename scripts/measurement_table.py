"""Measures phantom spines from their true masks and prints, by kind, the share measured, errors and uncertainties.

Usage: python scripts/measurement_table.py [--count 50] [--first 1000] [--volumes]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spineps_pacs.analysis.measurements import measure
from spineps_pacs.domain.anatomy import DISC_OFFSET, SACRUM_ID
from spineps_pacs.domain.masks import InstanceMask, LevelChoice, LevelMethod, Levels, SemanticMask
from spineps_pacs.domain.report import Measurement
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.truth import truth_of
from spineps_pacs.phantom.voxels import Labels, voxelise
from spineps_pacs.phantom.wishes import random_wishes

RANGES = ("C2-T3", "C7-L1", "T11-S1", "L1-S1", "C2-S1")
"""What the fields of view show: neck, chest, two lumbar ones, the whole spine."""
Key = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Case:
    """One phantom: its masks on a grid, and what is true of it."""

    spine: Spine
    labels: Labels
    levels: Levels
    truth: dict[str, Any]

    def measured(self) -> tuple[Measurement, ...]:
        """Everything that we measure in it."""
        grid = self.labels.geometry
        volume = Volume(np.zeros(grid.shape, np.uint8), grid)
        structures, instances = SemanticMask(self.labels.structures, grid), InstanceMask(self.labels.instances, grid)
        return measure(volume, structures, instances, self.levels)


def draw_case(seed: int, coarse: bool = False) -> Case:
    """The phantom of a seed: random anatomy, field of view, orientation and resolution."""
    rng = np.random.default_rng([seed, 4])
    wishes = replace(random_wishes(rng), levels=str(rng.choice(RANGES)))
    spine = draw_spine(seed, wishes)
    labels = voxelise(spine, draw_geometry(spine, rng, coarse))
    truth = truth_of(spine, labels)
    return Case(spine, labels, _levels(truth), truth)


def thin(geometry: Geometry) -> Geometry:
    """The same box of space in slices of about 1 mm."""
    parts = round(geometry.spacing[0])
    affine = geometry.affine.copy()
    affine[:3, 3] -= affine[:3, 0] * (parts - 1) / (2 * parts)
    affine[:3, 0] /= parts
    return Geometry(affine, (geometry.shape[0] * parts, *geometry.shape[1:]))


def draw_geometry(spine: Spine, rng: np.random.Generator, coarse: bool) -> Geometry:
    """A sagittal stack about the levels that are wished for: 3 to 5 mm slice step, 0.6 to 1 mm pixels."""
    names = [*(v.name for v in spine.vertebrae), "S1"]
    placed = [*(v.placed for v in spine.vertebrae), spine.sacrum[0].placed]
    first, last = (names.index(n) for n in spine.wishes.levels.split("-"))
    points = np.array([p.origin for p in placed[first : last + 1]])
    step = np.array([rng.uniform(3.0, 5.0), *[1.0 if coarse else rng.uniform(0.6, 1.0)] * 2])
    axes = _oblique(rng) * rng.choice([-1.0, 1.0], 3)
    local = points @ axes
    low, high = local.min(axis=0), local.max(axis=0)
    size = np.array(
        [rng.uniform(62, 90), high[1] - low[1] + rng.uniform(50, 90), high[2] - low[2] + rng.uniform(90, 140)]
    )
    count = np.ceil(size / step).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = axes * step
    affine[:3, 3] = axes @ ((low + high) / 2 - (count - 1) / 2 * step)
    return Geometry(affine, (int(count[0]), int(count[1]), int(count[2])))


def _oblique(rng: np.random.Generator) -> np.ndarray:
    """Columns: slices to the left, rows downwards, columns backwards, each turned by some degrees."""
    a, b, c = np.radians(rng.normal(0, (3.0, 3.0, 6.0)))
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    return np.asarray(about_z @ about_y @ about_x @ np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]]))


def _levels(truth: dict[str, Any]) -> Levels:
    ids = [level["id"] for level in truth["levels"]]
    return Levels(LevelMethod.MODEL, tuple(LevelChoice(i, n, i) for n, i in enumerate(ids, start=1)))


def possible(case: Case) -> Iterator[tuple[Key, float]]:
    """Every true number that the field of view allows: (kind, subject) and value."""
    whole = {level["id"] for level in case.truth["levels"] if level["visible"] == "whole"}
    cut, sideways = _on_faces(case.labels, (0, 1, 2)), _on_faces(case.labels, (1, 2))
    levels = case.truth["levels"]
    for level, below in zip(levels, [*levels[1:], None], strict=True):
        i = level["id"]
        if i not in cut:
            yield ("volume", i), level["volume"]
        if level["disc_volume"] and i + DISC_OFFSET not in cut:
            yield ("disc_volume", i + DISC_OFFSET), level["disc_volume"]
        if i == SACRUM_ID or i not in whole:
            continue
        yield from _of_body(level)
        if _canal_inside(case, level):
            yield from _of_canal(level)
        next_whole = below is not None and (
            below["id"] in whole or (below["id"] == SACRUM_ID and i + DISC_OFFSET not in sideways)
        )
        if next_whole:
            yield ("slip", i), level["slip"]
        if next_whole and level["disc_height"] and i + DISC_OFFSET not in sideways:
            for name, value in level["disc_height"].items():
                yield (f"disc_height_{name}", i + DISC_OFFSET), value
    yield from _angles(case, whole, sideways)


def _of_body(level: dict[str, Any]) -> Iterator[tuple[Key, float]]:
    if level["body_height"]:
        for name, value in level["body_height"].items():
            yield (f"body_height_{name}", level["id"]), value
        yield ("body_height_ratio", level["id"]), level["body_height_ratio"]


def _of_canal(level: dict[str, Any]) -> Iterator[tuple[Key, float]]:
    for kind in ("canal_area", "cord_area", "canal_ap_diameter"):
        if level[kind] > 0:
            yield (kind, level["id"]), level[kind]


def _canal_inside(case: Case, level: dict[str, Any]) -> bool:
    """True when no voxel of the canal at this level lies on an outer face of the grid."""
    grid = case.labels.geometry
    index = np.argwhere(np.isin(case.labels.structures, (60, 61)))
    outermost = ((index == 0) | (index == np.array(grid.shape) - 1)).any(axis=1)
    points = grid.to_world(index[outermost])
    return not len(points) or float(np.linalg.norm(points - level["body_centre"], axis=1).min()) > 30


def _angles(case: Case, whole: set[int], sideways: set[int]) -> Iterator[tuple[Key, float]]:
    names = {level["name"]: level["id"] for level in case.truth["levels"]}
    last = [n for n in case.truth["sequence"] if n.startswith("T")][-1]
    lowest = names.get(case.truth["sequence"][-2], 0)
    sacrum = SACRUM_ID in names.values() and lowest in whole and lowest + DISC_OFFSET not in sideways
    ends = {"lordosis_cervical": ("C2", "C7"), "kyphosis_thoracic": ("T4", last), "lordosis_lumbar": ("L1", None)}
    for kind, (first, second) in ends.items():
        if names.get(first) in whole and (sacrum if second is None else names.get(second) in whole):
            yield (kind, 0), case.truth["angles"][kind]


def _on_faces(labels: Labels, axes: tuple[int, ...]) -> set[int]:
    faces = [np.moveaxis(labels.instances, axis, 0)[end] for axis in axes for end in (0, -1)]
    return {int(i) for face in faces for i in np.unique(face)}


@dataclass
class Row:
    """What came of one kind: how many were possible; error, truth and uncertainty of each measured one."""

    possible: int = 0
    found: list[tuple[float, float, float]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(self, truth: float, answer: Measurement | None) -> None:
        """Counts one possible number."""
        self.possible += 1
        if answer is None or answer.value is None or answer.uncertainty is None:
            self.reasons.append(answer.reason if answer else "no answer")
        else:
            self.found.append((answer.value - truth, truth, answer.uncertainty))

    def line(self, kind: str) -> str:
        """Its line of the table."""
        error, truth, wide = np.array(self.found).T
        error = np.abs(error)
        cells = [
            f"`{kind}`",
            str(self.possible),
            f"{len(self.found) / self.possible:.1%}",
            f"{np.median(error):.2f}",
            f"{np.median(error / np.maximum(np.abs(truth), 1e-6)):.1%}" if kind != "slip" else "",
            f"{np.percentile(error, 95):.2f}",
            f"{np.median(wide):.2f}",
            f"{(error <= wide).mean():.1%}",
        ]
        return f"| {' | '.join(cells)} |"


def compare(cases: Iterator[Case]) -> dict[str, Row]:
    """All cases against their truth, by kind."""
    rows: dict[str, Row] = {}
    for case in cases:
        answers = {
            (m.kind, 0 if m.kind.startswith(("lordosis", "kyphosis")) else m.subject): m for m in case.measured()
        }
        for key, truth in possible(case):
            rows.setdefault(key[0], Row()).add(truth, answers.get(key))
    return rows


HEAD = ("kind", "possible", "measured", "median error", "relative", "95 % below", "median uncertainty", "it holds in")


def compare_volumes(cases: Iterator[Case]) -> dict[str, Row]:
    """Volumes of vertebrae and discs against those of the same spine in slices of 1 mm, by kind."""
    rows: dict[str, Row] = {}
    for case in cases:
        grid = thin(case.labels.geometry)
        fine = voxelise(case.spine, grid).instances
        counts = np.bincount(fine.ravel(), minlength=256)
        whole = {m.subject: m for m in case.measured() if m.kind in ("volume", "disc_volume") and m.value is not None}
        for subject, answer in whole.items():
            rows.setdefault(answer.kind, Row()).add(float(counts[subject]) * grid.voxel_volume, answer)
    return rows


def table(rows: dict[str, Row]) -> str:
    """The table in Markdown."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    return "\n".join(lines + [row.line(kind) for kind, row in sorted(rows.items())])


def main() -> None:
    """Prints the table and, below it, why possible numbers were not given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=50, help="how many phantoms")
    parser.add_argument("--first", type=int, default=1000, help="the first seed")
    parser.add_argument("--volumes", action="store_true", help="volumes only, against slices of 1 mm (slow)")
    options = parser.parse_args()
    cases = (draw_case(seed) for seed in range(options.first, options.first + options.count))
    rows = compare_volumes(cases) if options.volumes else compare(cases)
    print(table(rows))
    for kind, row in sorted(rows.items()):
        for reason in sorted(set(row.reasons)):
            print(f"not measured: {kind}, {row.reasons.count(reason)} times: {reason}")


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
