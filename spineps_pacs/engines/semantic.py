"""The semantic network: an nnU-Net v2 folder behind the socket SemanticEngine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spineps_pacs.domain.errors import ModelError, Unusable
from spineps_pacs.domain.ports import ModelInfo, Room, SemanticGrid, SemanticPrediction, Watch
from spineps_pacs.domain.volume import Volume
from spineps_pacs.engines.device import Runner, batch_for, choose_device, in_bfloat16, short_of_memory
from spineps_pacs.engines.nnunet import Plan, build_network, find_checkpoints, load_weights, read_fold, read_plan
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.prepare import Prepared, prepare
from spineps_pacs.engines.weights import Model
from spineps_pacs.engines.window import Sums, Window, accumulate, slide, strongest, tiles, widened

_BATCH = 8
"""No more tiles at once than this; beyond it a GPU gains nothing."""
_BYTES_PER_FEATURE = 29
"""What a tile needs in a forward pass, per voxel and first-stage feature: 1.1 GB for 32 x 192 x 192 (measured, CPU)."""


class NnUnetEngine:
    """All folds of one model folder. `mode` upstream rounds where the reference rounds."""

    def __init__(self, model: Model, info: ModelInfo, options: EngineOptions) -> None:
        if model.config.inputs != ("img",):
            raise ModelError(f"{model.config.path}: expected_inputs {model.config.inputs} is more than one image")
        self.info = info
        self.config, self._options = model.config, options
        self._device = choose_device(options.device)
        folds = [read_fold(path) for path in checkpoints_of(model)]
        self.plan: Plan = read_plan(model.folder, folds[0].configuration)
        self._runners = []
        for fold in folds:
            network = build_network(self.plan)
            load_weights(network, fold.weights, fold.path)
            self._runners.append(Runner(network, self._device, True, in_bfloat16(options, info)))
        mirroring = options.mirroring if options.mirroring is not None else self.config.mirroring
        self.window = Window(
            patch=self.plan.patch,
            step=options.step_size or self.config.step_size,
            mirror_axes=folds[0].mirror_axes if mirroring else (),
            half=options.mode == "upstream",
        )
        self._ids = lookup(self.config.labels)

    @property
    def grid(self) -> SemanticGrid:
        """The voxel size, plane and values that the model wants."""
        config = self.config
        of_ct = "CT" in config.modalities
        room = Room(allowed, self._voxel_bytes(), self._tile_bytes()) if (allowed := self._allowed()) else None
        return SemanticGrid(
            spacing_pir=config.spacing,
            largest_pir=config.largest_spacing,
            plane=config.acquisition,
            hounsfield=of_ct,
            has_c1=config.has_c1,
            room=room,
            sacrum_ids=config.sacrum_ids,
            metal_ids=config.metal_ids,
        )

    def _allowed(self) -> float:
        return self._options.max_memory_gb * 1e9

    def predict(self, image: Volume, watch: Watch) -> SemanticPrediction:
        """SPINEPS ids on the grid given; with several folds also each fold's own."""
        a, b, c = (float(z) for z in np.round(image.geometry.spacing, 7))
        ready = prepare(image.voxels, (a, b, c), self.plan, self.window.half)
        with torch.inference_mode():
            labels, folds = self._labels(ready, watch)
        return SemanticPrediction(labels, folds)

    def _labels(self, ready: Prepared, watch: Watch) -> tuple[NDArray[np.uint8], tuple[NDArray[np.uint8], ...]]:
        data, inner = widened(torch.from_numpy(ready.data), self.window.patch)
        self._refuse_too_large(data.shape[1:])
        progress = _Progress(watch, len(tiles(data.shape[1:], self.window)) * len(self._runners))
        together: Tensor | None = None
        folds = []
        for runner in self._runners:
            sums = self._folded(runner, data, progress)
            if self._needs_means(ready):
                sums.scores.div_(sums.weights)
            scores = sums.scores[(slice(None), *inner)]
            folds.append(self._finished(scores, ready))
            together = scores if together is None else together.add_(scores.to(together.device))
        if together is None or len(folds) == 1:
            return folds[0], ()
        return self._finished(together.div_(len(folds)), ready), tuple(folds)

    def needed_bytes(self, shape: Sequence[int]) -> int:
        """Working memory for a volume of this shape on the model's grid: sums of scores, weights, image, one tile."""
        return int(np.prod(shape)) * self._voxel_bytes() + self._tile_bytes()

    def _voxel_bytes(self) -> int:
        kept = 2 if len(self._runners) > 1 else 1
        each = 2 if self.window.half else 4
        return self.plan.heads * each * kept + 2 * each + 4

    def _tile_bytes(self) -> int:
        features = np.ravel(self.plan.arguments["features_per_stage"])[0]
        return int(np.prod(self.window.patch)) * int(features) * _BYTES_PER_FEATURE

    def _refuse_too_large(self, shape: Sequence[int]) -> None:
        needed, allowed = self.needed_bytes(shape), self._allowed()
        if allowed and needed > allowed:
            told = f"{' x '.join(str(n) for n in shape)} voxels need {needed / 1e9:.1f} GB of memory"
            raise Unusable(f"{told} in the semantic network, {allowed / 1e9:.3g} GB are allowed")

    def _needs_means(self, ready: Prepared) -> bool:
        """All folds weigh a voxel alike, so which score is highest can be told from the sums; other uses need means."""
        return self.window.half or ready.resampled or self.plan.regions is not None

    def _folded(self, runner: Runner, data: Tensor, progress: _Progress) -> Sums:
        """One fold's sums over the volume; on the CPU when the GPU has no room for them."""
        runner.go_home()
        progress.begin()
        try:
            return self._sums(runner, data.to(runner.device), progress)
        except (RuntimeError, MemoryError) as error:
            if runner.device.type == "cpu" or not short_of_memory(error):
                raise
        torch.cuda.empty_cache()
        progress.begin(again=True)
        return self._sums(runner, data.cpu(), progress)

    def _sums(self, runner: Runner, data: Tensor, progress: _Progress) -> Sums:
        batch = self._options.batch or batch_for(runner.device, self._tile_bytes(), _BATCH)
        answers = slide(runner, data, self.window, batch, progress)
        return accumulate(answers, data.shape[1:], self.plan.heads, self.window, data.device)

    def _finished(self, scores: Tensor, ready: Prepared) -> NDArray[np.uint8]:
        """Scores to SPINEPS ids on the image's grid. No soft-max: it would not change which score is highest."""
        if ready.resampled:
            scores = torch.from_numpy(ready.scores_back(scores.cpu().numpy()))
        classes = strongest(scores) if self.plan.regions is None else regions(scores, self.plan.regions)
        return self._ids[ready.labels_back(classes.cpu().numpy())]


