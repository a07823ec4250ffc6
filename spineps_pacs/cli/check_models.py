"""What `check` looks at in models and device: there, as recorded, loaded, one pass forward; the GPU and its memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spineps_pacs.cli.check_line import Line
from spineps_pacs.domain.errors import SpinepsPacsError
from spineps_pacs.domain.ports import CutoutPlan, Cutouts, Engines, PatchPlan, unwatched
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.settings import Settings

EDGE = 32
"""Voxels along each side of the piece that the networks are shown: large enough for every network, and quick."""
LEAST_GPU_GB = 4.0
PHANTOM = "phantom"


def device(current: Settings) -> Iterator[Line]:
    """The GPU that the settings ask for, and how much of its memory is free."""
    from spineps_pacs.engines.memory import free_memory_gb

    wanted = current.models.device
    if wanted == "cpu":
        yield Line("GPU", True, "not asked for: models.device is cpu")
        return
    free = free_memory_gb()
    if free is None:
        advice = "Install the driver and a torch built for CUDA, or set models.device to auto or cpu."
        yield Line("GPU", wanted == "auto", "no GPU can be used by torch on this machine", advice)
        return
    advice = "Stop what else uses the GPU, or set models.device to cpu."
    yield Line("GPU", free >= LEAST_GPU_GB, f"{free:.1f} GB of its memory are free", advice)


def models(current: Settings) -> Iterator[Line]:
    """Found, the same as recorded, loaded, and one pass forward each."""
    from spineps_pacs.producing import load_engines

    folder = current.models.folder
    yield from _recorded(folder)
    try:
        engines = load_engines(current.models)
    except (SpinepsPacsError, OSError) as error:
        advice = (
            "Install the models anew with `spineps-pacs models install`, or name the right folder in models.folder."
        )
        yield Line("models", False, str(error), advice)
        return
    except Exception as error:  # noqa: BLE001  a damaged file can make a library raise anything
        advice = "The file is damaged: install the model anew with `spineps-pacs models install`."
        yield Line("models", False, f"a model cannot be loaded: {type(error).__name__}", advice)
        return
    if engines.semantic.info.name == PHANTOM:
        yield Line("models", True, "no network: the truth of phantoms that lies in models.folder")
        return
    yield from _forward(engines)


def second(current: Settings) -> Iterator[Line]:
    """The second labeller, where one is asked for: its networks open and answer."""
    from spineps_pacs.opinions import load_second

    if not current.second_opinion.enabled:
        return
    try:
        engine = load_second(current.second_opinion, current.models)
        engine.segment(np.zeros((1, 3, 320, 896), np.float32), unwatched)
    except SpinepsPacsError as error:
        advice = "Install it with `spineps-pacs models install small-fov`, or set second_opinion.enabled to false."
        yield Line("second labeller", False, str(error), advice)
    else:
        yield Line("second labeller", True, f"{engine.info.name} {engine.info.digest[:12]}, one pass forward done")


def _recorded(folder: Path | None) -> Iterator[Line]:
    """Every file that was recorded has the content that it had then."""
    from spineps_pacs.engines.weights import checksums, differences, read_record

    if folder is None or not folder.is_dir():
        return
    try:
        for name, recorded in read_record(folder).models.items():
            there = folder / name
            found = differences(recorded, checksums(there)) if there.is_dir() else ("its folder is missing",)
            advice = "If nobody meant to change it, install it anew; else record it with `spineps-pacs models verify`."
            text = "; ".join(found) if found else "every file has the recorded SHA-256"
            yield Line(f"digest of model {name}", not found, text, advice)
    except SpinepsPacsError as error:
        yield Line("digests of models", False, str(error), "Remove the record, then verify the models.")


def _forward(engines: Engines) -> Iterator[Line]:
    """Each network is shown a small piece that means nothing."""
    tries: list[tuple[str, Any]] = [("semantic", lambda: _semantic(engines))]
    if engines.vertebra is not None:
        tries.append(("instance", lambda: _instance(engines)))
    if engines.levels is not None:
        tries.append(("labeling", lambda: _labeling(engines)))
    for role, once in tries:
        try:
            info = once()
        except Exception as error:  # noqa: BLE001  whatever it is, the line says that this network does not run
            text = str(error) if isinstance(error, SpinepsPacsError) else type(error).__name__
            yield Line(f"{role} model", False, f"one pass forward failed: {text}", "Install the model anew.")
        else:
            yield Line(f"{role} model", True, f"{info.name} {info.version} {info.digest[:12]}, one pass forward done")


def _semantic(engines: Engines) -> Any:
    spacing = engines.semantic.grid.spacing_pir
    # index axes to Posterior, Inferior, Right in LPS millimetres
    affine = np.array([[0, 0, -spacing[2], 0], [spacing[0], 0, 0, 0], [0, -spacing[1], 0, 0], [0, 0, 0, 1]], float)
    grid = Geometry(affine, (EDGE, EDGE, EDGE))
    ramp = np.arange(EDGE**3, dtype=np.float32).reshape(grid.shape)
    engines.semantic.predict(Volume(ramp, grid), unwatched)
    return engines.semantic.info


def _instance(engines: Engines) -> Any:
    assert engines.vertebra is not None  # noqa: S101  asked before
    engines.vertebra.predict(_one(engines.vertebra.plan, np.uint8), unwatched)
    return engines.vertebra.info


def _labeling(engines: Engines) -> Any:
    assert engines.levels is not None  # noqa: S101  asked before
    engines.levels.predict(_one(engines.levels.plan, np.float32), unwatched)
    return engines.levels.info


def _one(plan: CutoutPlan | PatchPlan, kind: Any) -> Cutouts:
    affine = np.diag([*plan.spacing_pir, 1.0])
    return Cutouts(np.zeros((1, *plan.size_pir), kind), (Geometry(affine, plan.size_pir),))
