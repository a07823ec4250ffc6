"""A whole run of spineps 2.1.3 that keeps what every phase takes and gives; lives in the reference's environment."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from monai.transforms import NormalizeIntensity
from spineps import phase_post, phase_pre, seg_model, seg_run
from spineps.api import SpinepsPipeline, _as_bids_file
from spineps.config import InstanceConfig
from spineps.lab_model import VertLabelingClassifier
from spineps.seg_enums import OutputType
from TPTBox import NII


def whole(case):
    """An image through everything, with three model folders."""
    kept, undo = {}, []
    parts = [Path(str(case["models"])) / name for name in ("semantic", "instance", "labeling")]
    pipeline = SpinepsPipeline(*parts, use_cpu=True)
    _spy_on(kept, undo)
    image = NII(nib.Nifti1Image(case["image"], case["affine"]), seg=False)
    found = _segment(pipeline, image)
    for module, name, original in undo:
        setattr(module, name, original)
    if found is None:
        return {"failed": np.array("failed")}
    return {**kept, "structures": found[0].get_seg_array(), "instances": found[1].get_seg_array()}


def _segment(pipeline, image):
    # a range of resolutions, which no published model has, makes the automatic crop compare a list with a number
    with _as_bids_file(image) as file:
        found = seg_run.segment_image(
            img_ref=file,
            model_semantic=pipeline.model_semantic,
            model_instance=pipeline.model_instance,
            model_labeling=pipeline.model_labeling,
            return_output_instead_of_save=True,
            auto_crop_to_spine=False,
            **InstanceConfig(batch_size=1).to_kwargs(),
        )
    return found if len(found) == 4 else None


def _spy_on(kept, undo):
    """Hooks before and after the phases; what is kept is copied at once, as the reference writes in place."""

    def keep(name, nii):
        kept[name], kept[f"{name}_affine"] = np.array(nii.get_array()), nii.affine

    def hook(module, name, before=None, after=None):
        original = getattr(module, name)

        def watched(*given, **named):
            if before is not None:
                before(*given, **named)
            found = original(*given, **named)
            if after is not None:
                after(found)
            return found

        undo.append((module, name, original))
        setattr(module, name, watched)

    hook(phase_pre, "n4_bias", lambda nii: keep("before_n4", nii), lambda found: keep("after_n4", found[0]))
    hook(seg_run, "preprocess_input", after=lambda found: keep("prepared", found[0]))
    hook(
        seg_model.SegmentationModelNNunet,
        "run",
        lambda _, input_nii, **__: keep("on_grid", input_nii[0]),
        lambda found: kept.update(classes=np.array(found[OutputType.seg].get_seg_array())),
    )
    hook(seg_run, "predict_semantic_mask", after=lambda found: keep("semantic", found[0]))
    hook(
        seg_model.SegmentationModelUnet3D,
        "run_batch",
        lambda _, cutouts, **__: kept.update(cutouts=np.stack([c.get_seg_array() for c in cutouts])),
        lambda found: kept.update(parts=np.stack([f[OutputType.seg].get_seg_array() for f in found])),
    )
    hook(seg_run, "predict_instance_mask", after=lambda found: keep("vertebrae", found[0]))

    def masks_back(img_nii, seg_nii, vert_nii, **_):
        keep("structures_back", seg_nii)
        keep("vertebrae_back", vert_nii)

    hook(seg_run, "phase_postprocess_combined", masks_back)

    def ranked(model, img_nii, vert_nii, subreg_nii, **_):
        keep("ranked", vert_nii)
        keep("matched", subreg_nii)

    hook(phase_post, "perform_labeling_step", ranked, lambda found: keep("named", found))
    normalise, patches, scores = NormalizeIntensity(nonzero=True, channel_wise=False), [], []

    def patch(self, image, mask=None):
        patches.append(np.asarray(normalise(np.asarray(image, dtype=np.float32)[None]))[0])

    def scored(found):
        scores.append(found[0])
        kept["patches"] = np.stack(patches)
        kept.update({f"head_{head}": np.stack([s[head] for s in scores]) for head in found[0]})

    hook(VertLabelingClassifier, "_run_array", patch, scored)
