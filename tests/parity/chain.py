"""Our phases in mode `upstream`, each on what the reference handed to its own phase in a whole run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.analysis import bias
from spineps_pacs.analysis.corpora import corpus_centres
from spineps_pacs.analysis.cutouts import classes, cut, places
from spineps_pacs.analysis.discs import completed
from spineps_pacs.analysis.fusion import cleaned, couples, fuse, predictions
from spineps_pacs.analysis.geometry import as_written, bounding_box, crop, cubic, nearest, pad, rescaled, turn, zoom
from spineps_pacs.analysis.instances import MARGIN_MM, least_voxels
from spineps_pacs.analysis.levels import Numbering, labelled
from spineps_pacs.analysis.matching import match, numbered, second_axis
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.patches import Spine, patches
from spineps_pacs.analysis.pipeline import AnalysisSettings, analyse
from spineps_pacs.analysis.semantic import PADDING, limited, wanted_zoom
from spineps_pacs.analysis.semantic_cleaning import Cleaning, clean
from spineps_pacs.domain.ports import (
    CutoutPlan,
    Cutouts,
    Engines,
    ModelInfo,
    PatchPlan,
    SemanticEngine,
    SemanticGrid,
    SemanticPrediction,
    Watch,
    unwatched,
)
from spineps_pacs.domain.volume import Geometry, Volume
from tests.parity.stages import RAS, Arrays

Pair = tuple[NDArray[np.generic], NDArray[np.generic]]
"""Ours and theirs."""


@dataclass(frozen=True, eq=False)
class Plans:
    """What the three models want, and the table from the semantic network's classes to ids."""

    grid: SemanticGrid
    ids: NDArray[np.uint8]
    cutout: CutoutPlan
    patch: PatchPlan


def plans_of(engines: Engines) -> Plans:
    """The plans of loaded networks."""
    from spineps_pacs.engines.semantic import NnUnetEngine, lookup

    assert isinstance(engines.semantic, NnUnetEngine)
    assert engines.vertebra is not None
    assert engines.levels is not None
    ids = lookup(engines.semantic.config.labels)
    return Plans(engines.semantic.grid, ids, engines.vertebra.plan, engines.levels.plan)


@dataclass(frozen=True, eq=False)
class Run:
    """One whole run: what went in, what the reference kept of it, and the plans of the models."""

    image: NDArray[Any]
    affine: NDArray[np.float64]
    kept: Arrays
    plans: Plans

    def grid(self, name: str) -> Geometry:
        """The grid of something kept."""
        return Geometry(RAS @ self.kept[f"{name}_affine"], self.kept[name].shape)

    @property
    def volume(self) -> Volume:
        """What the node starts from."""
        i, j, k = self.image.shape
        return Volume(self.image, Geometry(RAS @ self.affine, (i, j, k)))

    @property
    def source(self) -> Geometry:
        """The grid that masks come back to."""
        return as_written(self.volume.geometry)


def ranged(run: Run) -> Pair:
    """From 0 to 1500, cut to what is not empty."""
    voxels = limited(run.image)
    box = bounding_box(np.asarray(voxels > 0))
    assert box is not None
    return voxels[box], run.kept["before_n4"]


def unbiased(run: Run) -> Pair:
    """N4, cast as the reference casts it."""
    before = run.kept["before_n4"]
    ours = bias.correct(before, run.grid("before_n4")).image
    return ours.astype(before.dtype), run.kept["after_n4"].astype(before.dtype)


def put_back(run: Run) -> Pair:
    """The corrected part, within the range again, in the whole image, with a border around it."""
    voxels = limited(run.image)
    box = bounding_box(np.asarray(voxels > 0))
    assert box is not None
    whole = voxels.copy()
    whole[box] = limited(run.kept["after_n4"].astype(voxels.dtype))
    return pad(run.volume.geometry, PADDING).there(whole, voxels.min()), run.kept["prepared"]


def on_grid(run: Run) -> Pair:
    """Turned, and in the model's resolution."""
    upright = turn(run.grid("prepared"))
    target = rescaled(upright.after, wanted_zoom(zoom(upright.after), run.plans.grid))
    return cubic(upright.there(run.kept["prepared"]), upright.after, target), run.kept["on_grid"]


