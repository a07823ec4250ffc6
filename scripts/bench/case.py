"""Makes what both sides of the benchmark work on: a whole-spine phantom and seeded networks of published size.

    PYTHONPATH=. python scripts/bench/case.py FOLDER [SLICES ROWS COLUMNS]

case.npz holds the image as NIfTI has it, what the semantic network would say on its grid, the cutouts and what the
instance network would say of them. The networks' weights are random: they cost what published ones cost.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from spineps_pacs.analysis import instances
from spineps_pacs.analysis.mode import Mode
from spineps_pacs.analysis.rebuild import rebuild
from spineps_pacs.analysis.semantic import SemanticSettings, prepare
from spineps_pacs.domain.ports import Cutouts, SemanticGrid, SemanticPrediction, unwatched
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Volume
from spineps_pacs.engines.densenet import Classifier, DenseNet
from spineps_pacs.engines.nnunet import build_network, read_plan
from spineps_pacs.engines.phantom import PhantomEngines
from spineps_pacs.engines.prepare import prepare as network_input
from spineps_pacs.engines.window import starts
from spineps_pacs.phantom.study import StudyRequest, write_study
from tests.engines import folders

LABELS = (0, 26, 41, 42, 43, 44, 45, 46, 47, 48, 49, 60, 61, 62, 100)
PATCH, SPACING, STEP = (32, 192, 192), (0.75, 0.75, 1.65), 0.5
CUTOUT, PATCH_SIZE = (248, 304, 64), (152, 168, 32)
STAGES = {
    "n_stages": 6, "features_per_stage": [32, 64, 128, 256, 320, 320], "kernel_sizes": [[1, 3, 3]] + [[3, 3, 3]] * 5,
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]], "n_conv_per_stage": [2] * 6,
    "n_conv_per_stage_decoder": [2] * 5,
}  # fmt: skip
DENSENET169, FEATURES = (6, 12, 32, 32), 1664


def semantic(folder: Path) -> None:
    """An nnU-Net of 30.7 million weights, one fold."""
    changes = {"patch_size": list(PATCH), "spacing": list(SPACING[::-1])}
    names = {"background": 0} | {f"c{n}": n for n in range(1, len(LABELS))}
    config = {
        "labels": {str(n): label for n, label in enumerate(LABELS) if n},
        "resolution_range": list(SPACING),
        "default_step_size": STEP,
    }
    folders.semantic_folder(folder, labels=names, config=config, changes=changes)
    plan = folders.plans(False, **changes)
    plan["configurations"]["base"]["architecture"]["arch_kwargs"] |= STAGES
    folders.write(folder / "plans.json", plan)
    torch.manual_seed(7)
    network = build_network(read_plan(folder, "3d_fullres"))
    folders.save_fold(folder, "0", network.state_dict())


def labeling(folder: Path) -> None:
    """A DenseNet169 with the published heads; like the published one it wants patches that are not turned."""
    folders.labeling_folder(folder, opt={"final_size": PATCH_SIZE, "ds_name": "sagittal_v3corpus", "n_epoch": 1})
    path = next(folder.glob("*.ckpt"))
    content = torch.load(path, weights_only=False)
    torch.manual_seed(11)
    heads = {name: (FEATURES // 2, n) for name, n in folders.HEADS.items()}
    content["state_dict"] = Classifier(DenseNet(DENSENET169), heads).state_dict()
    content["pytorch-lightning_version"] = "2.6.6"
    vars(content["hyper_parameters"]["opt"]).update(OPTIONS)
    torch.save(content, path)


OPTIONS = {
    "classification_conv": False, "classification_linear": True, "lr": 1e-4, "l2_regularization_w": 1e-6,
    "scheduler_endfactor": 1e-3, "not_pretrained": True, "mse_weighting": 0.0, "dropout": 0.05, "weight_decay": 0,
    "n_channel_p_group": None,
}  # fmt: skip


class _Known:
    """A vertebra engine that keeps its cutouts and what is true of them."""

    def __init__(self, truth, plan) -> None:
        self._truth, self.plan, self.info = truth, plan, truth.info

    def predict(self, cutouts: Cutouts, watch):
        self.cutouts, self.answers = cutouts.arrays, self._truth.predict(cutouts, watch)
        return self.answers


def phantom(folder: Path, slices: int, rows: int, columns: int) -> Volume:
    """A whole spine as DICOM with its truth; gives its volume."""
    from pydicom import dcmread

    request = StudyRequest(slices=slices, rows=rows, columns=columns, slice_spacing=66 / slices, only_t2=True)
    station = write_study(folder, request).stations[0]
    datasets = tuple(dcmread(path) for path in sorted(station.folder.glob("*.dcm")))
    return rebuild(Series(str(datasets[0].SeriesInstanceUID), datasets))


def case(folder: Path, volume: Volume) -> None:
    """What the networks would say, all along the way."""
    known = PhantomEngines.from_folder(folder / "truth")
    plan = read_plan(folder / "semantic", "3d_fullres")
    ready = prepare(volume, SemanticGrid(SPACING), SemanticSettings()).image
    labels = known.semantic.predict(ready, unwatched).labels
    a, b, c = (float(z) for z in np.round(ready.geometry.spacing, 7))
    given = network_input(ready.voxels, (a, b, c), plan, False)
    table = np.zeros(256, dtype=np.uint8)
    table[list(LABELS)] = np.arange(len(LABELS))
    classes = table[labels.transpose(2, 1, 0)[given.box]]
    network = _Known(known.vertebra, known.vertebra.plan)
    kept = np.asarray(LABELS, dtype=np.uint8)[table[labels]]
    instances.separate(SemanticPrediction(kept).labels, ready.geometry, network, Mode.UPSTREAM, unwatched)
    np.savez_compressed(
        folder / "case.npz",
        image=np.ascontiguousarray(volume.voxels.transpose(2, 1, 0)),
        affine=np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.geometry.affine[:, [2, 1, 0, 3]],
        classes=classes,
        heads=len(LABELS),
        patch=PATCH,
        patch_size=PATCH_SIZE,
        cutouts=network.cutouts,
        answers=network.answers,
        **{f"starts{n}": starts(s, p, STEP) for n, (s, p) in enumerate(zip(classes.shape, PATCH, strict=True))},
    )
    print(f"grid {ready.voxels.shape}, network sees {given.data.shape}, {len(network.answers)} cutouts")


def main() -> None:
    """Everything, in one folder."""
    folder = Path(sys.argv[1])
    slices, rows, columns = (int(n) for n in sys.argv[2:5]) if len(sys.argv) > 2 else (20, 900, 320)
    folder.mkdir(parents=True, exist_ok=True)
    semantic(folder / "semantic")
    sizes = {"cutout_size": list(CUTOUT), "resolution_range": list(SPACING)}
    folders.instance_folder(folder / "instance", config=sizes)
    labeling(folder / "labeling")
    case(folder, phantom(folder, slices, rows, columns))


if __name__ == "__main__":
    main()
