"""Every socket of the house on one page: a part fits by having the methods; nothing inherits, nothing registers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from spineps_pacs.domain.job import Job, Sending, State
from spineps_pacs.domain.series import Series
from spineps_pacs.domain.volume import Geometry, Volume

Watch = Callable[[int, int], None]
"""Called with (done, total) between tiles or batches; raises Cancelled when the work must stop."""


def unwatched(done: int, total: int) -> None:
    """A Watch that lets everything go on."""


@dataclass(frozen=True)
class ModelInfo:
    """What every engine says of itself: name, version, SHA-256 over its files, and whether it is the embedded one."""

    role: str
    name: str
    version: str
    digest: str
    demonstration: bool = False


@dataclass(frozen=True)
class Room:
    """The memory that a network is allowed (bytes), and what it needs: for each voxel, and in any case."""

    allowed: float
    each_voxel: float
    in_any_case: float


@dataclass(frozen=True)
class SemanticGrid:
    """What the semantic model wants: the voxel size (P, I, R) in mm, or a range into which the input's is clamped.

    `plane` is sag, cor, ax or iso; `hounsfield`: the values of CT are taken as they are; `has_c1`: it knows C1; `room`
    is None where memory has no ceiling. `sacrum_ids` and `metal_ids` are its names for what becomes 26 and 80.
    """

    spacing_pir: tuple[float, float, float]
    largest_pir: tuple[float, float, float] | None = None
    plane: str = "sag"
    hounsfield: bool = False
    has_c1: bool = False
    room: Room | None = None
    sacrum_ids: tuple[int, ...] = (26,)
    metal_ids: tuple[int, ...] = (80,)


@dataclass(frozen=True, eq=False)
class SemanticPrediction:
    """SPINEPS ids on the grid that was given; `folds` holds one array per fold when there are several."""

    labels: NDArray[np.uint8]
    folds: tuple[NDArray[np.uint8], ...] = ()


class SemanticEngine(Protocol):
    """Voxels to structures. The array comes prepared (range, bias, orientation, resolution) by `analysis`."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def grid(self) -> SemanticGrid: ...

    def predict(self, image: Volume, watch: Watch) -> SemanticPrediction:
        """`image` lies on the model's grid: its index axes run to Posterior, Inferior, Right."""
        ...


@dataclass(frozen=True)
class CutoutPlan:
    """What the instance model wants: voxel size and cutout size (P, I, R), channels, and semantic id to class.

    `checked_by_discs`: where the discs make another number of vertebrae, they are right. `room` is for one cutout, None
    where memory has no ceiling.
    """

    spacing_pir: tuple[float, float, float]
    size_pir: tuple[int, int, int]
    channels: int
    classes: tuple[tuple[int, int], ...]
    corpus_size_mm3: float = 92.8125
    vertebra_size_mm3: float = 232.03125
    checked_by_discs: bool = False
    room: Room | None = None


@dataclass(frozen=True, eq=False)
class Cutouts:
    """A batch of boxes (n, P, I, R), each with where it lies; a network reads the arrays, the phantom the places."""

    arrays: NDArray[np.generic]
    geometries: tuple[Geometry, ...]


class VertebraEngine(Protocol):
    """Cutouts of classes (uint8) to parts (n, P, I, R) uint8: 0 none, 1 the vertebra above, 2 the centre, 3 below."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def plan(self) -> CutoutPlan: ...

    def predict(self, cutouts: Cutouts, watch: Watch) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class PatchPlan:
    """What the labelling model wants: voxel size and patch size (P, I, R), whether patches are turned upright."""

    spacing_pir: tuple[float, float, float]
    size_pir: tuple[int, int, int]
    rotate: bool
    heads: tuple[tuple[str, int], ...] = ()


class LevelEngine(Protocol):
    """Patches of image (float32), one a vertebra, to soft-max scores per head: name -> (n, classes) float32."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def plan(self) -> PatchPlan: ...

    def predict(self, patches: Cutouts, watch: Watch) -> dict[str, NDArray[np.float32]]: ...


@dataclass(frozen=True)
class Engines:
    """The networks of one model set; `levels` is None where vertebrae shall only be counted.

    `warnings`: a sentence for each field of the models' configurations that is not known.
    """

    semantic: SemanticEngine
    vertebra: VertebraEngine | None
    levels: LevelEngine | None = None
    warnings: tuple[str, ...] = ()


class Datasets(Protocol):
    """Datasets that survive a power cut, a folder a series: the inbox is one, the outbox another."""

    def add(self, key: str, name: str, content: bytes | Path) -> bool:
        """Keeps one encoded dataset under key/name; True when it is new, False when the same was already there.

        A file that is given moves in: it lies here afterwards, or nowhere when it was known.
        """
        ...

    def load(self, key: str, pixels: bool = True) -> Series:
        """All datasets of a key, whole or only their headers; raises Unusable when there are none."""
        ...

    def names(self, key: str) -> tuple[str, ...]: ...

    def path(self, key: str, name: str) -> Path: ...

    def quiet(self, before: float) -> Sequence[str]:
        """Keys to which nothing was added since `before` (seconds since the epoch)."""
        ...

    def forget(self, key: str, before: float = math.inf) -> bool:
        """Removes a key; False, with nothing removed, where something came (anew or again) since `before`."""
        ...