def network(run: Run, engines: Engines) -> Pair:
    """The semantic network's labels before they are cleaned."""
    image = Volume(run.kept["on_grid"], run.grid("on_grid"))
    return engines.semantic.predict(image, unwatched).labels, _raw(run)


def _raw(run: Run) -> NDArray[np.uint8]:
    return run.plans.ids[run.kept["classes"]]


def cleaning(run: Run) -> Pair:
    """Small and stray pieces removed, holes filled."""
    return clean(_raw(run), zoom(run.grid("on_grid")), Cleaning()), run.kept["semantic"]


def cutting(run: Run) -> Pair:
    """Centres of the bodies and the boxes around them."""
    return _cut(run)[0].arrays, run.kept["cutouts"]


def _cut(run: Run) -> tuple[Cutouts, list, tuple]:  # type: ignore[type-arg]
    plan, upright = run.plans.cutout, turn(run.grid("semantic"))
    grid = rescaled(upright.after, plan.spacing_pir)
    whole = nearest(upright.there(run.kept["semantic"].astype(np.uint8)), upright.after, grid)
    box = bounding_box(whole > 0, int(MARGIN_MM / min(zoom(grid))))
    assert box is not None
    part = crop(grid, box)
    inside = np.ascontiguousarray(part.there(whole))
    smallest = least_voxels(plan.corpus_size_mm3, plan.spacing_pir)
    found = corpus_centres(inside, zoom(grid)[1], smallest, Mode.UPSTREAM)
    known = classes(inside, plan)
    wanted = places(found, known, plan)
    return cut(known, part.after, wanted), wanted, (part, inside.shape, plan)


def parts(run: Run, engines: Engines) -> Pair:
    """The instance network's answer to the reference's cutouts."""
    assert engines.vertebra is not None
    given = Cutouts(run.kept["cutouts"].astype(np.uint8), ())
    return engines.vertebra.predict(given, unwatched), run.kept["parts"]


def fusing(run: Run) -> Pair:
    """The reference's parts fused to vertebrae."""
    _, wanted, (part, shape, plan) = _cut(run)
    seen = predictions(run.kept["parts"].astype(np.uint8), wanted)
    fused, _ = fuse(seen, couples(seen), shape, Mode.UPSTREAM)
    ours = part.back(cleaned(fused, least_voxels(plan.vertebra_size_mm3, plan.spacing_pir)))
    return ours, run.kept["vertebrae"]


def structures_back(run: Run) -> Pair:
    """The structures on the image's grid."""
    ours = nearest(run.kept["semantic"], run.grid("semantic"), run.source)
    return np.where(ours == 50, 49, ours), run.kept["structures_back"]


def vertebrae_back(run: Run) -> Pair:
    """The vertebrae on the image's grid."""
    return nearest(run.kept["vertebrae"], run.grid("vertebrae"), run.source), run.kept["vertebrae_back"]


def matching(run: Run) -> Pair:
    """Both masks matched, vertebrae numbered from the head; structures and numbers side by side."""
    way = turn(run.source)
    structures = way.there(run.kept["structures_back"].astype(np.uint8))
    raw = way.there(run.kept["vertebrae_back"].astype(np.uint16))
    found = match(structures, raw, zoom(way.after), Mode.UPSTREAM, second_axis(way))
    ranked = numbered(found.vertebrae, lambda rank: rank + 1)
    ours = np.stack([way.back(found.structures), way.back(ranked)])
    return ours, np.stack([_pasted(run, "matched"), _pasted(run, "ranked")])


def _pasted(run: Run, name: str) -> NDArray[np.uint16]:
    """What the reference kept of a part of the grid, in the whole grid."""
    out = np.zeros(run.image.shape, dtype=np.uint16)
    out[_box(run, name)] = run.kept[name]
    return out


def _box(run: Run, name: str) -> tuple[slice, ...]:
    inside = np.linalg.inv(run.kept["structures_back_affine"]) @ run.kept[f"{name}_affine"][:, 3]
    first = np.rint(inside[:3]).astype(int)
    return tuple(slice(f, f + n) for f, n in zip(first, run.kept[name].shape, strict=True))


