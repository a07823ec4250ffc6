"""The command `phantom`: writes a made-up spine study, its DICOM series and their truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from spineps_pacs.domain.errors import Unusable

if TYPE_CHECKING:
    from spineps_pacs.phantom.study import StudyRequest

Pair = tuple[str, float]


@Parameter(name="*")
@dataclass(frozen=True)
class Spine:
    """The spine.

    Parameters
    ----------
    seed
        The same seed gives the same bytes.
    levels
        What the field of view shows, from - to, or a part of it: "C2-S1", "T10-S1".
    thoracic
        Number of thoracic vertebrae: 11, 12 or 13.
    lumbar
        Number of lumbar vertebrae: 4, 5 or 6.
    sacralisation
        The last lumbar vertebra has grown together with the sacrum.
    missing_disc
        The vertebra below which there is no disc.
    merged
        The vertebra that has grown together with the one below it.
    scoliosis
        Cobb angle in degrees.
    degeneration
        0 is a young spine, 1 one whose discs are all dark and low.
    fracture
        A vertebra and the share of height that it has lost; may be given several times.
    listhesis
        A vertebra and by how many millimetres it has slipped forward; may be given several times.
    haemangioma
        A vertebra with a haemangioma; may be given several times.
    metal
        The upper of two vertebrae with pedicle screws.
    gap
        The vertebra whose laminae and spinous process were removed.
    ribs
        Whether thoracic vertebrae carry ribs.
    stenosis
        A vertebra and the share of the canal's depth that the disc below it takes; may be given several times.
    osteophytes
        Spurs at the rims of the bodies: 0 none, 1 many, 2 at most.
    size
        How large the spine is, 1 being ordinary.
    crop
        Share of the levels that the field of view cuts off at the head and at the tail.
    """

    seed: int = 1
    levels: str = "C2-S1"
    thoracic: int = 12
    lumbar: int = 5
    sacralisation: bool = False
    missing_disc: str | None = None
    merged: str | None = None
    scoliosis: float = 0.0
    degeneration: float = 0.2
    fracture: tuple[Pair, ...] = ()
    listhesis: tuple[Pair, ...] = ()
    haemangioma: tuple[str, ...] = ()
    metal: str | None = None
    gap: str | None = None
    ribs: bool = True
    stenosis: tuple[Pair, ...] = ()
    osteophytes: float = 0.0
    size: float = 1.0
    crop: tuple[float, float] = (0.0, 0.0)


@Parameter(name="*")
@dataclass(frozen=True)
class Scan:
    """The images.

    Parameters
    ----------
    slices
        Number of sagittal slices.
    spacing
        Pixel size in the slice, and from slice to slice, in mm.
    thickness
        Slice thickness in mm; by default a tenth less than the distance.
    rows
        Image rows; by default what the levels need (896 for the whole spine).
    columns
        Image columns (320 for the whole spine).
    orientation
        "sagittal", or the axes' directions, such as "LIP" for slices to the left, rows down, columns back.
    turn
        Degrees by which the slices are turned about the long axis of the body.
    tilt
        Degrees by which they lean over.
    enhanced
        Enhanced (multi-frame) MR instead of one object per slice.
    only_t2
        The sagittal T2-weighted series alone, without T1, axial T2 and localizer.
    stations
        Series into which the spine is cut: 1, 2 or 3.
    family
        Contrast: TSE, FS, STIR or SPACE.
    vendor
        Whose headers are imitated: siemens, philips, ge, canon.
    tesla
        Field strength; twice the field has half the noise.
    noise
        How many times the ordinary noise.
    bias
        Strength of the smooth bias field; by default that of the contrast (0.15).
    ghost
        Strength of ghosts along the phase direction, say 0.1.
    motion
        Strength of movement: most slices are mixed with themselves, shifted by twice as many rows; say 1.5.
    """

    slices: int = 20
    spacing: tuple[float, float] = (0.8, 4.0)
    thickness: float | None = None
    rows: int | None = None
    columns: int | None = None
    orientation: str = "sagittal"
    turn: float = 0.0
    tilt: float = 0.0
    enhanced: bool = False
    only_t2: bool = False
    stations: Literal[1, 2, 3] = 1
    family: Literal["TSE", "FS", "STIR", "SPACE"] = "TSE"
    vendor: str = "siemens"
    tesla: float = 1.5
    noise: float = 1.0
    bias: float | None = None
    ghost: float = 0.0
    motion: float = 0.0


def phantom(
    *,
    out: Path,
    spine: Spine | None = None,
    scan: Scan | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Write a made-up spine study: DIR/dicom/<series>/*.dcm, and its truth in DIR/truth.

    Parameters
    ----------
    out
        Folder to write to; it is made, and must be empty.
    json
        Print one JSON object instead of sentences.
    """
    import json as as_json

    from spineps_pacs.phantom.study import write_study

    if out.exists() and any(out.iterdir()):
        raise Unusable(f"{out} is not empty; a phantom is written into a folder of its own")
    try:
        study = write_study(out, request_of(spine or Spine(), scan or Scan()))
    except ValueError as error:
        raise Unusable(str(error)) from error
    written = {"series": [str(folder) for folder in study.series], "truth": str(out / "truth")}
    if json:
        print(as_json.dumps(written))
        return 0
    for folder in study.series:
        print(f"{len(list(folder.iterdir())):4d} files  {folder}")
    print(f"       truth  {out / 'truth'}")
    return 0


def request_of(spine: Spine, scan: Scan) -> StudyRequest:
    """What the generator is asked for."""
    from dataclasses import asdict

    from spineps_pacs.phantom.study import StudyRequest
    from spineps_pacs.phantom.wishes import Wishes

    wishes = {key: value for key, value in asdict(spine).items() if key != "seed"}
    given = {key: value for key, value in asdict(scan).items() if key != "spacing"}
    pixel, between = scan.spacing
    return StudyRequest(Wishes(**wishes), seed=spine.seed, pixel=pixel, slice_spacing=between, **given)
