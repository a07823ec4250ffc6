"""The reference's side of the benchmark: spineps 2.1.3 in its own environment, timed phase by phase.

    python upstream.py CASE THREADS

Nothing of this project is imported but the meter.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from meter import Meter, Stub, Tiles, own_output, serve
from spineps import phase_pre, seg_run
from spineps.api import SpinepsPipeline
from spineps.architectures.pl_densenet import PLClassifier
from spineps.architectures.unet3D import Unet3D
from TPTBox import NII

PHASES = {
    "preprocess_input": "prepare",
    "predict_semantic_mask": "semantic_around",
    "predict_instance_mask": "instance_around",
    "phase_postprocess_combined": "post",
    "predict_centroids_from_both": "measure",
}


class Upstream:
    """The pipeline with its three models, and the orders that it obeys."""

    def __init__(self, folder: Path, threads: int, meter: Meter) -> None:
        from spineps import phase_post

        with np.load(folder / "case.npz") as held:
            self.case = dict(held)
        self.meter = meter
        self.pipeline = SpinepsPipeline(*(folder / n for n in ("semantic", "instance", "labeling")), use_cpu=True)
        torch.set_num_threads(threads)
        for function, name in PHASES.items():
            meter.wrap(seg_run, function, name)
        meter.wrap(phase_pre, "n4_bias", "n4")
        meter.wrap(phase_post, "perform_labeling_step", "labelling_around")
        self.classify = PLClassifier.forward

    def around(self) -> None:
        """Everything but the networks: they are told what is true."""
        case = self.case
        tiles = Tiles(case["classes"], tuple(case["patch"]), [list(case[f"starts{n}"]) for n in range(3)])
        self._stub(PlainConvUNet, Stub(tiles, int(case["heads"])), "semantic_network")
        self._stub(Unet3D, Stub(case["answers"], 4), "instance_network")
        classify = self.classify

        def quick(model, patches):
            with self.meter.span("labelling_network"):
                return classify(model, patches[..., :64, :64, :])

        PLClassifier.forward = quick
        image = NII(nibabel.Nifti1Image(np.asfortranarray(case["image"]), case["affine"]), seg=False)
        with self.meter.span("joins"):
            found = self.pipeline.segment(image)
        if not found.success:
            raise SystemExit(f"the reference failed: {found.errcode}")

    def _stub(self, network, answer, name):
        def forward(_, batch):
            with self.meter.span(name):
                return answer(batch)

        network.forward, self._real = forward, getattr(self, "_real", {}) | {network: network.forward}

    def restore(self) -> None:
        """The networks answer for themselves again."""
        for network, forward in getattr(self, "_real", {}).items():
            network.forward = forward
        self._real = {}
        PLClassifier.forward = self.classify

    def tiles(self, count: int) -> None:
        """Forward passes over single tiles."""
        self.restore()
        tile = torch.randn((1, 1, *self.case["patch"]), generator=torch.Generator().manual_seed(1))
        network = self.pipeline.model_semantic.predictor.network
        with torch.inference_mode(), self.meter.span("semantic_network"):
            for _ in range(count):
                network(tile)

    def cutouts(self, count: int, batch: int) -> None:
        """Cutouts through the instance network, as many at a time as the reference takes by default."""
        self.restore()
        model = self.pipeline.model_instance
        given = [
            NII(nibabel.Nifti1Image(c.astype(np.uint16), np.eye(4)), seg=True) for c in self.case["cutouts"][:count]
        ]
        with self.meter.span("instance_network"):
            model.run_batch(given, batch_size=batch)

    def patches(self, count: int) -> None:
        """Patches through the labelling network, one by one as the reference does."""
        self.restore()
        patch = torch.randn((1, 1, *self.case["patch_size"]), generator=torch.Generator().manual_seed(1))
        with torch.inference_mode(), self.meter.span("labelling_network"):
            for _ in range(count):
                self.pipeline.model_labeling.predictor.forward(patch)


def main() -> None:
    """Loads, then obeys."""
    answers, meter = own_output(), Meter()
    side = Upstream(Path(sys.argv[1]), int(sys.argv[2]), meter)
    serve(
        {"around": side.around, "tiles": side.tiles, "cutouts": side.cutouts, "patches": side.patches}, meter, answers
    )


if __name__ == "__main__":
    main()