class _Progress:
    """Counts tiles over all folds; the watch may raise Cancelled, which passes through."""

    def __init__(self, watch: Watch, total: int) -> None:
        self._watch, self._total = watch, total
        self._done = self._fold = 0
        watch(0, total)

    def __call__(self, tiles: int) -> None:
        self._done += tiles
        self._fold += tiles
        self._watch(self._done, self._total)

    def begin(self, again: bool = False) -> None:
        """A fold begins; `again` takes back what it had done before."""
        self._done -= self._fold if again else 0
        self._fold = 0


def checkpoints_of(model: Model) -> tuple[Path, ...]:
    """The checkpoint files of the folds that the model's configuration names."""
    return find_checkpoints(model.folder, model.config.folds)


def files_used(model: Model) -> tuple[Path, ...]:
    """The files that decide what the engine answers."""
    return (model.config.path, model.folder / "plans.json", model.folder / "dataset.json", *checkpoints_of(model))


def regions(scores: Tensor, ids: tuple[int, ...]) -> Tensor:
    """Overlapping regions: each writes its id where its own probability is above one half, later ones over earlier."""
    out = torch.zeros(scores.shape[1:], dtype=torch.uint8, device=scores.device)
    for score, number in zip(scores, ids, strict=True):
        out.masked_fill_(torch.sigmoid(score.float()) > 0.5, number)
    return out


def lookup(labels: tuple[tuple[int, int], ...]) -> NDArray[np.uint8]:
    """A table from the network's classes to SPINEPS ids; a class without an id stays as it is."""
    table = np.arange(256, dtype=np.uint8)
    for raw, structure in labels:
        table[raw] = structure
    return table
