"""spineps-pacs: a DICOM node that segments, labels and measures the spine with SPINEPS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from spineps_pacs.domain.ports import Engines
    from spineps_pacs.domain.report import Report

__all__ = ["load_engines", "segment"]


def segment(
    array: NDArray[Any],
    affine: NDArray[Any],
    engines: Engines | None = None,
    *,
    mode: Literal["corrected", "upstream"] = "corrected",
    ras: bool = True,
    phases: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Segments one sagittal T2-weighted volume; for researchers, without DICOM.

    `array` has three axes in any order, `affine` (4, 4) takes its indices to millimetres: to R, A, S as NIfTI has it,
    or with `ras=False` to L, P, S as DICOM and ITK have it. `engines` come from `load_engines`; without them the
    embedded models are used. `phases` is called with (phase, done, total) as the work goes on.

    The report's masks, `report.structures.labels` and `report.instances.labels`, have the array's shape and SPINEPS
    ids; `report.levels` names the vertebrae, `report.measurements` holds the numbers, `report.flags` every doubt.

        import nibabel, spineps_pacs
        image = nibabel.load("t2.nii.gz")
        report = spineps_pacs.segment(image.get_fdata(), image.affine, spineps_pacs.load_engines("models"))
    """
    from time import perf_counter

    from spineps_pacs.analysis.mode import Mode
    from spineps_pacs.analysis.pipeline import AnalysisSettings, analyse, unseen
    from spineps_pacs.cli.nifti import volume_of

    chosen = engines or load_engines(mode=mode)
    volume = volume_of(array, affine, ras=ras)
    return analyse(volume, chosen, AnalysisSettings(Mode(mode)), phases or unseen, perf_counter)


def load_engines(
    models: str | Path | None = None,
    *,
    semantic: str = "",
    instance: str = "",
    labeling: str = "",
    mode: Literal["corrected", "upstream"] = "corrected",
    device: str = "auto",
) -> Engines:
    """The networks of a models folder: the only one of each kind, or those named; the embedded ones without a folder.

    `instance="none"` and `labeling="none"` leave one out. Load once, segment many.
    """
    from pathlib import Path

    from spineps_pacs.cli.chosen import Wanted, engines

    return engines(Wanted(Path(models) if models is not None else None, semantic, instance, labeling, mode, device))