def _ranked(run: Run) -> Spine:
    """The part of the image that the labelling is given, with the reference's masks, upright."""
    grid = run.grid("ranked")
    way = turn(grid)
    image, vertebrae = run.image[_box(run, "ranked")], run.kept["ranked"]
    arrays = (np.ascontiguousarray(way.there(a)) for a in (image, run.kept["matched"].astype(np.uint8), vertebrae))
    return Spine(*arrays, way.after)


def patching(run: Run) -> Pair:
    """The patches around the reference's vertebrae, normalised."""
    return patches(_ranked(run), run.plans.patch).cutouts.arrays, run.kept["patches"]


def scoring(run: Run, engines: Engines) -> Pair:
    """All heads' soft-max scores of the reference's patches, side by side."""
    assert engines.levels is not None
    ours = engines.levels.predict(Cutouts(run.kept["patches"], ()), unwatched)
    names = sorted(ours)
    return tuple(np.concatenate([h[n] for n in names], axis=1) for h in (ours, _heads(run)))  # type: ignore[return-value]


def _heads(run: Run) -> dict[str, NDArray[np.float32]]:
    return {key[5:]: value for key, value in run.kept.items() if key.startswith("head_")}


@dataclass(frozen=True)
class _Told:
    """A labelling network that says what the reference's said."""

    info: ModelInfo
    plan: PatchPlan
    heads: dict[str, NDArray[np.float32]]

    def predict(self, patches: Cutouts, watch: Watch) -> dict[str, NDArray[np.float32]]:
        """The same whatever is asked."""
        return self.heads


def naming(run: Run) -> Pair:
    """The path through the reference's scores, and the vertebrae under their names."""
    told = _Told(ModelInfo("labeling", "", "", ""), run.plans.patch, _heads(run))
    way = turn(run.grid("ranked"))
    return way.back(labelled(_ranked(run), told, Numbering(Mode.UPSTREAM), unwatched).vertebrae), run.kept["named"]


def completing(run: Run) -> Pair:
    """Discs, endplates and sacrum added to the reference's names; structures and instances side by side."""
    way, grid = turn(run.source), run.plans.grid
    structures = way.there(_pasted(run, "matched").astype(np.uint8))
    named = way.there(_pasted(run, "named"))
    found = completed(structures, named, grid.sacrum_ids, grid.metal_ids, Mode.UPSTREAM)
    theirs = np.stack([run.kept["structures"], run.kept["instances"]])
    return np.stack([way.back(a).astype(np.uint16) for a in found]), theirs


def final(run: Run, engines: Engines) -> tuple[Pair, Pair]:
    """Both final masks, each side on its own from the image on."""
    report = analyse(run.volume, engines, AnalysisSettings(Mode.UPSTREAM))
    return (
        (report.structures.labels, run.kept["structures"]),
        (report.instances.labels, run.kept["instances"]),
    )


@dataclass(frozen=True)
class _Shown:
    """A semantic network that is shown the reference's image, whatever it is given."""

    engine: SemanticEngine
    image: Volume

    @property
    def info(self) -> ModelInfo:
        """The network's own."""
        return self.engine.info

    @property
    def grid(self) -> SemanticGrid:
        """The network's own."""
        return self.engine.grid

    def predict(self, image: Volume, watch: Watch) -> SemanticPrediction:
        """Of the reference's image."""
        return self.engine.predict(self.image, watch)


def final_after_its_bias(run: Run, engines: Engines) -> tuple[Pair, Pair]:
    """Both final masks when the semantic network sees the reference's image: range, N4, resolution are its own."""
    shown = _Shown(engines.semantic, Volume(run.kept["on_grid"], run.grid("on_grid")))
    return final(run, replace(engines, semantic=shown))


INTEGER = {
    "range": ranged, "back in the image": put_back, "cleaning": cleaning, "centres, cutouts": cutting, "fusion": fusing,
    "structures back": structures_back, "vertebrae back": vertebrae_back, "matching": matching, "path": naming,
    "discs, endplates": completing,
}  # fmt: skip
"""Stages that must be equal bit by bit."""