@dataclass(frozen=True)
class Event:
    """One line of a job's timeline."""

    at: float
    kind: str
    text: str


@dataclass(frozen=True)
class Receipt:
    """What a destination said of one instance."""

    sop_instance_uid: str
    accepted: bool
    status: str


class Records(Protocol):
    """What we know of every job, for people and pages; one row per series and fingerprint.

    Several processes write at once. So a job changes by `move`, which refuses (Cancelled) when the job was meanwhile
    cancelled, superseded or started anew: `turn` counts how often a person or a late slice started it.
    """

    def add(self, job: Job) -> bool:
        """True when the job is new; False when its id is already known."""
        ...

    def put(self, job: Job) -> None:
        """Writes the job as given, whatever stood there."""
        ...

    def known(self, job_id: str) -> Job | None: ...

    def find(self, *, series_uid: str | None = None, state: State | None = None, limit: int = 100) -> Sequence[Job]:
        """Newest first."""
        ...

    def counts(self) -> dict[State, int]: ...

    def turn(self, job_id: str) -> int: ...

    def move(self, job_id: str, turn: int, state: State, reason: str = "", **changes: object) -> Job:
        """The job in its next state, with other fields changed; raises Cancelled when this turn is over."""
        ...

    def again(self, job_id: str, state: State, reason: str) -> int:
        """Starts the job anew, from whatever state; gives the new turn."""
        ...

    def progress(self, job_id: str, phase: str, fraction: float) -> None: ...

    def sending(self, job_id: str, turn: int, sending: Sending) -> Job:
        """How one destination stands; the job's own state follows from all of them."""
        ...

    def receipt(self, job_id: str, destination: str, receipt: Receipt) -> None: ...

    def receipts(self, job_id: str, destination: str) -> Sequence[Receipt]: ...

    def event(self, job_id: str, kind: str, text: str) -> None: ...

    def timeline(self, job_id: str) -> Sequence[Event]: ...

    def link(self, job_id: str, patient: str) -> None:
        """Ties a job to the salted hash of its patient, which priors share."""
        ...

    def patient(self, job_id: str) -> str: ...

    def due(self, before: float, limit: int = 100) -> Sequence[Job]:
        """Jobs at their end since before that time, whose data is still kept."""
        ...

    def erase(self, job_id: str) -> None:
        """Leaves of the job what identifies nobody: UIDs become salted hashes, receipts go."""
        ...

    def erased(self, job_id: str) -> bool: ...


class Chain(Protocol):
    """The durable chain of stages."""

    def enqueue(self, job: Job) -> None:
        """Starts the job's present turn; once, however often it is called."""
        ...

    def cancel(self, job_id: str) -> None: ...

    def rerun(self, job_id: str, models: Sequence[str] | None = None, priority: int | None = None) -> str:
        """Starts the job anew, with other models where they are named; gives the id of the work."""
        ...

    def resend(self, job_id: str, destination: str) -> str:
        """Starts a delivery anew, for instance out of the dead letters; gives the id of the work."""
        ...


class Destination(Protocol):
    """Somewhere results go. Raises TryAgain when it cannot be reached."""

    @property
    def name(self) -> str: ...

    def send(self, datasets: Iterable[Dataset]) -> Iterable[Receipt]:
        """One receipt a dataset, each as soon as it is known."""
        ...


class Confirmation(Protocol):
    """Asks a destination whether it keeps what it accepted. Raises TryAgain when it gives no answer yet."""

    def kept(self, datasets: Sequence[Dataset], transaction: str) -> frozenset[str]:
        """Of these, the SOP instance UIDs that are kept; `transaction` is the same whenever the same is asked."""
        ...


@dataclass(frozen=True)
class Result:
    """One encoded object: kind (structures, levels, report, picture, ...), file name, its bytes as a DICOM file."""

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    content: bytes


Phases = Callable[[str, int, int], None]
"""Called with (phase, done, total) of the whole work; raises Cancelled when it must stop."""

Produce = Callable[[Series, Phases], Sequence[Result]]
"""Analysis and encoding, joined in app.py: a series to its encoded and verified results."""


class SmallFovEngine(Protocol):
    """The second labeller's two networks: slices with neighbours (n, 3, 320, 896), 0..1, to classes (n, 320, 896).

    Rows run to Anterior, columns to Superior; the channels are the slice before, the slice itself and the one after.
    """

    @property
    def info(self) -> ModelInfo: ...

    @property
    def pixel_mm(self) -> float | None:
        """The in-plane pixel that the networks know, where their folder states it."""
        ...

    @property
    def names(self) -> int:
        """How many names the naming network knows beside the background."""
        ...

    def segment(self, slices: NDArray[np.float32], watch: Watch) -> NDArray[np.uint8]:
        """0 background, 1 vertebra, 2 disc."""
        ...

    def name(self, slices: NDArray[np.float32], watch: Watch) -> NDArray[np.uint8]:
        """0 background, k the k-th name from C2 on."""
        ...
