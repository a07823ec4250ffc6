"""Runs single stages of spineps 2.1.3 on stage inputs from a folder; lives in the reference's own environment.

    python reference.py FOLDER

Each FOLDER/<stage>-<case>.npz is read, the stage run, and its outputs written to FOLDER/out-<stage>-<case>.npz. Only
numpy arrays pass between the two environments; nothing of this project is imported here.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.transforms import NormalizeIntensity
from reference_whole import whole
from spineps import phase_instance, phase_labeling, phase_post
from spineps.get_models import get_actual_model
from spineps.lab_model import VertLabelingClassifier
from spineps.seg_enums import ErrCode, OutputType
from spineps.seg_pipeline import NoOpDebugSink
from TPTBox import NII


def _nii(array, affine, *, seg=True):
    return NII(nib.Nifti1Image(np.asfortranarray(array), affine), seg=seg)


def _failed(why):
    return {"failed": np.array(str(why))}


def corpora(case):
    found = phase_instance.get_corpus_coms(_nii(case["semantic"], case["affine"]), int(case["smallest"]))
    return _failed("no corpus") if found is None else {"centres": np.array(found, dtype=np.float64).reshape(-1, 3)}


class _Answers:
    """An instance model that answers with the arrays it was given."""

    def __init__(self, case):
        self.answers = case["answers"]
        self.cutouts = []
        zoom = tuple(float(z) for z in case["zoom"])
        volume = float(np.prod(zoom))
        self.inference_config = types.SimpleNamespace(
            cutout_size=tuple(int(n) for n in case["cutout_size"]),
            corpus_size_cleaning=100 * volume,
            corpus_border_threshold=10,
            vert_size_threshold=250 * volume,
            mapping={**{k: k - 40 for k in range(41, 50)}, 50: 9, 51: 9, 26: 0},
        )
        self.zoom = zoom

    def calc_recommended_resampling_zoom(self, _):
        return self.zoom

    def segment_scan_batch(self, cutouts, **_):
        self.cutouts = [c.get_seg_array() for c in cutouts]
        if len(cutouts) != len(self.answers):
            raise ValueError(f"{len(cutouts)} cutouts, {len(self.answers)} answers")
        return [{OutputType.seg: c.set_array(a.astype(np.uint16))} for c, a in zip(cutouts, self.answers, strict=True)]


def instances(case):
    model = _Answers(case)
    try:
        mask, error = phase_instance.predict_instance_mask(
            _nii(case["semantic"].astype(np.uint16), case["affine"]), model, debug_data=NoOpDebugSink()
        )
    except ValueError as why:
        return _failed(why)
    if error != ErrCode.OK:
        return _failed(error)
    return {"vertebrae": mask.get_seg_array(), "affine": mask.affine, "cutouts": np.stack(model.cutouts)}


def post(case):
    structures, vertebrae = phase_post.phase_postprocess_combined(
        img_nii=_nii(case["image"], case["affine"], seg=False),
        seg_nii=_nii(case["structures"].astype(np.uint16), case["affine"]),
        vert_nii=_nii(case["vertebrae"].astype(np.uint16), case["affine"]),
        model_labeling=None,
        debug_data=None,
        labeling_offset=1,
    )
    return {"structures": structures.get_seg_array(), "instances": vertebrae.get_seg_array()}


def path(case):
    heads = [key[5:] for key in case if key.startswith("head_")]
    count = len(case["head_" + heads[0]])
    scores = {n: {"soft": {h: case["head_" + h][n] for h in heads}} for n in range(count)}
    cost, raw, named, matrix, _, _ = phase_labeling.find_vert_path_from_predictions(
        scores,
        disable_c1=bool(case["disable_c1"]),
        proc_lab_force_no_tl_anomaly=bool(case["only_twelve"]),
    )
    return {"cost": np.array(cost), "raw": np.array(raw), "named": np.array(named), "matrix": np.array(matrix)}


class _Zoomed:
    """A labelling model that keeps its patches and answers with scores it was given."""

    run_all_seg_instances = VertLabelingClassifier.run_all_seg_instances
    run_given_seg_pos = VertLabelingClassifier.run_given_seg_pos
    run_given_center_pos = VertLabelingClassifier.run_given_center_pos

    def __init__(self, case):
        self.cutout_size = tuple(int(n) for n in case["patch_size"])
        self.patch_rotation = bool(case["rotate"])
        self.predictor = True
        self.patches = []
        self.zoom = tuple(float(z) for z in case["zoom"])
        self.inference_config = types.SimpleNamespace(model_expected_orientation=("P", "I", "R"))
        self.scores = {key[5:]: value for key, value in case.items() if key.startswith("head_")}

    def calc_recommended_resampling_zoom(self, _):
        return self.zoom

    def _run_array(self, image, _=None):
        number = len(self.patches)
        self.patches.append(np.array(image))
        soft = {head: values[number] for head, values in self.scores.items()}
        return soft, {}


def patches(case):
    model = _Zoomed(case)
    image = _nii(case["image"], case["affine"], seg=False)
    vertebrae = _nii(case["vertebrae"].astype(np.uint16), case["affine"])
    structures = _nii(case["structures"].astype(np.uint16), case["affine"])
    named = phase_labeling.perform_labeling_step(model, image, vertebrae, structures)
    normalise = NormalizeIntensity(nonzero=True, channel_wise=False)
    done = [np.asarray(normalise(torch.from_numpy(p)[None]))[0] for p in model.patches]
    return {"patches": np.stack(done), "named": named.get_seg_array()}


def network(case):
    """One network over the folder that the case names, loaded as the reference loads it."""
    model = get_actual_model(Path(str(case["folder"])), use_cpu=True).load()
    if "image" in case:
        found = model.segment_scan(_nii(case["image"], case["affine"], seg=False), resample_to_recommended=False)
        return {"labels": found[OutputType.seg].get_seg_array()}
    if "cutouts" in case:
        cutouts = [_nii(c.astype(np.uint16), case["affine"]) for c in case["cutouts"]]
        return {"parts": np.stack([f[OutputType.seg].get_seg_array() for f in model.run_batch(cutouts, batch_size=1)])}
    soft, _ = model._run_array(case["patch"])
    return {f"head_{head}": scores for head, scores in soft.items()}


STAGES = {
    "network": network,
    "corpora": corpora,
    "instances": instances,
    "post": post,
    "path": path,
    "patches": patches,
    "whole": whole,
}


def main(folder):
    """Runs every stage input that lies in the folder, on one thread: the reference's own choice may not change it."""
    torch.set_num_threads(1)
    torch.set_num_threads = lambda _: None
    for source in sorted(folder.glob("*.npz")):
        stage = source.stem.split("-")[0]
        if stage in STAGES:
            with np.load(source) as held:
                case = dict(held)
            np.savez_compressed(folder / f"out-{source.stem}.npz", **STAGES[stage](case))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
