"""Reports over phantoms: whole spines with their truth as masks, through the rooms that come before the encoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

from encode.cases import MODEL
from spineps_pacs.analysis.measurements import measure
from spineps_pacs.analysis.rebuild import rebuild
from spineps_pacs.domain.anatomy import DISC_OFFSET, HEAD_TO_TAIL
from spineps_pacs.domain.masks import InstanceMask, LevelChoice, LevelMethod, Levels, SemanticMask
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.phantom.study import StudyRequest, write_study


def phantom(folder: Path, request: StudyRequest) -> tuple[Report, Series]:
    """The sagittal T2w series of a phantom study, with a report that says what is true."""
    station = write_study(folder, request).stations[0]
    datasets = tuple(pydicom.dcmread(path) for path in sorted(station.folder.iterdir()))
    series = Series(str(datasets[0].SeriesInstanceUID), datasets)
    volume = rebuild(series)
    index = station.labels.geometry.to_index(volume.geometry.to_world(_grid(volume.geometry.shape)))
    slices, rows, columns = np.rint(index).astype(int).reshape(-1, 3).T
    shape = volume.geometry.shape
    structures = SemanticMask(station.labels.structures[slices, rows, columns].reshape(shape), volume.geometry)
    instances = InstanceMask(station.labels.instances[slices, rows, columns].reshape(shape), volume.geometry)
    found = [i for i in HEAD_TO_TAIL if i in instances.ids() and i < DISC_OFFSET]
    levels = Levels(LevelMethod.MODEL, tuple(LevelChoice(i, n, i, 0.95) for n, i in enumerate(found, start=1)), 2.0)
    numbers = measure(volume, structures, instances, levels)
    return Report(volume, structures, instances, levels, numbers, (MODEL,), "default"), series


def _grid(shape: tuple[int, int, int]) -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
