"""Our side of the benchmark, timed phase by phase as the reference's side is.

python scripts/bench/ours.py CASE THREADS MODE PRECISION
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from meter import Meter, Stub, Tiles, own_output, serve

from spineps_pacs.analysis import naming, pipeline, semantic
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.domain.ports import Cutouts, unwatched
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.engines.load import load_engines
from spineps_pacs.engines.options import EngineOptions

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Ours:
    """The engines over the same model folders, and the orders that this side obeys."""

    def __init__(self, folder: Path, options: EngineOptions, meter: Meter) -> None:
        with np.load(folder / "case.npz") as held:
            self.case = dict(held)
        self.meter, self.mode = meter, Mode(options.mode)
        self.engines = load_engines(*(folder / n for n in ("semantic", "instance", "labeling")), options)
        torch.set_num_threads(options.threads)
        meter.wrap(pipeline, "segment", "semantic_around")
        meter.wrap(pipeline, "separate", "instance_around")
        meter.wrap(pipeline, "name", "post")
        meter.wrap(pipeline, "measure", "measure")
        meter.wrap(semantic, "prepare", "prepare")
        meter.wrap(semantic, "correct", "n4")
        meter.wrap(naming, "labelled", "labelling_around")

    def around(self) -> None:
        """Everything but the networks: they are told what is true."""
        case = self.case
        tiles = Tiles(case["classes"], tuple(case["patch"]), [list(case[f"starts{n}"]) for n in range(3)])
        folds, vertebra, level = (
            self.engines.semantic._runners,
            self.engines.vertebra._runner,
            self.engines.levels._runner,
        )
        real = [(runner, runner.network) for runner in (*folds, vertebra, level)]
        for runner in folds:
            runner.network = self._spanned(Stub(tiles, int(case["heads"])), "semantic_network")
        vertebra.network = self._spanned(Stub(case["answers"], 4), "instance_network")
        classify = level.network
        level.network = self._spanned(lambda batch: classify(batch[..., :64, :64, :]), "labelling_network")
        volume = Volume(case["image"], Geometry(RAS @ case["affine"], case["image"].shape))
        try:
            with self.meter.span("joins"):
                pipeline.analyse(volume, self.engines, pipeline.AnalysisSettings(self.mode))
        finally:
            for runner, network in real:
                runner.network = network

    def _spanned(self, answer, name):
        def network(batch):
            with self.meter.span(name):
                return answer(batch)

        return network

    def tiles(self, count: int) -> None:
        """Forward passes over single tiles."""
        tile = torch.randn((1, 1, *self.case["patch"]), generator=torch.Generator().manual_seed(1))
        runner = self.engines.semantic._runners[0]
        with torch.inference_mode(), self.meter.span("semantic_network"):
            for _ in range(count):
                runner(tile)

    def cutouts(self, count: int, batch: int) -> None:
        """Cutouts through the instance network, as the engine does; the reference's batch is not ours."""
        del batch
        chosen = Cutouts(self.case["cutouts"][:count], ())
        with self.meter.span("instance_network"):
            self.engines.vertebra.predict(chosen, unwatched)

    def patches(self, count: int) -> None:
        """Patches through the labelling network, as the engine does."""
        size = (count, *self.case["patch_size"])
        values = torch.randn(size, generator=torch.Generator().manual_seed(1)).numpy()
        with self.meter.span("labelling_network"):
            self.engines.levels.predict(Cutouts(values, ()), unwatched)


def main() -> None:
    """Loads, then obeys."""
    folder, threads, mode, precision = sys.argv[1:5]
    answers, meter = own_output(), Meter()
    options = EngineOptions(mode, "cpu", cpu_precision=precision, threads=int(threads))
    side = Ours(Path(folder), options, meter)
    serve(
        {"around": side.around, "tiles": side.tiles, "cutouts": side.cutouts, "patches": side.patches}, meter, answers
    )


if __name__ == "__main__":
    main()
