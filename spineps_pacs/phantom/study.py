"""Writes a whole phantom study into a folder: its DICOM series, and beside them the truth of the sagittal T2w one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.domain.volume import Geometry
from spineps_pacs.phantom.anatomy import draw_spine
from spineps_pacs.phantom.contrast import Contrast
from spineps_pacs.phantom.image import SUB_SLICES, photograph, sub_slices
from spineps_pacs.phantom.nifti import write_nifti
from spineps_pacs.phantom.protocols import LOCALIZER, T1_SAG, T2_AX, VENDORS, Protocol, sagittal_t2
from spineps_pacs.phantom.series import SeriesPlan, Stack, write_series
from spineps_pacs.phantom.spine import Spine
from spineps_pacs.phantom.texts import uid
from spineps_pacs.phantom.truth import truth_of
from spineps_pacs.phantom.views import Orientation, Raster, Reach, place, reach_of
from spineps_pacs.phantom.voxels import Labels
from spineps_pacs.phantom.wishes import Wishes

WHOLE = "C2-S1"
OVERLAP_MM = 60.0
"""Height that neighbouring stations share."""


@dataclass(frozen=True)
class StudyRequest:
    """What to write. Lengths in mm; rows run from head to foot (of a transposed orientation: columns do).

    `rows` and `columns` None means: as many as the levels need (896 x 320 for the whole spine). `family` is the
    contrast of the T2w series (TSE, FS, STIR, SPACE), `stations` 2 or 3 cuts it into that many series, from the
    head down.
    """

    wishes: Wishes = field(default_factory=Wishes)
    seed: int = 1
    slices: int = 20
    rows: int | None = None
    columns: int | None = None
    pixel: float = 0.8
    slice_spacing: float = 4.0
    thickness: float | None = None
    orientation: str = "sagittal"
    turn: float = 0.0
    tilt: float = 0.0
    enhanced: bool = False
    only_t2: bool = False
    stations: int = 1
    family: str = "TSE"
    vendor: str = "siemens"
    tesla: float = 1.5
    noise: float = 1.0
    ghost: float = 0.0
    motion: float = 0.0
    bias: float | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if min(self.noise, self.ghost, self.motion, self.bias or 0.0) < 0 or self.tesla <= 0:
            raise ValueError("noise, bias, ghost and motion are 0 or more, and the field strength is above 0")
        if self.slices < 1 or self.pixel <= 0 or self.slice_spacing <= 0:
            raise ValueError(
                f"{self.slices} slices at {self.slice_spacing} mm of {self.pixel} mm pixels make no series"
            )
        if self.stations not in (1, 2, 3):
            raise ValueError(f"a study has 1, 2 or 3 stations, not {self.stations}")
        if self.vendor not in VENDORS:
            raise ValueError(f"the vendor is one of {', '.join(VENDORS)}, not {self.vendor!r}")
        if not set(self.orientation_of.letters[0]) <= set("LR"):
            raise ValueError(f"sagittal slices run to the left or right, not as {self.orientation!r} says")

    @property
    def orientation_of(self) -> Orientation:
        """The orientation by name, turned and tilted."""
        return Orientation.named(self.orientation, self.turn, self.tilt)

    @property
    def uid(self) -> str:
        """What all UIDs of the study follow from: every field."""
        bias = () if self.bias is None else (f"bias {self.bias}",)
        return uid("phantom study", repr(self), *bias)


@dataclass(frozen=True, eq=False)
class Station:
    """One sagittal T2w series as written: its folder, where its truth is, its labels and truth record."""

    name: str
    folder: Path
    truth_folder: Path
    labels: Labels
    truth: dict[str, Any]


@dataclass(frozen=True, eq=False)
class StudyTruth:
    """A study as written: its spine, its stations (one, unless more were asked for), the folders of all its series."""

    spine: Spine
    stations: tuple[Station, ...]
    series: tuple[Path, ...]


def write_study(out: Path, request: StudyRequest) -> StudyTruth:
    """Writes `dicom/<series>/*.dcm` and `truth/` below `out`; the same request always writes the same bytes."""
    spine = draw_spine(request.seed, request.wishes)
    study = _Study(out, request, spine, uid(request.uid, "frame of reference"))
    stations = [_sagittal(study, name, reach, n) for n, (name, reach) in enumerate(_reaches(spine, request))]
    folders = [s.folder for s in stations]
    if not request.only_t2:
        folders += [_axial(study), _localizer(study)]
    if request.stations > 1:
        names = {"stations": [s.name for s in stations], "seed": request.seed}
        _write_json(out / "truth" / "truth.json", names)
    every = sorted(p for p in (out / "dicom").iterdir() if p.is_dir())
    return StudyTruth(spine, tuple(stations), tuple(every))


@dataclass(frozen=True, eq=False)
class _Study:
    out: Path
    request: StudyRequest
    spine: Spine
    frame_of_reference: str

    def plan(self, protocol: Protocol, stacks: tuple[Stack, ...], label: str = "") -> SeriesPlan:
        vendor, seed = VENDORS[self.request.vendor], f"{self.request.seed:06d}"
        return SeriesPlan(protocol, vendor, stacks, self.request.uid, seed, self.request.tesla, label)

    def write(self, plan: SeriesPlan) -> Path:
        name = f"{plan.protocol.number:02d}-{plan.protocol.key}{'-' + plan.label if plan.label else ''}"
        folder = self.out / "dicom" / name
        write_series(folder, plan, self.request.enhanced)
        return folder

    def contrast(self, protocol: Protocol) -> Contrast:
        given, r = protocol.contrast, self.request
        noise, bias = given.noise * r.noise * (1.5 / r.tesla), given.bias if r.bias is None else r.bias
        ghost, motion = max(given.ghost, r.ghost), max(given.motion, r.motion)
        return replace(given, noise=noise, bias=bias, ghost=ghost, motion=motion)

    def rng(self, *parts: int) -> np.random.Generator:
        return np.random.default_rng([self.request.seed, 97, *parts])


def _reaches(spine: Spine, request: StudyRequest) -> list[tuple[str, Reach]]:
    whole = reach_of(spine, request.wishes.levels, request.wishes.crop)
    if request.stations == 1:
        return [("", whole)]
    names = ("cervical", "thoracic", "lumbar") if request.stations == 3 else ("upper", "lower")
    height = (whole.height + OVERLAP_MM * (request.stations - 1)) / request.stations
    found = []
    for n, name in enumerate(names):
        top = whole.top - n * (height - OVERLAP_MM)
        near = [v.placed.origin for v in spine.vertebrae if top - height < v.placed.origin[2] < top]
        back = float(np.mean([p[1] for p in near])) + 25
        found.append((name, Reach(top, top - height, float(np.mean([p[0] for p in near])), back)))
    return found


def _raster(request: StudyRequest, reach: Reach) -> Raster:
    whole = request.stations == 1 and request.wishes.levels == WHOLE and request.wishes.crop == (0.0, 0.0)
    least = 896 * 0.8 / request.pixel if whole else 0
    rows = request.rows or int(np.ceil(max(reach.height / request.pixel, least) / 16)) * 16
    columns = request.columns or int(np.ceil(256 / request.pixel / 16)) * 16
    along = "HF".find(request.orientation_of.letters[1]) >= 0
    thickness = request.thickness or 0.9 * request.slice_spacing
    rows, columns = (rows, columns) if along else (columns, rows)
    return Raster(request.slices, rows, columns, request.slice_spacing, thickness, request.pixel)


def _sagittal(study: _Study, name: str, reach: Reach, n: int) -> Station:
    """A T2w station with its truth, and the T1w series in the same place."""
    request, raster = study.request, _raster(study.request, reach)
    orientation = request.orientation_of
    geometry = place(reach.centre - np.array([0, 28.0, 0]), raster, orientation, study.frame_of_reference)
    parts = sub_slices(study.spine, geometry, raster.thickness, SUB_SLICES)
    labels = parts[SUB_SLICES // 2]
    tissues = [p.tissues for p in parts]

    def shoot(protocol: Protocol) -> Path:
        image = photograph(tissues, geometry, study.contrast(protocol), study.rng(protocol.number, n))
        stack = Stack(image, geometry, raster.thickness, orientation.descending)
        return study.write(study.plan(protocol, (stack,), name))

    folder = shoot(sagittal_t2(request.family))
    if not request.only_t2:
        shoot(T1_SAG)
    truth_folder = study.out / "truth" / name if name else study.out / "truth"
    truth = truth_of(study.spine, labels)
    _write_truth(truth_folder, labels, truth)
    return Station(name or "spine", folder, truth_folder, labels, truth)


def _write_truth(folder: Path, labels: Labels, truth: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_nifti(folder / "structures.nii.gz", labels.structures, labels.geometry)
    write_nifti(folder / "instances.nii.gz", labels.instances, labels.geometry)
    _write_json(folder / "truth.json", truth)


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _axial(study: _Study) -> Path:
    """Axial T2w slices through the lowest three discs in view."""
    spine, reach = study.spine, reach_of(study.spine, study.request.wishes.levels)
    last = [v for v in spine.vertebrae if v.placed.origin[2] > reach.bottom][-1]
    centre = last.placed.world(0, last.canal_centre - 12, 18)
    raster = Raster(24, 320, 320, 4.4, 4.0, 0.625)
    geometry = place(centre, raster, Orientation("HPL", tilt=0.0), study.frame_of_reference)
    image = _picture(study, T2_AX, geometry, raster.thickness)
    return study.write(study.plan(T2_AX, (Stack(image, geometry, raster.thickness),)))


def _localizer(study: _Study) -> Path:
    """Three planes in one series."""
    whole = reach_of(study.spine, study.request.wishes.levels)
    stacks = []
    for letters in ("LFP", "AFL", "HPL"):
        raster = Raster(3, 256, 256, 20.0, 8.0, 1.75)
        geometry = place(whole.centre, raster, Orientation(letters), study.frame_of_reference)
        stacks.append(Stack(_picture(study, LOCALIZER, geometry, 8.0), geometry, 8.0))
    return study.write(study.plan(LOCALIZER, tuple(stacks)))


def _picture(study: _Study, protocol: Protocol, geometry: Geometry, thickness: float) -> NDArray[np.float32]:
    tissues = [p.tissues for p in sub_slices(study.spine, geometry, thickness, 1)]
    number = int(abs(geometry.affine[:3, :3]).argmax())
    return photograph(tissues, geometry, study.contrast(protocol), study.rng(protocol.number, 40 + number))
